"""Penalties against NumPy, SciPy and autograd, and what they do to real codes."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.special import rel_entr
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.architectures import Convolutional, Dense
from skae.corruptions import CORRUPTIONS
from skae.penalties import (
    MMD,
    PENALTIES,
    Adversarial,
    Coding,
    Contractive,
    Ordered,
    Penalty,
    Sparse,
    Variational,
)


def fit(X, penalty, **params):
    params = {"n_components": 4, "max_iter": 30, "random_state": 0} | params
    return AutoencoderTransformer(penalty=penalty, **params).fit(X)


@pytest.fixture(scope="module")
def images():
    return train_test_split(load_digits().data / 16, random_state=0)


def coding_of(model, X, training=True, progress=1.0):
    """Return what a penalty sees of rows, in float64."""
    module = model.module_
    x = torch.tensor((X - model.mean_) / model._scale)
    out, k = module.outputs(x), module.n_components
    generator = torch.Generator().manual_seed(0)
    return Coding(x, out[:, :k], out[:, k:], module, 1.0, generator, progress, training)


# -- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PENALTIES)
def test_the_start_is_pca_and_the_history_has_the_terms(name, digits):
    start, plain = fit(digits, name, max_iter=0), fit(digits, None, max_iter=0)
    assert_allclose(start.transform(digits), plain.transform(digits), atol=1e-12)
    model = fit(digits, name, max_iter=4)
    for row in model.history_[1:]:
        for kind in ("train", "valid"):
            terms = [
                value
                for key, value in row.items()
                if key.startswith(kind) and key not in (f"{kind}_loss", "train_critic")
            ]
            assert len(terms) == (1 if name == "ordered" else 2)
            assert sum(terms) == pytest.approx(row[f"{kind}_loss"], rel=1e-4)
    assert model.n_iter_ == 4


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("corruption", [*CORRUPTIONS, None])
def test_penalties_and_corruptions_go_together(name, corruption, digits):
    model = fit(digits, name, corruption=corruption, max_iter=2)
    assert np.isfinite(model.reconstruct(digits)).all()


@pytest.mark.parametrize("name", [n for n in PENALTIES if n != "ordered"])
@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_codes_wider_than_the_data_are_penalised_too(name, loss, digits):
    X = digits[:, 20:26]
    model = fit(X, name, n_components=9, loss=loss, early_stopping=False, max_iter=3)
    terms = {
        key: value
        for key, value in model.history_[1].items()
        if key.startswith("train_") and key[6:] not in ("loss", "reconstruction", "critic")
    }
    assert all(value > 1e-5 for value in terms.values()), terms
    assert np.isfinite(model.reconstruct(X)).all()


def test_a_warm_start_keeps_the_kind_of_penalty(digits):
    model = fit(digits, "variational", warm_start=True, max_iter=2)
    model.set_params(penalty=Variational(beta=3.0)).fit(digits)
    assert model.penalty_.beta == 3.0
    with pytest.raises(ValueError, match="A warm start cannot change the kind of the penalty"):
        model.set_params(penalty="sparse").fit(digits)


def test_a_penalty_from_outside_takes_one_class(images):
    train, test = images

    class Small(Penalty, name="small"):
        """Codes near zero, in units of their spread at the start."""

        def terms(self, coding):
            return {"size": 10 * coding.module.start_loss * coding.units().square().mean(1)}

    try:
        small, plain = fit(train, "small"), fit(train, None)
        assert small.transform(test).std() < 0.5 * plain.transform(test).std()
        assert {"train_size", "valid_size"} < small.history_[1].keys()
        assert_array_equal(fit(train, Small()).transform(test), small.transform(test))
    finally:
        del PENALTIES["small"]


# -- sparse --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["l1", "kl"])
def test_sparsity_is_that_of_numpy(kind, digits):
    penalty = Sparse(kind, weight=0.7, target=0.3)
    model = fit(digits, penalty, max_iter=3)
    code = model.transform(digits) / model._scale
    size = np.abs(code) / np.sqrt((code**2).mean(0))
    expected = size.mean()
    if kind == "kl":
        activation = np.tanh(size).mean(0)
        expected = (rel_entr(0.3, activation) + rel_entr(0.7, 1 - activation)).mean()
    (term,) = penalty.terms(coding_of(model, digits)).values()
    unit = model.history_[0]["train_reconstruction"]
    assert model.module_.start_loss.item() == pytest.approx(unit, rel=0.1)
    assert term.mean().item() == pytest.approx(0.7 * model.module_.start_loss.item() * expected)


@pytest.mark.parametrize("penalty", [Sparse(weight=3.0), Sparse("kl", weight=3.0)], ids=repr)
def test_sparse_codes_have_more_entries_near_zero(penalty, images):
    train, test = images

    def near_zero(model):
        codes = model.transform(test)
        return (np.abs(codes) < 0.1 * np.sqrt((codes**2).mean(0))).mean()

    plain, sparse = fit(train, None, n_components=16), fit(train, penalty, n_components=16)
    assert near_zero(sparse) > 1.5 * near_zero(plain)
    start = fit(train, None, n_components=16, max_iter=0)
    assert sparse.score(test) > start.score(test)


# -- contractive ---------------------------------------------------------------------------------


def squared_jacobians(model, X):
    """Return each row's squared norm by autograd, one row at a time."""
    module, rows = model.module_, coding_of(model, X)
    scale = rows.code.square().mean(0).sqrt().detach()
    jacobians = [
        torch.autograd.functional.jacobian(lambda x: module.encode(x[None])[0], x) for x in rows.x
    ]
    return np.array([((j / scale[:, None]) ** 2).sum().item() for j in jacobians]) / len(scale)


