"""Losses against float64 NumPy and scikit-learn's metrics, gradients against differences."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from scipy.special import softmax
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.metrics import log_loss, mean_poisson_deviance
from torch import nn

from skae import AutoencoderTransformer
from skae._data.rows import Standardization
from skae._model.autoencoder import AutoencoderModule
from skae.losses import LOSSES, BinaryCrossEntropy, Huber, Likelihood, Loss
from skae.metrics import explained_variance_scorer

RNG = np.random.default_rng(0)
ETA = RNG.normal(size=(6, 5))
X = {
    "squared_error": RNG.normal(size=(6, 5)),
    "absolute_error": RNG.normal(size=(6, 5)),
    "huber": 3 * RNG.normal(size=(6, 5)),
    "binary_cross_entropy": RNG.uniform(size=(6, 5)),
    "poisson": RNG.poisson(2.0, size=(6, 5)).astype(float),
    "multinomial": RNG.dirichlet(np.ones(5), size=6),
    "categorical_cross_entropy": RNG.integers(5, size=(6, 1)).astype(float),
    "mixed": np.column_stack([RNG.normal(size=(6, 2)), np.eye(3)[[0, 1, 2, 0, 1, 1]]]),
}
X["categorical_cross_entropy"][:5, 0] = range(5)  # a vocabulary of as many tokens as ETA is wide


def fitted(name, **params):
    return LOSSES[name](**params).fit(X[name])


def per_sample(loss, eta, x):
    return loss.per_sample(torch.tensor(eta), target(loss, x)).numpy()


def target(loss, x):
    return torch.tensor(loss.preparation.transform(x)[0])


def huber(difference, delta):
    size = np.abs(difference)
    return np.where(size <= delta, size**2 / 2, delta * (size - delta / 2))


def sigmoid(eta):
    return 1 / (1 + np.exp(-eta))


REFERENCE = {
    "squared_error": lambda eta, x: ((eta - x) ** 2).mean(1),
    "absolute_error": lambda eta, x: np.abs(eta - x).mean(1),
    "huber": lambda eta, x: huber(eta - x, 1.0).mean(1),
    "binary_cross_entropy": lambda eta, x: (
        -(x * np.log(sigmoid(eta)) + (1 - x) * np.log(1 - sigmoid(eta))).mean(1)
    ),
    "poisson": lambda eta, x: np.array(
        [mean_poisson_deviance(a, np.exp(b)) / 2 for a, b in zip(x, eta, strict=True)]
    ),
    "multinomial": lambda eta, x: (
        x * (np.log(x) - np.log(np.exp(eta) / np.exp(eta).sum(1, keepdims=True)))
    ).mean(1),
    "categorical_cross_entropy": lambda eta, x: (
        -np.log(softmax(eta, 1))[np.arange(6), x[:, 0].astype(int)]
    ),
    "mixed": lambda eta, x: (
        (
            (
                (eta[:, :2] - (x[:, :2] - x[:, :2].mean(0)) / np.sqrt(x[:, :2].var(0).mean())) ** 2
            ).sum(1)
            / 2
            - np.log(softmax(eta[:, 2:], 1)[x[:, 2:] == 1])
        )
        / 3
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_value_is_that_of_float64_numpy(name):
    assert_allclose(per_sample(fitted(name), ETA, X[name]), REFERENCE[name](ETA, X[name]))


def test_cross_entropy_of_bits_is_the_log_loss():
    bits = (X["binary_cross_entropy"] > 0.5).astype(float)
    loss = LOSSES["binary_cross_entropy"]()
    loss.fit(bits)
    expected = log_loss(bits.ravel(), sigmoid(ETA).ravel())
    assert_allclose(per_sample(loss, ETA, bits).mean(), expected)


def test_huber_with_another_delta():
    assert_allclose(
        per_sample(Huber(delta=0.3), ETA, X["huber"]), huber(ETA - X["huber"], 0.3).mean(1)
    )


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_that_of_finite_differences(name):
    loss = fitted(name)
    eta = torch.tensor(ETA, requires_grad=True)
    loss.per_sample(eta, target(loss, X[name])).sum().backward()
    step = 1e-6
    for j in range(5):
        shift = step * np.eye(5)[j]
        ahead, behind = (per_sample(loss, ETA + s * shift, X[name]) for s in (1, -1))
        assert_allclose(eta.grad[:, j], (ahead - behind) / (2 * step), atol=1e-7)


@pytest.mark.parametrize("name", [n for n in LOSSES if "curvature" in vars(LOSSES[n])])
def test_residual_and_curvature_are_the_derivatives_of_the_loss(name):
    loss = fitted(name)
    assert loss.has_curvature
    eta, x, d = torch.tensor(ETA), target(loss, X[name]), torch.tensor(RNG.normal(size=(6, 5)))

    def total(eta):
        return loss.per_entry(eta, x).sum() / (loss.free_scale or 1)

    gradient = torch.autograd.functional.jacobian(total, eta)
    assert_allclose(loss.residual(eta, x), -gradient, atol=1e-12)
    hessian = torch.autograd.functional.hessian(total, eta)
    expected = torch.einsum("ij,ijik,ik->i", d, hessian, d)
    found = loss.curvature(eta, x, d)
    if name != "huber":
        assert_allclose(found, expected, atol=1e-12)
        return
    # The parabolas are above the loss and touch it: scipy's weights of robust regression.
    assert (found >= expected - 1e-12).all()
    for step in (-3.0, -0.1, 0.1, 3.0):
        ahead = loss.per_entry(eta + step * d, x).sum(1)
        here = loss.per_entry(eta, x).sum(1) - step * (loss.residual(eta, x) * d).sum(1)
        assert (ahead <= here + step**2 / 2 * found + 1e-12).all()


@pytest.mark.parametrize("name", LOSSES)
def test_slope_of_the_inverse_link(name):
    loss = fitted(name)
    mean = loss.link(torch.tensor(ETA)).mean(0)
    # some of them outside the domain, where the link is held
    mu = (mean * (1 + 0.9 * torch.tensor(ETA))).requires_grad_()
    (expected,) = torch.autograd.grad(loss.inverse_link(mu, mean).sum(), mu)
    assert_allclose(loss.inverse_slope(mu, mean).detach(), expected, rtol=1e-10)
    assert (expected == 0).any() == (not loss.identity)


def test_losses_without_derivatives():
    class Own(LOSSES["squared_error"]):
        def per_entry(self, eta, x):
            return (eta - x).abs() ** 3

    mixed = LOSSES["mixed"]([([0, 1], "absolute_error"), ([2, 3, 4], "multinomial")])
    for loss in (LOSSES["absolute_error"](), Own(), mixed.fit(X["mixed"])):
        assert not loss.has_curvature


@pytest.mark.parametrize("name", [n for n, loss in LOSSES.items() if not loss.identity])
def test_links_are_inverse_inside_the_domain(name):
    loss = fitted(name)
    eta = torch.tensor(ETA)
    mu = loss.link(eta)
    again = loss.link(loss.inverse_link(mu, mu.mean(0)))
    assert_allclose(again, mu, rtol=1e-10)


# Pixels as tokens are too many for 400 rows; tests/test_sequences.py has tokens.
@pytest.mark.parametrize("name", [n for n, loss in LOSSES.items() if not loss.discrete])
def test_training_lowers_the_loss_on_digits(name, digits):
    model = AutoencoderTransformer(2, loss=name, max_iter=15, random_state=0).fit(digits)
    assert model.loss_ < 0.9 * model.history_[0]["valid_loss"]
    assert np.isfinite(model.reconstruct(digits)).all()


@pytest.mark.extended
def test_robust_losses_leave_outlying_entries_out(digits):
    rng = np.random.default_rng(0)
    X = digits + 5 * (rng.uniform(size=digits.shape) < 0.02)
    errors = {}
    for name in ("squared_error", "absolute_error", "huber"):
        loss = Huber(delta=0.2) if name == "huber" else name
        model = AutoencoderTransformer(8, loss=loss, max_iter=30, random_state=0).fit(X)
        errors[name] = ((digits - model.reconstruct(X)) ** 2).mean()
    assert errors["absolute_error"] < 0.8 * errors["squared_error"]
    assert errors["huber"] < 0.8 * errors["squared_error"]


def test_reconstructions_lie_in_the_domain(digits):
    for name in ("binary_cross_entropy", "poisson", "multinomial"):
        model = AutoencoderTransformer(2, loss=name, max_iter=3, random_state=0).fit(digits)
        reconstructed = model.inverse_transform(1e3 * model.transform(digits))
        assert reconstructed.min() >= 0
        if name == "binary_cross_entropy":
            assert reconstructed.max() <= 1
        if name == "multinomial":
            assert_allclose(reconstructed.sum(1), 1)


def test_cross_entropy_in_another_range_is_that_in_the_unit_interval(digits):
    one = AutoencoderTransformer(2, loss="binary_cross_entropy", max_iter=3, random_state=0)
    other = AutoencoderTransformer(
        2, loss=BinaryCrossEntropy(feature_range=(0, 16)), max_iter=3, random_state=0
    )
    one.fit(digits)
    other.fit(16 * digits)
    assert_allclose(other.reconstruct(16 * digits), 16 * one.reconstruct(digits), rtol=1e-5)


def test_the_learnt_range_stays_for_later_rows(digits):
    model = AutoencoderTransformer(2, loss=BinaryCrossEntropy(feature_range=None), random_state=0)
    model.partial_fit(digits).partial_fit(digits[:50] / 2)
    assert model.loss_function_.width_ == 1
    with pytest.raises(ValueError, match=r"needs values in \[0, 1\]"):
        model.partial_fit(2 * digits)


# -- the domain ----------------------------------------------------------------------------------

# Rows outside the domain of the loss, and what the error tells.
OUTSIDE = {
    "binary_cross_entropy": (np.full((2, 5), 1.5), r"needs values in \[0, 1\]"),
    "poisson": (np.full((2, 5), -2.0), r"loss='poisson'.*-2"),
    "multinomial": (np.full((2, 5), -2.0), r"loss='multinomial'.*-2"),
}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_fit_and_check_refuse_values_outside_the_domain(name, form):
    rows, message = OUTSIDE[name]
    for method in (LOSSES[name]().fit, fitted(name).check):
        with pytest.raises(ValueError, match=message):
            method(form(rows))


@pytest.mark.parametrize("name", LOSSES)
def test_check_learns_nothing(name):
    loss = fitted(name)
    before = pickle.dumps(loss)
    assert loss.check(X[name][2:]) is None
    assert pickle.dumps(loss) == before


def test_check_refuses_missing_entries_of_whole_rows():
    rows = X["multinomial"].copy()
    rows[0, 0] = np.nan
    with pytest.raises(ValueError, match="takes none"):
        fitted("multinomial").check(rows)


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("way", ["warm start", "partial_fit"])
def test_later_rows_outside_the_domain_are_refused(name, way):
    model = AutoencoderTransformer(2, loss=name, warm_start=True, max_iter=1, random_state=0)
    model.fit(X[name])
    rows, message = OUTSIDE[name]
    with pytest.raises(ValueError, match=message):
        (model.fit if way == "warm start" else model.partial_fit)(rows)


def test_the_range_is_learnt_by_fit_alone():
    loss = BinaryCrossEntropy(feature_range=None).fit(np.array([[2.0, 5.0], [3.0, np.nan]]))
    eta = torch.tensor([[-1e3, 0.0, 1e3]])
    assert_array_equal(loss.link(eta), [[2, 3.5, 5]])
    loss.check(np.array([[3.0, 4.0]]))
    assert_array_equal(loss.link(eta), [[2, 3.5, 5]])
    for value in (1.0, 6.0):
        with pytest.raises(ValueError, match=r"needs values in \[2, 5\], but X has values in"):
            loss.check(np.array([[3.0, value]]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_learnt_range_holds_its_own_ends(dtype):
    # 0.1 + (0.7 - 0.1) is less than 0.7 in float64; many random pairs have such a sum
    for pair in [(0.1, 0.7), *np.random.default_rng(0).uniform(size=(200, 2))]:
        rows = np.array([pair], dtype)
        BinaryCrossEntropy(feature_range=None).fit(rows).check(rows)


@pytest.mark.parametrize("name", ["poisson", "multinomial"])
def test_negative_counts_are_refused(name, iris):
    with pytest.raises(ValueError, match=rf"Negative values in data: loss='{name}'.*-1"):
        AutoencoderTransformer(1, loss=name).fit(np.vstack([iris, -np.ones(4)]))


@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_values_outside_the_unit_interval_are_refused(value, digits):
    X = digits.copy()
    X[0, 0] = value
    with pytest.raises(ValueError, match=r"needs values in \[0, 1\].*feature_range"):
        AutoencoderTransformer(loss="binary_cross_entropy").fit(X)


@pytest.mark.parametrize("feature_range", [(1, 0), (0, 0), (0,), ("a", 1)])
def test_feature_range_must_be_two_increasing_numbers(feature_range, digits):
    with pytest.raises(ValueError, match="feature_range"):
        AutoencoderTransformer(loss=BinaryCrossEntropy(feature_range)).fit(digits)


def test_zero_rows_do_not_count_in_a_multinomial(digits):
    params = {"loss": "multinomial", "max_iter": 3, "random_state": 0}
    one = AutoencoderTransformer(2, **params).fit(digits)
    other = AutoencoderTransformer(2, **params).fit(np.vstack([digits, np.zeros((1, 64))]))
    assert_allclose(other.mean_, one.mean_)
    assert np.isfinite(other.transform(np.zeros((1, 64)))).all()


# -- likelihoods ---------------------------------------------------------------------------------


def test_the_likelihoods_are_those_that_are_documented():
    assert {name for name, loss in LOSSES.items() if issubclass(loss, Likelihood)} == {
        "squared_error",
        "absolute_error",
        "binary_cross_entropy",
        "poisson",
        "categorical_cross_entropy",
        "mixed",
    }


# The density of each entry, given the noise of the errors.
LOG_DENSITY = {
    "squared_error": lambda eta, x, noise: stats.norm(eta, np.sqrt(noise)).logpdf(x),
    "absolute_error": lambda eta, x, noise: stats.laplace(eta, noise).logpdf(x),
    "binary_cross_entropy": lambda eta, x, noise: (
        x * np.log(sigmoid(eta)) + (1 - x) * np.log(1 - sigmoid(eta))
    ),
    "poisson": lambda eta, x, noise: stats.poisson(np.exp(eta)).logpmf(x),
}


@pytest.mark.parametrize("name", LOG_DENSITY)
def test_the_log_likelihood_is_the_sum_over_the_observed_entries(name):
    loss = fitted(name)
    eta, rows = torch.tensor(ETA), X[name].copy()
    noise = loss.noise(eta, torch.tensor(rows))
    assert noise == pytest.approx(REFERENCE[name](ETA, rows).mean())
    expected = LOG_DENSITY[name](ETA, rows, noise)
    assert_allclose(loss.total_log_likelihood(eta, torch.tensor(rows), noise), expected.sum(1))
    rows[2, 1:3] = np.nan
    expected[2, 1:3] = 0
    assert_allclose(loss.total_log_likelihood(eta, torch.tensor(rows), noise), expected.sum(1))


def test_a_loss_that_is_no_likelihood_has_no_score_samples(iris):
    for loss in ("huber", "multinomial"):
        model = AutoencoderTransformer(1, loss=loss, penalty="variational", max_iter=1).fit(iris)
        assert not hasattr(model, "score_samples")


# -- as a scikit-learn estimator -----------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_a_clone_is_as_it_was_before_fit(name):
    new = clone(fitted(name))
    assert vars(new) == vars(LOSSES[name]())
    assert new.preparation is LOSSES[name].preparation


@pytest.mark.parametrize("name", LOSSES)
def test_a_fitted_loss_pickles(name):
    loss = fitted(name)
    again = pickle.loads(pickle.dumps(loss))
    assert_array_equal(target(again, X[name]), target(loss, X[name]))
    assert_array_equal(per_sample(again, ETA, X[name]), per_sample(loss, ETA, X[name]))


def test_a_loss_from_outside_takes_a_class(iris):
    class LogCosh(Loss):
        def per_sample(self, eta, x):
            return torch.log(torch.cosh(eta - x)).mean(1)

    model = AutoencoderTransformer(1, loss=LogCosh(), max_iter=50, random_state=0).fit(iris)
    assert model.loss_ < model.history_[0]["valid_loss"]
    assert "LogCosh" not in LOSSES


class Shifted(Loss):
    """The squared error less a thousand."""

    def per_sample(self, eta, x):
        return (eta - x).square().mean(1) - 1000


@pytest.mark.parametrize("penalty", [None, pytest.param("mmd", marks=pytest.mark.extended)])
def test_a_loss_below_zero_is_trained_as_any_other(digits, penalty):
    train, test = digits[:300], digits[300:]
    params = {"max_iter": 20, "penalty": penalty, "random_state": 0}
    model = AutoencoderTransformer(4, loss=Shifted(), **params).fit(train)
    assert model.best_iter_ > 0
    assert model.loss_ < model.history_[0]["valid_loss"] < -100
    assert model.score(test) > explained_variance_scorer(PCA(4).fit(train), test)
    if penalty is None:
        # without held-out rows only its gradient counts, which is the squared error's
        params["early_stopping"] = False
        model, same = (
            AutoencoderTransformer(4, loss=loss, transform_max_iter=0, **params).fit(train)
            for loss in (Shifted(), "squared_error")
        )
        assert_allclose(model.reconstruct(train), same.reconstruct(train), rtol=1e-4, atol=1e-4)


def test_a_rise_of_a_loss_below_zero_is_a_divergence(iris):
    message = "The training diverged.* Lower learning_rate"
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(
            1, loss=Shifted(), learning_rate=1e6, gradient_clip=None, max_iter=5, optimizer="sgd"
        ).fit(iris)


def test_the_paths_are_joined_in_the_loss_s_terms():
    mean, loss = X["poisson"].mean(0), fitted("poisson")
    f, g, standardization = nn.Identity(), nn.Identity(), Standardization(mean, 2.0)
    module = AutoencoderModule(f, g, None, None, loss, standardization, 5, False, False, None)
    linear, nonlinear = torch.full((1, 5), 0.25).double(), torch.tensor(ETA[:1])
    expected = (mean + 0.5) * np.exp(ETA[:1])
    eta = module.join(linear, nonlinear)
    assert_allclose(loss.link(eta), expected)
    assert_allclose(module.reconstruction(eta), (expected - mean) / 2)
    assert_allclose(module.target(linear), (mean + 0.5)[None])
