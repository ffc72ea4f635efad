"""Bad input gets an error that names it; odd but legitimate input a correct result."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from torch import nn

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.architectures import Architecture, Convolutional, Dense, Recurrent
from skae.corruptions import Corruption, Masking, ResidualNoise
from skae.losses import CategoricalCrossEntropy, Huber, Loss
from skae.metrics import explained_variance, explained_variance_scorer, reconstruction_error
from skae.optimizers import SGD, Adam, Optimizer
from skae.penalties import MMD, Penalty, Sparse, Variational
from skae.schedules import OneCycle, Plateau, Schedule, Step
from skae.scorings import Mahalanobis, Scoring


def fit(X, **params):
    return AutoencoderTransformer(**({"max_iter": 3, "random_state": 0} | params)).fit(X)


BAD_PARAMETERS = [
    ("n_components", [0, -1, 1.5, 0.0, "two"]),
    ("architecture", ["dens", 3, Dense, ()]),
    ("hidden_layer_sizes", [8, "wide", (8, 0), (8, 2.5), ("a",)]),
    ("activation", ["sin", None]),
    ("input_shape", [4, (2, 0), (2.5,)]),
    ("penalty", ["l1", 0.1, Sparse]),
    ("corruption", ["salt", 0.1, ResidualNoise]),
    ("loss", ["mse", None, Huber]),
    ("init", ["zeros", None]),
    ("optimizer", ["lbfgs", None, Adam]),
    ("learning_rate", [0, -1, "fast", None]),
    ("schedule", ["linear", 1]),
    ("alpha", [-0.1, None]),
    ("gradient_clip", [0, -1, "auto"]),
    ("trim", [-0.1, 1.0, None]),
    ("batch_size", [0, 2.5, "all"]),
    ("max_iter", [-1, 2.5, None, "all"]),
    ("tol", [-1e-4, None]),
    ("early_stopping", [1.5, "yes"]),
    ("validation_fraction", [0, 1, -0.1]),
    ("n_iter_no_change", [0, None]),
    ("warm_start", ["yes"]),
    ("callbacks", ["EarlyStopping"]),
    ("device", [3, None, "gpu"]),
    ("random_state", ["seed"]),
    ("verbose", [-1, "yes"]),
]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_PARAMETERS for value in values]
)
def test_a_bad_parameter_is_named(name, value, iris):
    with pytest.raises(ValueError, match=f"'{name}' parameter.*must") as caught:
        fit(iris, **{name: value})
    assert repr(value) in str(caught.value)


BAD_DETECTOR_PARAMETERS = [
    ("n_components", [0, "two"]),
    ("scoring", ["iforest", None, Mahalanobis]),
    ("contamination", [0.6, -0.1, "none", None]),
    ("n_folds", [1, 2.5, "auto"]),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD_DETECTOR_PARAMETERS for value in values],
)
def test_a_bad_parameter_of_the_detector_is_named(name, value, iris):
    with pytest.raises(ValueError, match=f"'{name}' parameter.*must") as caught:
        AutoencoderAnomalyDetector(**{name: value}).fit(iris)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("loss", "mse", "squared_error"),
        ("loss", "L1Loss", "absolute_error"),
        ("loss", "mean_squared_error", "squared_error"),
        ("loss", "squared_eror", "squared_error"),
        ("optimizer", "Adam", "adam"),
        ("optimizer", "RMSProp", "rmsprop"),
        ("schedule", "OneCycleLR", "one_cycle"),
        ("schedule", "CosineAnnealingLR", "cosine"),
        ("architecture", "cnn", "convolutional"),
        ("architecture", "lstm", "recurrent"),
        ("architecture", "MLP", "dense"),
        ("penalty", "VAE", "variational"),
        ("corruption", "dropout", "masking"),
        ("activation", "LeakyReLU", "leaky_relu"),
        ("activation", "logistic", "sigmoid"),
    ],
)
def test_other_spellings_of_a_name_are_understood_by_the_error(name, value, meant, iris):
    for model in (AutoencoderTransformer(), AutoencoderAnomalyDetector()):
        with pytest.raises(
            ValueError, match=f"'{name}' parameter of {type(model).__name__}.*"
        ) as e:
            model.set_params(**{name: value}).fit(iris)
        assert str(e.value).endswith(f"Got {value!r} instead. Did you mean {meant!r}?")


def test_nothing_is_suggested_for_what_is_like_no_name(iris):
    for params in (
        {"loss": "anything"},
        {"optimizer": 3},
        {"max_iter": "adam"},
        {"init": "kaiming"},
    ):
        with pytest.raises(ValueError, match=r"instead\.$"):
            fit(iris, **params)


def test_every_other_spelling_is_a_name_of_one_strategy():
    for kind in (Architecture, Corruption, Loss, Optimizer, Penalty, Schedule, Scoring):
        assert set(kind.spellings.values()) <= set(kind.registry)
        assert set(kind.spellings).isdisjoint(kind.registry)


@pytest.mark.parametrize("estimator", [AutoencoderTransformer, AutoencoderAnomalyDetector])
def test_a_misspelt_parameter_names_the_class(estimator):
    with pytest.raises(TypeError, match=f"{estimator.__name__}.*'n_componets'"):
        estimator(n_componets=2)
    with pytest.raises(ValueError, match=f"'n_componets' for estimator {estimator.__name__}"):
        estimator().set_params(n_componets=2)


def test_an_instance_of_a_module_says_what_to_pass(iris):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.decode = nn.Linear(4, 2), nn.Linear(2, 4)

    message = r"pass its class, Net, or a pair of modules \(encoder, decoder\)"
    with pytest.raises(ValueError, match=message):
        fit(iris, architecture=Net())
    # what it says works
    for architecture in (Net, (nn.Linear(4, 2), nn.Linear(2, 4))):
        assert fit(iris, architecture=architecture).transform(iris).shape == (150, 2)


@pytest.mark.parametrize("architecture", ["convolutional", "recurrent"])
def test_a_flat_table_is_a_series_and_said_to_be(architecture, iris):
    message = r"a series of 4 steps of one value by .*\. Pass input_shape=\(4,\)"
    with pytest.warns(UserWarning, match=message):
        model = fit(iris, architecture=architecture)
    same = fit(iris, architecture=architecture, input_shape=(4,))
    assert_array_equal(model.transform(iris), same.transform(iris))


@pytest.mark.parametrize("fraction", [0, 1.1, "half"])
def test_a_bad_support_fraction_is_named(fraction, iris):
    with pytest.raises(ValueError, match="'support_fraction' parameter of Mahalanobis"):
        AutoencoderAnomalyDetector(scoring=Mahalanobis(support_fraction=fraction)).fit(iris)


@pytest.mark.parametrize(
    ("parameter", "strategy", "name"),
    [
        ("loss", Huber(delta=0), "delta"),
        ("optimizer", SGD(momentum=1.0), "momentum"),
        ("optimizer", Adam(beta_1=-1), "beta_1"),
        ("schedule", OneCycle(warm_up=0), "warm_up"),
        ("schedule", Plateau(factor=2), "factor"),
        ("schedule", Step(n_steps=0), "n_steps"),
        ("architecture", Dense(linear_path="yes"), "linear_path"),
        ("architecture", Dense(dropout=1.0), "dropout"),
        ("architecture", Dense(norm="group"), "norm"),
        ("architecture", Convolutional(kernel_size=0), "kernel_size"),
        ("architecture", Recurrent("rnn"), "cell"),
        ("penalty", Sparse("l2"), "kind"),
        ("penalty", Variational(beta=0), "beta"),
        ("penalty", MMD(max_rows=1), "max_rows"),
        ("corruption", ResidualNoise(level=0), "level"),
        ("corruption", Masking(fraction=1), "fraction"),
        ("corruption", Masking(fill="zero"), "fill"),
        ("loss", CategoricalCrossEntropy(n_tokens=1), "n_tokens"),
    ],
)
def test_a_bad_parameter_of_a_strategy_is_named(parameter, strategy, name, iris):
    with pytest.raises(ValueError, match=f"'{name}' parameter of {type(strategy).__name__}"):
        fit(iris, **{parameter: strategy})


def test_pca_start_needs_the_linear_path(iris):
    with pytest.raises(ValueError, match=r"init='pca'.*linear_path=True.*init='random'"):
        fit(iris, architecture=Dense(linear_path=False))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(iris):
    with pytest.raises(ValueError, match="device='cuda' is not available"):
        fit(iris, device="cuda")


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((1, 4)), "1 sample"),
        (np.ones((0, 4)), r"0 sample\(s\)"),
        (np.ones((4, 0)), r"0 feature\(s\)"),
        (np.ones(4), "Expected 2D array, got 1D"),
        (np.array([["a", "b"], ["c", "d"]]), "could not convert string to float"),
        (np.array([["a", 1.0], ["c", 2.0]], dtype=object), "could not convert string to float"),
        (np.full((3, 2), np.nan), "X holds nothing but NaN"),
        (np.array([[1.0, np.inf], [2.0, 3.0]]), "contains infinity"),
        (np.array([[1j, 2], [2, 3]]), "Complex data not supported"),
        (np.ones((5, 2, 2)), r"shape \(5, 2, 2\).*input_shape"),
    ],
)
def test_bad_rows_are_told_apart(X, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fit(X)


def test_rows_to_transform_are_checked(iris):
    model = fit(iris)
    with pytest.raises(ValueError, match=r"3 features, but .* is expecting 4"):
        model.transform(iris[:, :3])
    with pytest.raises(ValueError, match="contains infinity"):
        model.transform(iris * np.inf)
    with pytest.raises(ValueError, match=r"3 columns, but .* n_components_=2"):
        model.inverse_transform(np.ones((2, 3)))
    with pytest.raises(ValueError, match="contains NaN"):
        model.inverse_transform(np.full((2, 2), np.nan))


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "reconstruct", "score"])
def test_before_fit(method, iris):
    with pytest.raises(NotFittedError):
        getattr(AutoencoderTransformer(), method)(iris)


def test_bad_weights(iris):
    model = AutoencoderTransformer(max_iter=1)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        model.fit(iris, sample_weight=-np.ones(150))
    with pytest.raises(ValueError, match=r"sample_weight.*shape"):
        model.fit(iris, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match=r"all .*zero|non-zero"):
        model.fit(iris, sample_weight=np.zeros(150))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30, -7.0])
@pytest.mark.parametrize("max_iter", [0, 3])
def test_constant_data_come_back(value, max_iter):
    X = np.full((12, 3), value)
    model = fit(X, max_iter=max_iter)
    assert_allclose(model.reconstruct(X), X)
    assert_allclose(model.transform(X), 0, atol=1e-7)
    assert model.score(X) == 1


def test_a_constant_column(iris):
    X = np.hstack([iris, np.full((150, 1), 5.0)])
    model = fit(X, max_iter=20)
    assert_allclose(model.reconstruct(X)[:, 4], 5, atol=0.2)
    start, pca = fit(X, max_iter=0), PCA(2).fit(X)
    assert_allclose(start.reconstruct(X), pca.inverse_transform(pca.transform(X)), atol=1e-10)


@pytest.mark.parametrize("factor", [1e30, 1e150, 1e-150])
def test_huge_and_tiny_values(factor, iris):
    model = fit(factor * iris)
    expected = factor * fit(iris).reconstruct(iris)
    assert_allclose(model.reconstruct(factor * iris), expected, rtol=1e-3)


def test_huge_values_in_float32(iris):
    X = (1e30 * iris).astype(np.float32)
    model = fit(X)
    assert model.reconstruct(X).dtype == np.float32
    assert_allclose(model.reconstruct(X), 1e30 * fit(iris).reconstruct(iris), rtol=1e-2)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8, np.int64, bool, object])
def test_other_types_are_made_float(dtype, digits):
    X = (digits > 0.5).astype(dtype)
    model = fit(X)
    assert model.transform(X).dtype == np.float64
    assert_allclose(model.transform(X), fit(X.astype(float)).transform(X.astype(float)))


@pytest.mark.parametrize("container", [pd.DataFrame, lambda X: X.tolist(), np.asfortranarray])
def test_other_containers(container, iris):
    assert_allclose(fit(container(iris)).transform(iris), fit(iris).transform(iris))


def test_read_only_rows_stay_as_they_are(iris):
    X = iris.copy()
    X.setflags(write=False)
    fit(X).transform(X)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (20, 3), (5, 40), (20, 1)])
@pytest.mark.parametrize("n_components", [1, 2, None])
def test_small_data(shape, n_components):
    X = np.random.default_rng(0).normal(size=shape)
    model = fit(X, n_components=n_components)
    assert np.isfinite(model.reconstruct(X)).all()
    assert model.transform(X).shape == (shape[0], model.n_components_)


def test_one_row_many_times():
    X = np.repeat([[1.0, 2.0, 3.0]], 10, axis=0)
    model = fit(X)
    assert_allclose(model.reconstruct(X), X)
    assert model.n_iter_ == 0


def test_samples_with_a_shape(digits):
    images = digits.reshape(-1, 8, 8)
    model = fit(images, input_shape=(8, 8))
    assert model.n_features_in_ == 64
    assert_allclose(model.transform(images), model.transform(digits))
    assert model.reconstruct(images).shape == digits.shape
    with pytest.raises(ValueError, match=r"\(400, 4, 16\).*input_shape \(now \(8, 8\)\)"):
        model.transform(digits.reshape(-1, 4, 16))
    with pytest.raises(ValueError, match=r"64 features, but input_shape=\(4, 4\) has 16"):
        fit(digits, input_shape=(4, 4))


ESTIMATORS = [AutoencoderTransformer, AutoencoderAnomalyDetector]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("corruption", ["residual", None])
@pytest.mark.parametrize("init", ["pca", "random"])
def test_a_rate_that_is_much_too_high_is_named(estimator, corruption, init, iris):
    model = estimator(
        learning_rate=1e10, init=init, corruption=corruption, max_iter=20, random_state=0
    )
    with pytest.raises(ValueError, match=r"training diverged.*learning_rate \(now 1e\+10\)"):
        model.set_params(schedule=None, gradient_clip=None).fit(iris)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("loss", "X", "message"),
    [
        ("multinomial", np.zeros((12, 3)), "multinomial.*total above zero, and all of X is zero"),
        ("categorical_cross_entropy", np.full((12, 3), np.nan), "X holds nothing but NaN"),
        (
            "categorical_cross_entropy",
            np.random.default_rng(0).normal(size=(2000, 20)),
            r"tokens that occur again and again, but the \d+ entries of X have \d+ distinct values",
        ),
    ],
)
def test_a_loss_names_rows_that_it_cannot_take(estimator, loss, X, message):
    with pytest.raises(ValueError, match=message):
        estimator(loss=loss, max_iter=1).fit(X)


def test_a_part_of_a_large_vocabulary():
    # indicators of 20,000 tokens, of which no square matrix may be made
    X = np.random.default_rng(0).integers(20_000, size=(12, 2))
    loss = CategoricalCrossEntropy(n_tokens=20_000)
    model = fit(X, loss=loss, max_iter=0, init="random", hidden_layer_sizes=(2,))
    assert set(model.reconstruct(X).ravel()) <= set(range(20_000))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [2.0**133, 2.0**-1000, 2.0**1000])
def test_the_unit_of_weights_does_not_matter(estimator, dtype, factor, iris):
    X, weight = iris.astype(dtype), 1.0 + np.arange(150) % 3
    params = {"max_iter": 2, "hidden_layer_sizes": (8,), "random_state": 0}
    model = estimator(**params).fit(X, sample_weight=factor * weight)
    expected = estimator(**params).fit(X, sample_weight=weight)
    np.testing.assert_array_equal(model.transform(X), expected.transform(X))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_too_large_are_named(estimator, dtype, iris):
    X = iris.astype(dtype) / 8 * np.finfo(dtype).max
    with pytest.raises(ValueError, match=rf"X has values as large as .*{dtype.__name__}.*Divide X"):
        estimator(max_iter=2).fit(X)
    model = estimator(max_iter=0, random_state=0).fit(iris.astype(dtype))
    for call in (model.transform, model.reconstruct, model.inverse_transform):
        with pytest.raises(ValueError, match="X has values as large as"):
            call(X[:, :2] if call == model.inverse_transform else X)


class Bound(Penalty):
    """A bound of the likelihood, without a prior to draw codes from."""

    bound = True

    def divergence(self, batch):
        return 0.5 * batch.code.square().sum(1)

    def terms(self, batch):
        return {"divergence": batch.temperature * self.divergence(batch)}


def test_a_bound_without_a_prior(iris):
    model = fit(iris, penalty=Bound())
    assert np.isfinite(model.score_samples(iris)).all()
    assert model.sample(5, random_state=0).shape == (5, 4)
    # a penalty that was set after the fit is none of the fitted net's
    plain = fit(iris).set_params(penalty=Bound())
    with pytest.raises(AttributeError, match="has no attribute 'score_samples'"):
        plain.score_samples(iris)


@pytest.mark.parametrize("factor", [1e300, 1e155, 1e-160, 1e-300])
def test_scores_of_any_size(factor, iris):
    weight = np.arange(150.0)
    model, X = fit(iris * factor, max_iter=0), iris * factor
    pca = PCA(2).fit(iris)
    expected = explained_variance_scorer(pca, iris)
    assert_allclose(model.score(X), expected)
    rebuilt = pca.inverse_transform(pca.transform(iris))
    residual, centred = iris - rebuilt, iris - np.average(iris, axis=0, weights=weight)
    share = 1 - (weight @ residual**2).sum() / (weight @ centred**2).sum()
    assert_allclose(explained_variance(X, rebuilt * factor, weight * 1e300), share)
    root = np.sqrt(factor)  # the error is in squared units
    error = reconstruction_error(iris * root, rebuilt * root)
    assert_allclose(error / factor, reconstruction_error(iris, rebuilt))


def test_a_row_without_tokens_has_no_score():
    X = np.random.default_rng(0).integers(3, size=(20, 4)).astype(float)
    X[0] = np.nan
    model = fit(X, loss="categorical_cross_entropy", hidden_layer_sizes=(4,))
    right = model.reconstruct(X[1:]) == X[1:]
    assert_allclose(model.score(X), right.mean())


@pytest.mark.parametrize(("name", "value"), [("alpha", 1e300), ("learning_rate", 1e100)])
def test_a_number_that_a_net_cannot_compute_with_is_named(name, value, iris):
    with pytest.raises(
        ValueError, match=f"'{name}' parameter must be a float of at most 3.4e\\+38"
    ):
        fit(iris, **{name: value})


def test_the_last_step_counts(iris):
    # its weights are in no loss: without held-out rows nothing would say that they are useless
    params = {"optimizer": "sgd", "learning_rate": 1e30, "gradient_clip": None, "schedule": None}
    model = AutoencoderTransformer(batch_size=None, corruption=None, **params)
    model.set_params(early_stopping=False, max_iter=1)
    for call in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=r"diverged: the reconstruction error is (nan|inf)"):
            call(iris)


def test_a_penalty_on_codes_that_are_all_zero():
    model = fit(np.zeros((20, 3)), penalty="contractive", n_components=5)
    assert model.loss_ == 0


def test_rows_that_next_to_no_weight_is_on_may_not_be_anywhere(iris):
    X, weight = iris.copy(), np.ones(150)
    X[7], weight[7] = 1e60, 1e-300
    with pytest.raises(ValueError, match=r"sample_weight is next to nothing.* Leave them out"):
        AutoencoderTransformer(max_iter=1).fit(X, sample_weight=weight)
    # nearer ones count next to nothing
    X[7] = 1e5
    params = {"max_iter": 20, "early_stopping": False, "random_state": 0}
    model = AutoencoderTransformer(**params).fit(X, sample_weight=weight)
    others = np.arange(150) != 7
    pca = PCA(2).fit(X[others])
    assert model.score(X[others]) > 0.99 * explained_variance_scorer(pca, X[others])


def test_rows_far_from_those_of_the_first_fit_are_named(iris):
    model = fit(iris, warm_start=True)
    before = model.transform(iris)
    with pytest.raises(ValueError, match=r"far from those of the first fit.* warm_start=False"):
        model.fit(1e40 * iris)
    assert_array_equal(model.transform(iris), before)
    assert np.isfinite(model.set_params(warm_start=False).fit(1e40 * iris).transform(iris)).all()


def test_the_smallest_numbers_are_codes_of_one_kind():
    X = np.random.default_rng(0).integers(-4, 5, size=(40, 4)) * 5e-324
    model = fit(X)
    assert np.isfinite(model.sample(3, 0)).all()


def test_a_fill_far_from_all_rows_is_named(iris):
    with pytest.raises(ValueError, match=r"'fill' parameter of Masking must be .* which is inf"):
        fit(1e-300 * iris, corruption=Masking(fill=1e10))
    assert np.isfinite(fit(iris, corruption=Masking(fill=10.0)).loss_)


def test_nearly_all_the_weight_may_be_on_one_row():
    X = 1e155 * np.eye(4)[[3, 2, 2, 1, 1, 0, 0, 0, 0, 3, 2, 3]]
    weight = 10.0 ** np.array([38, -92, 62, 46, -64, 22, 0, -95, 85, 43, -38, -97])
    model = AutoencoderAnomalyDetector(hidden_layer_sizes=(6,), max_iter=1, random_state=0)
    assert np.isfinite(model.fit(X, sample_weight=weight).score_samples(X)).all()
