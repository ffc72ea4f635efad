"""Rows: merged, ordered, scaled, split, cut into batches."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skae._data import rows as rows_module
from skae._data import selection
from skae._data.rows import Batches, Rows, Standardization
from skae._data.selection import merge_rows, n_batches, split_rows
from skae.losses import Preparation


def centred(X, weight=None):
    """Return the mean, the scale and the standardized rows of X."""
    rows = Rows(X, np.arange(X.shape[0]), weight, Preparation())
    return rows.standardization.mean, rows.standardization.scale, rows.array()


@pytest.mark.parametrize("key_bytes", [1, 2**24])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_merged_rows_are_those_of_numpy_in_numpy_s_order(dtype, key_bytes, monkeypatch):
    monkeypatch.setattr(selection, "_KEY_BYTES", key_bytes)
    X = np.random.default_rng(0).integers(-2, 3, size=(60, 3)).astype(dtype)
    X[0, 0] = -0.0
    index, weight = merge_rows(X, None)
    expected, first, counts = np.unique(X, axis=0, return_index=True, return_counts=True)
    assert_array_equal(X[index], expected)
    assert_array_equal(index, first)
    assert_array_equal(weight, counts)


def test_sparse_rows_are_merged_as_dense_ones():
    X = np.random.default_rng(0).integers(-1, 2, size=(200, 4)).astype(float)
    sample_weight = np.random.default_rng(1).integers(0, 3, size=200).astype(float)
    found, other = (merge_rows(x, sample_weight) for x in (sparse.csr_matrix(X), X))
    order = np.argsort(found[0])
    assert_array_equal(found[0][order], np.sort(other[0]))
    assert_array_equal(found[1][order], other[1][np.argsort(other[0])])


def test_weights_are_summed_and_zeros_dropped():
    X = np.array([[1.0], [2.0], [1.0], [3.0]])
    index, weight = merge_rows(X, np.array([0.5, 2.0, 0.25, 0.0]))
    assert_array_equal(X[index], [[1.0], [2.0]])
    assert_array_equal(weight, [0.75, 2.0])


def test_equal_weights_are_none():
    X = np.array([[1.0], [2.0]])
    assert merge_rows(X, None)[1] is None
    assert merge_rows(X, np.array([3.0, 3.0]))[1] is None


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("factor", [1000.0, 1e-12, 3.0])
def test_order_does_not_depend_on_the_unit(factor, make):
    X = np.random.default_rng(0).normal(size=(50, 2)).round(2)
    one, _ = merge_rows(make(X), None)
    other, _ = merge_rows(make(factor * X), None)
    assert_array_equal(other, one)


@pytest.mark.parametrize("factor", [1.0, 1e30, 1e200, 1e-200])
def test_scaled_rows_have_mean_zero_and_variance_one(factor):
    X = factor * np.random.default_rng(0).normal(3, [1, 5], size=(40, 2))
    mean, scale, x = centred(X)
    assert_allclose(mean, X.mean(0))
    assert_allclose(x.mean(0), 0, atol=1e-12)
    assert_allclose((x**2).mean(), 1)
    assert_allclose(x * scale + mean, X, atol=1e-12 * factor)


def test_weights_count_like_repetitions():
    X = np.random.default_rng(0).normal(size=(5, 2))
    weight = np.array([1, 2, 3, 1, 4])
    mean, scale, _ = centred(X, weight)
    repeated = np.repeat(X, weight, axis=0)
    assert_allclose(mean, repeated.mean(0))
    assert_allclose(scale, np.sqrt(repeated.var(0).mean()))


def test_missing_entries_count_for_nothing():
    X = np.random.default_rng(0).normal(3, [1, 5], size=(40, 2))
    X[np.random.default_rng(1).random(X.shape) < 0.3] = np.nan
    mean, scale, x = centred(X)
    assert_allclose(mean, np.nanmean(X, 0))
    assert_allclose(scale, np.sqrt(np.nanvar(X, 0).mean()))
    assert_array_equal(np.isnan(x), np.isnan(X))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30])
def test_a_constant_has_scale_one(value):
    mean, scale, x = centred(np.full((7, 3), value))
    assert scale == 1
    assert_allclose(mean, value)
    assert not x.any()


@pytest.mark.parametrize(
    ("n_rows", "n_valid"), [(1, 1), (2, 1), (20, 5), (105, 26), (200, 30), (305, 31)]
)
def test_split_holds_out_a_share_and_enough_rows(n_rows, n_valid):
    train, valid = split_rows(n_rows, 0.1, np.random.default_rng(0))
    assert len(valid) == n_valid
    assert_array_equal(np.sort(np.concatenate([train, valid])), np.arange(n_rows))


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(("batch_size", "sizes"), [(4, {5}), (10, {10}), (3, {3, 4}), (99, {10})])
def test_batches_hold_every_row_once(batch_size, sizes, held):
    X, weight = np.arange(10.0)[:, None], np.arange(1.0, 11.0)
    rows = Rows(X, np.arange(10), weight, Preparation(), Standardization(np.zeros(1), 1.0))
    if held:
        rows.hold("cpu")
    batches = Batches(rows, batch_size, torch.Generator().manual_seed(0), with_targets=True)
    parts = list(batches)
    assert {len(part["x"]) for part, _ in parts} == sizes
    assert len(parts) == len(batches) == n_batches(10, batch_size)
    together = torch.cat([part["x"] for part, _ in parts]).ravel()
    weights = torch.cat([part["sample_weight"] for part, _ in parts])
    # the targets are the rows in the units of X
    assert_array_equal(np.concatenate([target for _, target in parts]).ravel(), together)
    assert_array_equal(np.sort(together), np.arange(10))
    # a row keeps its weight, relative to the mean weight
    assert_allclose(weights, (together + 1) / 5.5, rtol=1e-6)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, np.asfortranarray])
def test_blocks_are_the_rows_bit_by_bit(make, monkeypatch):
    X = np.random.default_rng(0).normal(size=(23, 4))
    index = np.random.default_rng(1).permutation(23)[:20]
    mean, scale, x = centred(X[index])
    rows = Rows(make(X), index, None, Preparation(), Standardization(mean, scale))
    monkeypatch.setattr(rows_module, "_BLOCK_ENTRIES", 12)
    parts = list(rows.blocks())
    assert {part.stop - part.start for part in parts} == {3, 2}
    assert_array_equal(np.concatenate([rows.array(part) for part in parts]), x)
    assert_array_equal(rows.take(np.array([3, 5])).array(), x[[3, 5]])
    low, high = rows.extremes()
    assert_array_equal(low, x.min(0))
    assert_array_equal(high, x.max(0))
    before = rows.batch(slice(4, 9))["x"]
    assert_array_equal(rows.hold("cpu").batch(slice(4, 9))["x"], before)
