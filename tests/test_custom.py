"""Modules of the user's own: a class with parameters, a pair, and what they must return."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from torch import nn

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.architectures import Module, Pair


class Net(nn.Module):
    """Takes some of the names that skae passes on, and one of its own."""

    def __init__(self, input_shape, n_components, n_outputs, width=8):
        super().__init__()
        n_features = int(np.prod(input_shape))
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(n_features, width), nn.Dropout(0.1))
        self.second = nn.Linear(width, n_outputs)
        self.back = nn.Sequential(
            nn.Linear(n_components, width), nn.Tanh(), nn.Linear(width, n_features)
        )
        self.input_shape = input_shape

    def encode(self, x):
        assert x.shape[1:] == self.input_shape
        return self.second(torch.relu(self.first(x)))

    def decode(self, z):
        return self.back(z).unflatten(1, self.input_shape)


class OnlyEncodes(nn.Module):
    def encode(self, x):
        return x


class Narrow(nn.Module):
    """Returns one number whatever is asked for."""

    def encode(self, x):
        return x[:, :1]

    def decode(self, z):
        return z


def pair(n_features=64, n_components=3):
    torch.manual_seed(0)
    return (
        nn.Sequential(nn.Linear(n_features, 6), nn.Tanh(), nn.Linear(6, n_components)),
        nn.Sequential(nn.Linear(n_components, 6), nn.Tanh(), nn.Linear(6, n_features)),
    )


def fit(X, architecture, **params):
    params = {"n_components": 3, "max_iter": 3, "random_state": 0} | params
    return AutoencoderTransformer(architecture=architecture, **params).fit(X)


CUSTOM = {"class": Net, "module": Module(Net, width=5), "tuple": pair(), "pair": Pair(*pair())}


@pytest.mark.extended
@pytest.mark.parametrize("kind", CUSTOM)
def test_any_module_starts_as_pca_and_learns(kind, digits):
    start = fit(digits, CUSTOM[kind], max_iter=0)
    pca = PCA(3).fit(digits)
    expected = pca.inverse_transform(pca.transform(digits))
    assert_allclose(start.reconstruct(digits), expected, atol=1e-9)
    model = fit(digits, CUSTOM[kind], max_iter=40, early_stopping=False)
    assert model.score(digits) > start.score(digits)


@pytest.mark.parametrize("kind", CUSTOM)
def test_copies_are_equal_and_independent(kind, digits):
    model = fit(digits, CUSTOM[kind])
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.transform(digits), model.transform(digits))
    twin = clone(model).fit(digits)
    assert_array_equal(twin.transform(digits), model.transform(digits))


def test_a_module_alone_without_the_linear_path(digits):
    model = fit(digits, Net, init="random")
    assert model.module_.E is None
    scale = np.sqrt(digits.var(axis=0).mean())
    x = torch.tensor((digits - model.mean_) / scale)
    codes = model.module_.f.module.encode(x) * scale
    assert_allclose(model.transform(digits), codes.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("init", ["pca", "random"])
def test_a_last_layer_of_zeros_may_act_on_more_dimensions(init, digits):
    last = nn.Linear(4, 8, bias=False)
    nn.init.zeros_(last.weight)
    f = nn.Sequential(nn.Unflatten(1, (8, 8)), nn.Linear(8, 3, bias=False), nn.Flatten())
    g = nn.Sequential(nn.Linear(24, 32), nn.Unflatten(1, (8, 4)), last)
    model = fit(digits, (f, g), n_components=24, max_iter=0, init=init)
    pca = PCA(24).fit(digits)
    expected = pca.inverse_transform(pca.transform(digits)) if init == "pca" else pca.mean_
    assert_allclose(model.reconstruct(digits), np.broadcast_to(expected, digits.shape), atol=1e-9)


def test_the_given_modules_are_not_trained(digits):
    encoder, decoder = pair()
    before = [p.clone() for p in (*encoder.parameters(), *decoder.parameters())]
    fit(digits, (encoder, decoder), early_stopping=False)
    after = [*encoder.parameters(), *decoder.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_search_reaches_the_arguments(digits):
    search = GridSearchCV(
        AutoencoderTransformer(3, architecture=Module(Net), max_iter=2, random_state=0),
        {"architecture__width": [2, 9]},
        cv=2,
    ).fit(digits)
    widths = [Module(Net, **{"width": w}).get_params()["width"] for w in (2, 9)]
    assert widths == [2, 9]
    best = search.best_params_["architecture__width"]
    assert search.best_estimator_.module_.f.module.second.in_features == best
    assert "width=3" in repr(AutoencoderTransformer(architecture=Module(Net, width=3)))


def test_samples_have_their_shape(digits):
    model = fit(digits, Net, input_shape=(8, 8))
    assert model.module_.f.module.input_shape == (8, 8)
    assert model.transform(digits.reshape(-1, 8, 8)).shape == (400, 3)


def test_a_variational_module_returns_more(digits):
    model = fit(digits, Net, penalty="variational")
    assert model.module_.f.module.second.out_features == 6
    assert model.transform(digits).shape == (400, 3)


def test_the_detector_takes_modules(digits):
    model = AutoencoderAnomalyDetector(architecture=Module(Net, width=4), random_state=0)
    assert (model.fit_predict(digits) == -1).mean() == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (OnlyEncodes, "needs a method 'decode'"),
        (Narrow, r"encoder must return 3 values a sample.* but it returned 1"),
        (pair(n_components=5), r"encoder must return 3 values a sample.* but it returned 5"),
        (pair(n_features=60), "cannot take what it is given"),
        (dict, "'architecture' parameter must be a name, an Architecture, a subclass"),
        ((nn.Linear(1, 1),), "'architecture' parameter must be"),
        ((1, 2), "'encoder' parameter of Pair must be a torch.nn.Module, got 1"),
        (Module(dict), "'module' parameter of Module must be a subclass of torch.nn.Module"),
        (Module(Net, with_=3), "with_"),
    ],
)
def test_what_a_module_must_do(architecture, message, digits):
    with pytest.raises((ValueError, TypeError), match=message):
        fit(digits, architecture)