@pytest.mark.parametrize("params", [{}, {"init": "random"}], ids=str)
@pytest.mark.parametrize("activation", ["silu", "tanh"])
def test_one_hidden_layer_is_exact(params, activation, digits):
    X = digits[:40]
    model = fit(X, "contractive", hidden_layer_sizes=(9,), activation=activation, **params)
    found = Contractive.squared_norm(coding_of(model, X)).detach().numpy()
    assert_allclose(found, squared_jacobians(model, X), rtol=1e-10)


@pytest.mark.parametrize(
    "params",
    [{"hidden_layer_sizes": (9, 7)}, {"architecture": Convolutional(), "input_shape": (8, 8)}],
    ids=["dense", "convolutional"],
)
def test_deeper_nets_are_estimated_without_bias(params, digits):
    X = digits[:20]
    model = fit(X, "contractive", max_iter=20, early_stopping=False, corruption=None, **params)
    coding = coding_of(model, X)
    draws = np.array([Contractive.squared_norm(coding).detach().numpy() for _ in range(1000)])
    error = draws.std(0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - squared_jacobians(model, X)) < 4.5 * error).all()


@pytest.mark.parametrize("sizes", [(64,), (64, 32)], ids=str)
def test_contractive_codes_move_less(sizes, images):
    train, test = images
    nudge = 0.05 * np.random.default_rng(0).normal(size=test.shape)

    def movement(model):
        codes = model.transform(test)
        return np.sqrt(
            (((model.transform(test + nudge) - codes) ** 2).mean(0) / codes.var(0)).mean()
        )

    plain = fit(train, None, hidden_layer_sizes=sizes)
    contractive = fit(train, Contractive(), hidden_layer_sizes=sizes)
    assert movement(contractive) < 0.85 * movement(plain)
    assert contractive.score(test) > 0.98 * plain.score(test)


def test_tokens_do_not_move_a_little():
    X = np.random.default_rng(0).integers(3, size=(50, 4))
    with pytest.raises(ValueError, match="penalty='contractive' needs numbers"):
        fit(X, "contractive", loss="categorical_cross_entropy", n_components=2)


# -- variational ---------------------------------------------------------------------------------


def test_the_divergence_is_that_of_two_normal_distributions(digits):
    model = fit(digits, "variational")
    coding = coding_of(model, digits[:5])
    prior = torch.distributions.Normal(torch.zeros(4).double(), model.module_.spread)
    deviation = (0.5 * Variational.log_variance(coding)).exp() * model.module_.spread
    posterior = torch.distributions.Normal(coding.code, deviation)
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1)
    assert_allclose(Variational.divergence(coding).detach(), expected.detach(), rtol=1e-12)


def test_codes_are_drawn_from_the_posterior(digits):
    model = fit(digits, "variational")
    coding = coding_of(model, np.repeat(digits[:1], 4000, axis=0))
    draws = Variational().draw(coding).detach().numpy()
    deviation = (0.5 * Variational.log_variance(coding)).exp()
    deviation = (deviation * model.module_.spread).detach().numpy()[0]
    mean = model.transform(digits[:1])[0] / model._scale
    for j in range(4):
        assert stats.kstest(draws[:, j], stats.norm(mean[j], deviation[j]).cdf).pvalue > 1e-3


