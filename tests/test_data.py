"""Rows: merged, ordered, scaled, split, cut into batches."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skae import _data


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_merged_rows_are_those_of_numpy_in_numpy_s_order(dtype):
    X = np.random.default_rng(0).integers(-2, 3, size=(60, 3)).astype(dtype)
    X[0, 0] = -0.0
    merged, weight = _data.merge_rows(X, None)
    expected, counts = np.unique(X, axis=0, return_counts=True)
    assert_array_equal(merged, expected)
    assert_array_equal(weight, counts)


def test_weights_are_summed_and_zeros_dropped():
    X = np.array([[1.0], [2.0], [1.0], [3.0]])
    merged, weight = _data.merge_rows(X, np.array([0.5, 2.0, 0.25, 0.0]))
    assert_array_equal(merged, [[1.0], [2.0]])
    assert_array_equal(weight, [0.75, 2.0])


def test_equal_weights_are_none():
    X = np.array([[1.0], [2.0]])
    assert _data.merge_rows(X, None)[1] is None
    assert _data.merge_rows(X, np.array([3.0, 3.0]))[1] is None


@pytest.mark.parametrize("factor", [1000.0, 1e-12, 3.0])
def test_order_does_not_depend_on_the_unit(factor):
    X = np.random.default_rng(0).normal(size=(50, 2)).round(2)
    one, _ = _data.merge_rows(X, None)
    other, _ = _data.merge_rows(factor * X, None)
    assert_allclose(other, factor * one)


@pytest.mark.parametrize("factor", [1.0, 1e30, 1e200, 1e-200])
def test_scaled_rows_have_mean_zero_and_variance_one(factor):
    X = factor * np.random.default_rng(0).normal(3, [1, 5], size=(40, 2))
    mean, scale, x = _data.centre_and_scale(X, None)
    assert_allclose(mean, X.mean(0))
    assert_allclose(x.mean(0), 0, atol=1e-12)
    assert_allclose((x**2).mean(), 1)
    assert_allclose(x * scale + mean, X, atol=1e-12 * factor)


def test_weights_count_like_repetitions():
    X = np.random.default_rng(0).normal(size=(5, 2))
    weight = np.array([1, 2, 3, 1, 4])
    mean, scale, _ = _data.centre_and_scale(X, weight)
    repeated = np.repeat(X, weight, axis=0)
    assert_allclose(mean, repeated.mean(0))
    assert_allclose(scale, np.sqrt(repeated.var(0).mean()))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30])
def test_a_constant_has_scale_one(value):
    mean, scale, x = _data.centre_and_scale(np.full((7, 3), value), None)
    assert scale == 1
    assert_allclose(mean, value)
    assert not x.any()


@pytest.mark.parametrize(
    ("n_rows", "n_valid"), [(1, 1), (2, 1), (20, 5), (105, 26), (200, 30), (305, 31)]
)
def test_split_holds_out_a_share_and_enough_rows(n_rows, n_valid):
    train, valid = _data.split_rows(n_rows, 0.1, np.random.default_rng(0))
    assert len(valid) == n_valid
    assert_array_equal(np.sort(np.concatenate([train, valid])), np.arange(n_rows))


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, {5}), (10, {10}), (3, {3, 4}), (99, {10})])
def test_batches_hold_every_row_once(batch_size, sizes):
    rows = _data.to_device(np.arange(10.0)[:, None], np.arange(1.0, 11.0), "cpu")
    parts = list(_data.batches(rows, batch_size, torch.Generator().manual_seed(0)))
    assert {len(part.x) for part in parts} == sizes
    assert len(parts) == _data.n_batches(10, batch_size)
    together = torch.cat([part.x for part in parts]).ravel()
    weights = torch.cat([part.weight for part in parts])
    assert_array_equal(np.sort(together), np.arange(10))
    # a row keeps its weight, relative to the mean weight
    assert_allclose(weights, (together + 1) / 5.5, rtol=1e-6)
