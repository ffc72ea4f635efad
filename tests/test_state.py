"""Copies of an estimator: cloned, pickled, loaded elsewhere, continued."""

import copy
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skae import AutoencoderTransformer
from skae.architectures import ARCHITECTURES
from skae.corruptions import CORRUPTIONS
from skae.losses import LOSSES, Huber
from skae.optimizers import OPTIMIZERS, SGD
from skae.penalties import PENALTIES


def fitted(X, **params):
    return AutoencoderTransformer(**({"max_iter": 5, "random_state": 0} | params)).fit(X)


def via_joblib(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


COPIES = {
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "joblib": via_joblib,
    "deepcopy": lambda model, folder: copy.deepcopy(model),
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_is_the_same_before_and_after_fit(way, iris, tmp_path):
    model = AutoencoderTransformer(2, max_iter=5, random_state=0)
    again = COPIES[way](model, tmp_path)
    assert again.get_params() == model.get_params()
    model.fit(iris)
    again = COPIES[way](model, tmp_path)
    assert_array_equal(again.transform(iris), model.transform(iris))
    assert_array_equal(again.components_, model.components_)
    assert again.history_ == model.history_
    assert [dict(row)["epoch"] for row in again.net_.history] == list(range(1, 6))


@pytest.mark.parametrize("loss", LOSSES)
def test_pickle_with_every_loss(loss, digits):
    model = fitted(digits, loss=loss)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.reconstruct(digits), model.reconstruct(digits))


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_copy_with_a_penalty_goes_on(penalty, iris):
    model = AutoencoderTransformer(2, penalty=penalty, random_state=0)
    model.partial_fit(iris).partial_fit(iris)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.sample(3, random_state=0), model.sample(3, random_state=0))
    assert_array_equal(
        again.partial_fit(iris).transform(iris), model.partial_fit(iris).transform(iris)
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_copy_goes_on_as_the_original_would(optimizer, iris):
    model = AutoencoderTransformer(1, optimizer=optimizer, random_state=0)
    model.partial_fit(iris).partial_fit(iris)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(
        again.partial_fit(iris).transform(iris), model.partial_fit(iris).transform(iris)
    )


def test_a_copy_without_linear_path(iris):
    from skae.architectures import Dense

    model = fitted(iris, architecture=Dense(linear_path=False), init="random")
    assert_array_equal(copy.deepcopy(model).transform(iris), model.transform(iris))


def test_a_deep_copy_is_independent(iris):
    model = fitted(iris)
    before = model.transform(iris)
    copy.deepcopy(model).partial_fit(iris)
    assert_array_equal(model.transform(iris), before)


def test_another_process_loads_the_file(iris, tmp_path):
    model = fitted(iris)
    joblib.dump(model, tmp_path / "model.joblib")
    np.save(tmp_path / "X.npy", iris)
    code = (
        "import sys, joblib, numpy as np; folder = sys.argv[1]\n"
        "model = joblib.load(folder + '/model.joblib')\n"
        "np.save(folder + '/codes.npy', model.transform(np.load(folder + '/X.npy')))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert_allclose(np.load(tmp_path / "codes.npy"), model.transform(iris), rtol=1e-12)


def leaves(value, seen):
    if id(value) in seen:
        return
    seen.add(id(value))
    yield value
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list | tuple):
        inner = list(value)
    else:
        inner = list(vars(value).values()) if hasattr(value, "__dict__") else []
    for item in inner:
        yield from leaves(item, seen)


@pytest.mark.parametrize(
    "params",
    [
        {"loss": Huber(), "optimizer": SGD(momentum=0.5)},
        *({"penalty": name} for name in PENALTIES),
        *({"corruption": name} for name in CORRUPTIONS),
        *({"architecture": name, "input_shape": (4,)} for name in ARCHITECTURES),
        {"loss": "categorical_cross_entropy"},
    ],
    ids=str,
)
def test_the_state_is_free_of_torch(params, iris):
    model = fitted(iris, **params).partial_fit(iris)
    for leaf in leaves(model.__getstate__(), set()):
        assert not type(leaf).__module__.startswith(("torch", "skorch")), leaf
        assert not isinstance(leaf, torch.Tensor | torch.nn.Module)


def test_clone_is_unfitted_and_equal(iris):
    model = fitted(iris, loss=Huber(0.5))
    again = clone(model)
    assert not hasattr(again, "module_")
    assert again.loss is not model.loss
    assert_array_equal(again.fit(iris).transform(iris), model.transform(iris))
