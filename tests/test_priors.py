"""Penalties with a prior against NumPy and SciPy: bounds, critics, kernels, and real codes."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats
from test_penalties import batch_of, fit
from units import scale_of

from skae import AutoencoderTransformer
from skae.penalties import MMD, Adversarial, Variational

# -- variational ---------------------------------------------------------------------------------


def test_the_divergence_is_that_of_two_normal_distributions(digits):
    model = fit(digits, "variational")
    batch = batch_of(model, digits[:5], digits)
    prior = torch.distributions.Normal(torch.zeros(4).double(), model.module_.spread)
    deviation = (0.5 * Variational.log_variance(batch)).exp() * model.module_.spread
    posterior = torch.distributions.Normal(batch.code, deviation)
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1)
    assert_allclose(Variational.divergence(batch).detach(), expected.detach(), rtol=1e-12)


def test_codes_are_drawn_from_the_posterior(digits):
    model = fit(digits, "variational")
    batch = batch_of(model, np.repeat(digits[:1], 4000, axis=0), digits)
    draws = Variational().draw(batch).detach().numpy()
    deviation = (0.5 * Variational.log_variance(batch)).exp()
    deviation = (deviation * model.module_.spread).detach().numpy()[0]
    mean = model.transform(digits[:1])[0] / scale_of(digits)
    for j in range(4):
        assert stats.kstest(draws[:, j], stats.norm(mean[j], deviation[j]).cdf).pvalue > 1e-3


def test_the_bound_with_binary_cross_entropy_is_that_of_numpy(digits):
    model = fit(digits, "variational", loss="binary_cross_entropy")
    X = digits[:7]
    found = model.score_samples(X, n_draws=3)
    batch = batch_of(model, X, digits)
    spread = model.module_.spread.numpy()
    scale = scale_of(digits)
    mean = model.transform(X) / scale / spread
    log_variance = Variational.log_variance(batch).detach().numpy()
    divergence = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(1)
    noise = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    likelihood = 0
    for row in noise.numpy():
        codes = (mean + np.exp(log_variance / 2) * row) * spread * scale
        p = model.inverse_transform(codes)
        likelihood += (X * np.log(p) + (1 - X) * np.log1p(-p)).sum(1) / 3
    assert_allclose(found, likelihood - divergence, rtol=1e-6)


def test_the_loss_is_minus_the_bound_of_binary_cross_entropy(digits):
    model = fit(digits, Variational(warm_up=0.0), loss="binary_cross_entropy", corruption=None)
    row = model.history_[model.best_iter_]
    # 64 entries a row; the held-out rows are as the others
    bound = -64 * row["valid_loss"]
    assert model.score_samples(digits).mean() == pytest.approx(bound, rel=0.05)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_the_bound_is_a_density_in_the_units_of_x(loss, digits):
    one, other = (fit(X, "variational", loss=loss, max_iter=5) for X in (digits, 16 * digits))
    expected = one.score_samples(digits) - 64 * np.log(16)
    assert_allclose(other.score_samples(16 * digits), expected, rtol=1e-6)


@pytest.mark.extended
def test_the_bound_is_below_the_likelihood_of_pca():
    # Probabilistic PCA is the best linear model of normal data: no bound may be above its truth.
    random = np.random.default_rng(0)
    covariance = np.diag([9.0, 4.0, 0.25, 0.25, 0.25])
    X = random.multivariate_normal(np.zeros(5), covariance, size=3000)
    model = fit(X[:2000], "variational", n_components=2, hidden_layer_sizes=(32,), max_iter=60)
    truth = stats.multivariate_normal(np.zeros(5), covariance).logpdf(X[2000:])
    bound = model.score_samples(X[2000:], n_draws=64).mean()
    assert truth.mean() - 0.35 < bound < truth.mean() + 0.02


def test_transform_is_the_mean_and_a_subset_is_a_subset(digits):
    model = fit(digits, "variational")
    # Held-out rows may be PCA's.
    model.module_.fallback = None
    codes = batch_of(model, digits, digits).code.detach() * scale_of(digits)
    assert_allclose(model.transform(digits), codes)
    assert_allclose(model.score_samples(digits[3:5]), model.score_samples(digits)[3:5], rtol=1e-10)


def test_the_divergence_warms_up(digits):
    model = fit(digits, Variational(warm_up=0.5), max_iter=10, schedule=None)
    terms = [row["train_divergence"] for row in model.history_]
    held_out = [row["valid_divergence"] for row in model.history_]
    assert terms[1] < 0.2 * held_out[1]
    assert terms[-1] == pytest.approx(held_out[-1], rel=0.2)


@pytest.mark.parametrize(
    "params",
    [{"penalty": None}, {"penalty": "mmd"}, {"penalty": "variational", "loss": "huber"}],
    ids=str,
)
def test_no_bound_no_score_samples(params):
    model = AutoencoderTransformer(**params)
    assert not hasattr(model, "score_samples")
    with pytest.raises(AttributeError, match="score_samples"):
        model.score_samples  # noqa: B018


@pytest.mark.slow
def test_a_larger_beta_says_less(images):
    train, _ = images
    said = []
    for beta in (0.1, 1.0, 10.0):
        model = fit(train, Variational(beta=beta))
        said.append(Variational.divergence(batch_of(model, train, train)).mean().item())
    assert said[0] > said[1] > said[2]


# -- adversarial and mmd -------------------------------------------------------------------------


def test_the_critic_has_steps_and_an_optimizer_of_its_own(digits):
    model = fit(digits, Adversarial(hidden_layer_sizes=(8,)), max_iter=2, early_stopping=False)
    net = model.net_
    critic = {id(p) for p in net.module_.critic.parameters()}
    own = {id(p) for group in net.optimizer_.param_groups for p in group["params"]}
    theirs = {id(p) for group in net.critic_optimizer_.param_groups for p in group["params"]}
    assert theirs == critic
    assert not own & critic
    n_steps = {int(s["step"]) for s in net.critic_optimizer_.state.values()}
    assert n_steps == {int(s["step"]) for s in net.optimizer_.state.values()}
    assert "train_critic" in model.history_[-1]


def test_the_losses_of_the_two_players_are_those_of_numpy(digits):
    penalty = Adversarial(weight=2.0)
    model = fit(digits, penalty, max_iter=3)
    batch = batch_of(model, digits, digits)
    critic = model.module_.critic
    odds = critic(batch.units()).detach().numpy()
    (term,) = penalty.terms(batch).values()
    unit = model.module_.start_loss.item()
    assert_allclose(term.detach(), 2 * unit * np.log1p(np.exp(-odds)), rtol=1e-10)
    drawn = torch.randn(400, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    real = critic(drawn).detach().numpy()
    expected = (np.log1p(np.exp(odds)) + np.log1p(np.exp(-real))).mean()
    assert penalty.critic_loss(batch).item() == pytest.approx(expected)


def test_the_discrepancy_is_that_of_numpy():
    u, v = np.random.default_rng(0).normal(size=(2, 30, 3))
    expected = 0.0
    for a, b, sign in ((u, u, 1), (v, v, 1), (u, v, -2)):
        for scale in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0):
            c = 2 * 3 * scale
            square = ((a[:, None] - b[None]) ** 2).sum(2)
            expected += sign * (c / (c + square)).mean() / 7
    found = MMD.discrepancy(torch.tensor(u), torch.tensor(v)).item()
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    "penalty",
    [
        *(pytest.param(penalty, marks=pytest.mark.slow) for penalty in (Adversarial(), MMD())),
        Variational(),
    ],
    ids=repr,
)
def test_codes_come_closer_to_the_prior(penalty, images):
    train, test = images

    def distance(model, spread):
        codes = model.transform(test) / scale_of(train) / spread
        normal = np.random.default_rng(0).normal(size=codes.shape)
        return MMD.discrepancy(torch.tensor(codes), torch.tensor(normal)).item()

    model = fit(train, penalty)
    plain = fit(train, None)
    assert model.best_iter_ > 0
    spread = model.module_.spread.numpy()
    assert distance(model, spread) < 0.5 * distance(plain, spread)
