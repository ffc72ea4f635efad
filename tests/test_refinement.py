"""Codes that lead on from the encoder's to those with the smallest error."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import least_squares, minimize
from scipy.special import xlogy
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, train_test_split
from torch import nn

from skae import AutoencoderTransformer
from skae.architectures import ACTIVATIONS, Convolutional, Dense
from skae.model_selection import BatchedGridSearchCV


@pytest.fixture(scope="module")
def halves(digits):
    return train_test_split(digits, test_size=0.5, random_state=0)


def new(n_steps=2, **params):
    defaults = {
        "hidden_layer_sizes": (16,),
        "max_iter": 40,
        "early_stopping": False,
        "random_state": 0,
    }
    return AutoencoderTransformer(4, transform_max_iter=n_steps, **(defaults | params))


def squares(rows, rebuilt):
    return np.square(rows - rebuilt).sum(1)


def alone(model):
    """Return a model without its fallback to PCA."""
    model = copy.deepcopy(model)
    model.module_.fallback = None
    return model


@pytest.mark.parametrize(
    "params",
    [
        {},
        pytest.param({"init": "random"}, marks=pytest.mark.extended),
        {"architecture": Dense(tied=True)},
        pytest.param(
            {"architecture": Dense(norm="batch", dropout=0.1)}, marks=pytest.mark.extended
        ),
        pytest.param(
            {"hidden_layer_sizes": (16, 8), "activation": "tanh"}, marks=pytest.mark.extended
        ),
        {"architecture": "convolutional", "input_shape": (8, 8), "hidden_layer_sizes": (4, 8)},
        pytest.param(
            {
                "architecture": Convolutional(norm="batch", n_residual_blocks=1),
                "input_shape": (64,),
                "max_iter": 20,
            },
            marks=pytest.mark.extended,
        ),
    ],
    ids=str,
)
def test_new_rows_come_most_of_the_way_to_their_best_codes(params, halves):
    train, test = halves
    test = test[:12]
    encoder, refined = (alone(new(n, **params).fit(train)) for n in (0, 4))
    assert refined.best_iter_ > 0
    for own, other in zip(encoder.module_.parameters(), refined.module_.parameters(), strict=True):
        assert_array_equal(own.detach(), other.detach())
    codes = encoder.transform(test)

    def residual(code, row):
        return refined.inverse_transform(code[None])[0] - row

    pairs = zip(codes, test, strict=True)
    best = np.stack([least_squares(residual, code, args=(row,)).x for code, row in pairs])
    errors = [
        squares(test, refined.inverse_transform(z)) for z in (codes, refined.transform(test), best)
    ]
    assert_allclose(errors[1], squares(test, refined.reconstruct(test)), rtol=1e-9)
    assert (errors[1] <= 1.0002 * errors[0]).all()
    start, found, least = (each.mean() for each in errors)
    assert least < 0.98 * start
    assert start - found > 0.7 * (start - least)


def cross_entropies(X, p):
    return -(xlogy(X, p) + xlogy(1 - X, 1 - p)).sum(1)


def multinomial_deviances(X, rebuilt):
    return (xlogy(X, X) - xlogy(X, rebuilt)).sum(1)


def poisson_deviances(X, rebuilt):
    return (xlogy(X, X / rebuilt) - X + rebuilt).sum(1)


DEVIANCES = {
    "binary_cross_entropy": cross_entropies,
    "multinomial": multinomial_deviances,
    "poisson": poisson_deviances,
}


@pytest.mark.parametrize(
    "loss",
    [
        "poisson",
        *(pytest.param(n, marks=pytest.mark.extended) for n in DEVIANCES if n != "poisson"),
    ],
)
def test_other_losses_have_better_codes_too(loss, halves):
    train, test = halves[0], halves[1][:6]
    params, deviances = {"loss": loss}, DEVIANCES[loss]
    encoder, refined = (alone(new(n, **params).fit(train)) for n in (0, 4))
    codes, totals = encoder.transform(test), 1.0
    if loss == "multinomial":
        totals = test.sum(1, keepdims=True)

    def rebuilt(codes):
        return totals * refined.inverse_transform(codes)

    def total(codes):
        return deviances(test, rebuilt(codes.reshape(6, 4))).sum()

    best = minimize(total, codes.ravel(), method="L-BFGS-B").x.reshape(6, 4)
    pairs = codes, refined.transform(test), best
    start, found, least = (deviances(test, rebuilt(each)) for each in pairs)
    assert_allclose(found, deviances(test, refined.reconstruct(test)), rtol=1e-9)
    assert (found <= 1.0005 * start).all()
    start, found, least = start.mean(), found.mean(), least.mean()
    assert start - found > 0.6 * (start - least)
    # The start is PCA all the same, whose codes are not the best ones by such a loss.
    at_start = [new(n, **params | {"max_iter": 0}).fit(train).transform(test) for n in (0, 4)]
    assert_array_equal(*at_start)


def test_more_steps_have_smaller_errors(halves):
    train, test = halves
    errors = [squares(test, new(n).fit(train).reconstruct(test)).mean() for n in (0, 1, 2, 8)]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.97 * errors[0]


def test_a_step_is_that_of_steepest_descent(halves):
    # Without curvature the decoder is a matrix, and the step can be written down.
    train, test = halves
    params = {"activation": "identity", "corruption": None, "max_iter": 5}
    encoder, refined = (alone(new(n, **params).fit(train)) for n in (0, 1))
    codes = encoder.transform(test)
    origin = refined.inverse_transform(np.zeros((1, 4)))
    D = refined.inverse_transform(np.eye(4)) - origin
    gradient = (test - origin - codes @ D) @ D.T
    lengths = squares(gradient, 0) / squares(gradient @ D, 0)
    assert_allclose(refined.transform(test), codes + lengths[:, None] * gradient, rtol=1e-6)


DECODERS = {name: {"activation": name} for name in ACTIVATIONS} | {
    "batch norm": {"architecture": Dense(norm="batch")},
    "image": {"architecture": "convolutional", "input_shape": (8, 8)},
    "odd image": {
        "architecture": Convolutional(kernel_size=5, stride=3, norm="batch"),
        "input_shape": (4, 16),
    },
    "image of three channels": {
        "architecture": Convolutional(n_residual_blocks=2, norm="batch"),
        "input_shape": (4, 4, 4),
        "activation": "identity",
    },
    "series": {
        "architecture": Convolutional(kernel_size=3, n_residual_blocks=1),
        "input_shape": (64,),
    },
    "series of two values": {
        "architecture": Convolutional(n_dims=1, norm="batch"),
        "input_shape": (32, 2),
    },
    "log link": {"loss": "poisson"},
    "logit link, tied": {"loss": "binary_cross_entropy", "architecture": Dense(tied=True)},
    "softmax link, image": {
        "loss": "multinomial",
        "architecture": "convolutional",
        "input_shape": (8, 8),
    },
    "no stages": {
        "architecture": "convolutional",
        "input_shape": (8, 8),
        "hidden_layer_sizes": (),
    },
}


@pytest.mark.parametrize("name", DECODERS)
def test_derivatives_of_the_decoder(name, halves):
    model = new(**{"max_iter": 2} | DECODERS[name]).fit(halves[0])
    module = model.module_
    assert module.refinements
    generator = torch.Generator().manual_seed(0)
    z, step = torch.randn(2, 5, 4, dtype=torch.float64, generator=generator)
    residual = torch.randn(5, 64, dtype=torch.float64, generator=generator)
    z.requires_grad_()
    eta, slopes = module._with_slopes(z)
    (expected,) = torch.autograd.grad((eta * residual).sum(), z)
    assert_allclose(module._gradient(residual, slopes).detach(), expected, rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        ahead, behind = (module.decode(z + h * step) for h in (1e-5, -1e-5))
        found = module._derivative(step, slopes)
    # an activation with a kink may have it between the two
    near = np.isclose(found, (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-6)
    assert near.mean() > 0.98


OF_IMAGES = nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, (8, 8)), nn.Linear(8, 8))
IN_PLACE = nn.Sequential(nn.Linear(4, 64), nn.ReLU(inplace=True))


def noisy(X):
    return X + 0.1 * np.random.default_rng(0).normal(size=X.shape)


MORE_THAN_CODES = {
    "sparse": {"penalty": "sparse"},
    "variational": {"penalty": "variational"},
    "masking": {"corruption": "masking"},
    "absolute error": {"loss": "absolute_error"},
    "series": {"architecture": "recurrent", "input_shape": (8, 8), "max_iter": 1},
    "layer norm": {"architecture": Dense(norm="layer")},
    "axes of your own": {"architecture": (nn.Linear(64, 4), OF_IMAGES), "init": "random"},
    "in place": {"architecture": (nn.Linear(64, 4), IN_PLACE), "init": "random"},
    "pairs": {"target": noisy},
}


@pytest.mark.parametrize("name", MORE_THAN_CODES)
def test_codes_that_are_more_than_good_codes_are_the_encoder_s(name, halves):
    train, test = halves
    params = {"early_stopping": False, "max_iter": 2} | MORE_THAN_CODES[name]
    target = params.pop("target", None)
    fit_params = {} if target is None else {"target": target(train)}
    models = [new(n, **params).fit(train, **fit_params) for n in (0, 2)]
    assert_array_equal(*(model.transform(test) for model in models))


def test_pca_s_codes_are_the_best_ones_already(halves):
    train, test = halves
    pca = PCA(4).fit(train)
    model = new(5, max_iter=0).fit(train)
    expected = pca.inverse_transform(pca.transform(test))
    assert_allclose(model.reconstruct(test), expected, atol=1e-12)
    # a net that does not leave PCA
    noise = np.random.default_rng(0).normal(size=(200, 6))
    model = new(5, max_iter=2, early_stopping=True).fit(noise)
    assert model.best_iter_ == 0
    pca = PCA(4).fit(noise)
    expected = pca.inverse_transform(pca.transform(noise))
    assert_allclose(model.reconstruct(noise), expected, atol=1e-12)


def test_a_stream_refines_its_codes(halves):
    train, test = halves
    errors = []
    for n_steps in (0, 2):
        model = new(n_steps)
        for _ in range(8):
            model.partial_fit(train)
        assert model.best_iter_ > 0
        errors.append(squares(test, model.reconstruct(test)).mean())
    assert errors[1] < errors[0]


def test_variances_are_those_of_the_refined_codes(halves):
    model = alone(new(early_stopping=False).fit(halves[0]))
    codes = model.transform(halves[0])
    assert_allclose(model.explained_variance_, codes.var(0, ddof=1), rtol=1e-4)


def test_a_batched_search_over_the_steps(halves):
    grid = {"transform_max_iter": [0, 3]}
    found = [
        search(new(), grid, cv=3).fit(halves[0]) for search in (GridSearchCV, BatchedGridSearchCV)
    ]
    assert found[0].best_params_ == found[1].best_params_ == {"transform_max_iter": 3}
    scores = [search.cv_results_["mean_test_score"] for search in found]
    assert_allclose(*scores, atol=1e-4)


@pytest.mark.parametrize("value", [-1, 1.5, "auto", None])
def test_the_number_of_steps_is_an_int(value, halves):
    with pytest.raises(ValueError, match=r"'transform_max_iter' parameter .* must be an int"):
        new(value).fit(halves[0])
