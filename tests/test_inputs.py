"""X in other forms than a NumPy array in memory: the same bits, and no copy of a whole file."""

import tracemalloc

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer, _fit
from skae._data import rows as rows_module
from skae._data import selection
from skae._model import autoencoder

NAMES = [f"pixel_{j}" for j in range(64)]


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:120]


def small(**params):
    params = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0} | params
    return AutoencoderTransformer(3, **params)


class Rows(Dataset):
    """A dataset of a user's own, of rows or of rows and targets."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


class Stream(IterableDataset):
    def __iter__(self):
        return iter([np.zeros(3)])


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def view(X):
    wide = np.zeros((2 * len(X), 2 * X.shape[1]), X.dtype)
    wide[::2, 1::2] = X
    return wide[::2, 1::2]


FORMS = {
    "pandas": lambda X: pd.DataFrame(X, columns=NAMES),
    "pandas, of several types": lambda X: pd.DataFrame(X, columns=NAMES).astype(
        {"pixel_0": "float32", "pixel_1": "Int64", "pixel_2": "double[pyarrow]"}
    ),
    "polars": lambda X: pl.DataFrame(X, schema=NAMES),
    "Arrow": lambda X: pa.table({name: X[:, j] for j, name in enumerate(NAMES)}),
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "view": view,
    "reversed": lambda X: X[::-1].copy()[::-1],
    "int": lambda X: X.astype(int),
    "uint8": lambda X: X.astype(np.uint8),
    "float16": lambda X: X.astype(np.float16),
    "big-endian": lambda X: X.astype(">f8"),
    "object": lambda X: X.astype(object),
    "lists": lambda X: X.tolist(),
    "tensor": torch.tensor,
    "tensor with gradient": lambda X: torch.tensor(X, requires_grad=True),
    "tensor of float16": lambda X: torch.tensor(X).half(),
    "tensor of int": lambda X: torch.tensor(X).long(),
    "transposed tensor": lambda X: torch.tensor(X.T.copy()).T,
    "TensorDataset": lambda X: TensorDataset(torch.tensor(X), torch.arange(len(X))),
    "dataset of arrays": lambda X: Rows(X),
    "dataset of lists": lambda X: Rows(X.tolist()),
    "dataset of tuples": lambda X: Rows([(x, 1) for x in X]),
    "dataset of lists of two": lambda X: Rows([[torch.tensor(x), torch.tensor(1)] for x in X]),
    "Subset": lambda X: Subset(TensorDataset(torch.tensor(X)), range(len(X))),
}


def small_detector():
    return AutoencoderAnomalyDetector(hidden_layer_sizes=(8,), max_iter=2, random_state=0)


@pytest.fixture(scope="module")
def fitted_to_array(digits):
    return small().fit(digits), small_detector().fit(digits)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_bits(form, digits, fitted_to_array):
    X = FORMS[form](digits)
    expected, judge = fitted_to_array
    model, detector = small().fit(X), small_detector().fit(X)
    assert_array_equal(model.transform(X), expected.transform(digits))
    assert_array_equal(model.reconstruct(X), expected.reconstruct(digits))
    assert model.score(X) == expected.score(digits)
    assert_array_equal(detector.score_samples(X), judge.score_samples(digits))
    assert_array_equal(detector.p_values(X), judge.p_values(digits))
    assert_array_equal(np.asarray(detector.explain(X)), judge.explain(digits))


@pytest.mark.parametrize(
    "form", ["read-only", "Fortran", "view", "pandas", "tensor", "dataset of arrays"]
)
def test_float32_is_kept(form, digits):
    X = digits.astype(np.float32)
    model, expected = small().fit(FORMS[form](X)), small().fit(X)
    codes = model.transform(FORMS[form](X))
    assert codes.dtype == np.float32
    assert_array_equal(codes, expected.transform(X))


def test_bfloat16_is_read_as_float32(digits):
    X = torch.tensor(digits).bfloat16()
    expected = small().fit(X.float().numpy())
    assert_array_equal(small().fit(X).transform(Rows(X)), expected.transform(X.float().numpy()))


def test_bool_is_zero_and_one(digits):
    X = digits > 8
    expected = small().fit(X.astype(float)).transform(X.astype(float))
    for form in (X, torch.tensor(X), Rows(X)):
        assert_array_equal(small().fit(form).transform(form), expected)


@pytest.mark.parametrize("form", ["pandas", "polars", "Arrow"])
def test_names_of_features(form, digits):
    model = small().fit(FORMS[form](digits))
    assert_array_equal(model.feature_names_in_, NAMES)
    others = {
        "pandas": lambda: pd.DataFrame(digits, columns=NAMES[::-1]),
        "polars": lambda: pl.DataFrame(digits, schema=NAMES[::-1]),
        "Arrow": lambda: pa.table(dict.fromkeys(NAMES[::-1], digits[:, 0])),
    }[form]()
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(others)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (Stream(), TypeError, "without a length or an index, Stream.*partial_fit"),
        (Rows([{"x": 1.0}] * 3), TypeError, "items must be rows of numbers.*{'x': 1.0}"),
        (Rows(["a", "b"]), TypeError, "items must be rows of numbers"),
        (Rows([1.0, 2.0]), TypeError, "items must be rows of numbers"),
        (Rows([[1.0], [1.0, 2.0]]), ValueError, r"different shapes: \(1,\) and \(2,\)"),
        (Rows([]), ValueError, "0 sample"),
        (torch.eye(3).to_sparse(), TypeError, "sparse tensor.*to_dense"),
    ],
)
def test_what_cannot_be_read_says_so(X, error, message):
    with pytest.raises(error, match=message):
        small().fit(X)


# -- memory maps ---------------------------------------------------------------------------------


def mapped(X, folder):
    path = folder / "X.npy"
    np.save(path, X)
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u1", "?", "f2", ">f8"])
def test_a_memory_map_gives_the_same_bits(dtype, order, digits, tmp_path):
    X = np.asarray((digits / 4).astype(dtype), order=order)
    file, kept = mapped(X, tmp_path), X.copy()
    model, expected = small().fit(file), small().fit(X)
    assert_array_equal(model.transform(file), expected.transform(X))
    assert_array_equal(model.reconstruct(file), expected.reconstruct(X))
    assert model.score(file) == expected.score(X)
    assert model.transform(file).dtype == (np.float32 if dtype == "f4" else np.float64)
    assert not isinstance(model.transform(file), np.memmap)
    assert_array_equal(X, kept)


def test_images_in_a_memory_map(digits, tmp_path):
    file = mapped(digits.reshape(-1, 8, 8), tmp_path)
    model, expected = small(input_shape=(8, 8)).fit(file), small().fit(digits)
    assert_array_equal(model.transform(file), expected.transform(digits))


def test_the_detector_reads_memory_maps(digits, tmp_path):
    X = digits.astype(np.int16)
    file = mapped(X, tmp_path)
    params = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
    one, other = (AutoencoderAnomalyDetector(**params).fit(rows) for rows in (file, X))
    assert_array_equal(one.score_samples(file), other.score_samples(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("weighted", [False, True])
def test_batches_made_when_needed_are_those_of_the_copy(dtype, weighted, digits, monkeypatch):
    X = digits.astype(dtype)
    weight = np.random.default_rng(0).random(len(X)) if weighted else None
    params = {"init": "random", "loss": "huber"}
    expected = small(**params).fit(X, sample_weight=weight)
    start = small(max_iter=0).fit(X, sample_weight=weight)
    monkeypatch.setattr(rows_module, "_HELD_BYTES", 0)
    # The sums of blocks are those of all rows where there is one block.
    model = small(**params).fit(X, sample_weight=weight)
    assert_array_equal(model.transform(X), expected.transform(X))
    # PCA is that of a covariance then.
    other = small(max_iter=0).fit(X, sample_weight=weight)
    assert_allclose(other.components_, start.components_, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("factor", [1.0, 1e200])
def test_the_means_of_blocks_are_those_of_all_rows(weighted, factor, digits, monkeypatch):
    generator = np.random.default_rng(0)
    X = digits * np.geomspace(1, 100, len(digits))[:, None] * factor
    X[generator.random(X.shape) < 0.1] = np.nan
    weight = generator.random(len(X)) if weighted else np.ones(len(X))
    monkeypatch.setattr(rows_module, "_HELD_BYTES", 0)
    monkeypatch.setattr(rows_module, "_BLOCK_ENTRIES", 50 * X.shape[1])
    model = small(max_iter=0).fit(X, sample_weight=weight if weighted else None)
    masked = np.ma.masked_invalid(X / factor)
    mean = np.ma.average(masked, axis=0, weights=weight)
    assert_allclose(model.mean_ / factor, mean, rtol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "order"),
    [
        (np.float32, "F"),
        *(pytest.param(dtype, "C", marks=pytest.mark.extended) for dtype in (np.float32, np.int16)),
    ],
)
def test_a_file_is_never_copied_whole(dtype, order, tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "_HELD_BYTES", 2**16)
    monkeypatch.setattr(rows_module, "_BLOCK_ENTRIES", 2**16)
    monkeypatch.setattr(selection, "_KEY_BYTES", 2**18)
    monkeypatch.setattr(_fit, "_MOST_ENTRIES", 2**16)
    monkeypatch.setattr(autoencoder, "_MOST_ENTRIES", 2**16)
    generator = np.random.default_rng(0)
    X = generator.integers(-3000, 3000, size=(8000, 1000)).astype(dtype, order)
    file = mapped(X, tmp_path)
    del X
    model = small(init="random", max_iter=1, batch_size=100)
    # torch imports some of its modules in the first fit
    small(max_iter=1).fit(file[:50])
    peaks = {}
    for name, call in (
        ("fit", lambda: model.fit(file)),
        ("transform", lambda: model.transform(file)),
        ("score", lambda: model.score(file)),
    ):
        tracemalloc.start()
        try:
            call()
            peaks[name] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    # a copy takes at least as much as the file
    assert max(peaks.values()) < 0.75 * file.nbytes, peaks


@pytest.mark.slow
def test_a_search_shares_x_as_a_memory_map(digits):
    def search(**params):
        return GridSearchCV(small(), {"n_components": [2, 4]}, cv=2, **params).fit(digits)

    with joblib.parallel_config("loky", n_jobs=2, max_nbytes=1000):
        one = search()
    other = search(n_jobs=1)
    assert_array_equal(one.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"])
    assert_array_equal(one.transform(digits), other.transform(digits))