def test_the_bound_with_binary_cross_entropy_is_that_of_numpy(digits):
    model = fit(digits, "variational", loss="binary_cross_entropy")
    X = digits[:7]
    found = model.score_samples(X, n_draws=3)
    coding = coding_of(model, X)
    spread = model.module_.spread.numpy()
    mean = model.transform(X) / model._scale / spread
    log_variance = Variational.log_variance(coding).detach().numpy()
    divergence = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(1)
    noise = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    likelihood = 0
    for row in noise.numpy():
        codes = (mean + np.exp(log_variance / 2) * row) * spread * model._scale
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


def test_the_bound_is_below_the_likelihood_of_pca():
    # Probabilistic PCA is the best linear model of normal data: no bound may be above its truth.
    random = np.random.default_rng(0)
    covariance = np.diag([9.0, 4.0, 0.25, 0.25, 0.25])
    X = random.multivariate_normal(np.zeros(5), covariance, size=3000)
    model = fit(X[:2000], "variational", n_components=2, max_iter=60)
    truth = stats.multivariate_normal(np.zeros(5), covariance).logpdf(X[2000:])
    bound = model.score_samples(X[2000:], n_draws=64).mean()
    assert truth.mean() - 0.35 < bound < truth.mean() + 0.02


def test_transform_is_the_mean_and_a_subset_is_a_subset(digits):
    model = fit(digits, "variational")
    assert_allclose(model.transform(digits), coding_of(model, digits).code.detach() * model._scale)
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


def test_a_larger_beta_says_less(images):
    train, _ = images
    said = []
    for beta in (0.1, 1.0, 10.0):
        model = fit(train, Variational(beta=beta))
        said.append(Variational.divergence(coding_of(model, train)).mean().item())
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
    coding = coding_of(model, digits)
    critic = model.module_.critic
    odds = critic(coding.units()).detach().numpy()
    (term,) = penalty.terms(coding).values()
    unit = model.module_.start_loss.item()
    assert_allclose(term.detach(), 2 * unit * np.log1p(np.exp(-odds)), rtol=1e-10)
    drawn = torch.randn(400, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    real = critic(drawn).detach().numpy()
    expected = (np.log1p(np.exp(odds)) + np.log1p(np.exp(-real))).mean()
    assert penalty.critic_loss(coding).item() == pytest.approx(expected)


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


@pytest.mark.parametrize("penalty", [Adversarial(), MMD(), Variational()], ids=repr)
def test_codes_come_closer_to_the_prior(penalty, images):
    train, test = images

    def distance(model, spread):
        codes = model.transform(test) / model._scale / spread
        normal = np.random.default_rng(0).normal(size=codes.shape)
        return MMD.discrepancy(torch.tensor(codes), torch.tensor(normal)).item()

    model = fit(train, penalty)
    plain = fit(train, None)
    assert model.best_iter_ > 0
    spread = model.module_.spread.numpy()
    assert distance(model, spread) < 0.5 * distance(plain, spread)


# -- ordered -------------------------------------------------------------------------------------


def test_nested_dropout_keeps_the_first_components():
    code = torch.ones(6000, 4)
    generator = torch.Generator().manual_seed(0)
    coding = Coding(code, code, code[:, :0], None, 1.0, generator, 0.0, True)
    kept = Ordered(share=0.5).draw(coding).numpy()
    assert (np.diff(kept, axis=1) <= 0).all()
    counts = np.bincount(kept.sum(1).astype(int), minlength=5)[1:]
    # a half keeps all four, the other half each number alike
    assert stats.chisquare(counts, 6000 * np.array([1, 1, 1, 5]) / 8).pvalue > 1e-3


def test_the_first_components_are_a_code_of_their_own(images):
    train, test = images
    ordered = fit(train, "ordered", n_components=8)
    plain = fit(train, None, n_components=8)
    start = fit(train, None, n_components=8, max_iter=0)

    def error(model, j):
        kept = np.where(np.arange(8) < j, model.transform(test), 0)
        return ((test - model.inverse_transform(kept)) ** 2).mean()

    for j in (1, 2, 4):
        assert error(ordered, j) < 0.97 * error(start, j)
        assert error(ordered, j) < error(plain, j)
    assert error(ordered, 8) < error(start, 8)


@pytest.mark.parametrize("architecture", [Dense(), Dense(tied=True)], ids=repr)
def test_the_penalties_take_other_nets(architecture, digits):
    for name in PENALTIES:
        model = fit(digits, name, architecture=architecture, max_iter=2)
        assert np.isfinite(model.transform(digits)).all()
