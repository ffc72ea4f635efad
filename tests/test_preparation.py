"""What the net sees of rows: each preparation against NumPy, there and back."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skae import AutoencoderTransformer
from skae._data import rows as rows_module
from skae._data.rows import Rows
from skae.losses import (
    LOSSES,
    CategoricalCrossEntropy,
    Huber,
    Mixed,
    Multinomial,
    Preparation,
)
from tests.own_losses import HuberOfLogs, Logs

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(2.0, size=(30, 5)).astype(float)
COUNTS[4] = 0
TOKENS = RNG.choice([-1.5, 2.0, 7.0], size=(30, 4))
TABLE = np.column_stack(
    [10 + RNG.normal(size=(30, 2)), np.eye(3)[RNG.integers(3, size=30)], RNG.poisson(3.0, 30)]
)
BLOCKS = [([0, 1], "squared_error"), ([3, 2, 4], "multinomial"), (5, "poisson")]


# -- the base class ------------------------------------------------------------------------------


def test_the_base_class_leaves_rows_as_they_are():
    preparation = Preparation()
    assert preparation.is_identity
    assert preparation.fit(TABLE) is preparation
    assert vars(preparation) == {}
    x, weight = preparation.transform(TABLE)
    assert x is TABLE
    assert weight is None
    assert preparation.inverse_transform(TABLE) is TABLE
    assert preparation.net_shape((3, 4)) == (3, 4)
    assert preparation.entry_width == 1


def test_a_subclass_that_transforms_is_no_identity():
    class Renamed(Preparation):
        pass

    assert Renamed.is_identity
    assert not Logs.is_identity


def test_the_losses_that_prepare_rows_are_those_that_are_documented():
    rows = {"categorical_cross_entropy": TOKENS, "mixed": TABLE}
    prepared = {
        name
        for name, loss in LOSSES.items()
        if not loss(**({"feature_range": None} if name == "binary_cross_entropy" else {}))
        .fit(rows.get(name, COUNTS))
        .preparation.is_identity
    }
    assert prepared == {"multinomial", "categorical_cross_entropy", "mixed"}


def test_no_two_losses_have_the_same_fitted_preparation():
    for loss, X in ((CategoricalCrossEntropy(), TOKENS), (Mixed(), TABLE)):
        one = loss.fit(X).preparation
        assert one is not type(loss).preparation
        assert type(loss)().fit(X[:10]).preparation is not one


# -- proportions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_proportions(dtype):
    preparation = Multinomial().fit(COUNTS).preparation
    x, weight = preparation.transform(COUNTS.astype(dtype))
    assert x.dtype == weight.dtype == dtype
    assert_array_equal(weight, COUNTS.sum(1))
    some = COUNTS.sum(1) > 0
    assert_allclose(x[some], COUNTS[some] / COUNTS[some].sum(1, keepdims=True), rtol=1e-6)
    assert_array_equal(x[~some], 0)
    assert_allclose(preparation.inverse_transform(x) * weight[:, None], COUNTS, rtol=1e-6)
    assert preparation.net_shape((5,)) == (5,)
    assert preparation.entry_width == 1


# -- indicators ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_indicators(dtype):
    preparation = CategoricalCrossEntropy().fit(TOKENS).preparation
    assert_array_equal(preparation.tokens_, [-1.5, 2, 7])
    x, weight = preparation.transform(TOKENS.astype(dtype))
    assert x.dtype == dtype
    assert weight is None
    expected = (TOKENS[:, :, None] == np.array([-1.5, 2, 7])).reshape(30, 12)
    assert_array_equal(x, expected)
    rebuilt = preparation.inverse_transform(x)
    assert rebuilt.dtype == dtype
    assert_array_equal(rebuilt, TOKENS)
    assert preparation.net_shape((4,)) == (4, 3)
    assert preparation.entry_width == 3


def test_indicators_of_missing_and_unknown_tokens():
    preparation = CategoricalCrossEntropy().fit(TOKENS).preparation
    x, _ = preparation.transform(np.array([[np.nan, 2.0, 8.0, -9.0]]))
    assert_array_equal(x, [[np.nan] * 3 + [0, 1, 0] + [0] * 6])


def test_a_given_vocabulary_is_not_learnt():
    preparation = CategoricalCrossEntropy(n_tokens=4).fit(np.array([[1.0, np.nan]])).preparation
    assert_array_equal(preparation.tokens_, range(4))
    assert_array_equal(preparation.transform(np.array([[3.0]]))[0], [[0, 0, 0, 1]])
    message = r"the token 4, but loss=CategoricalCrossEntropy\(n_tokens=4\) takes .* 0 to 3"
    with pytest.raises(ValueError, match=message):
        preparation.transform(np.array([[4.0]]))


# -- blocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks(form, dtype):
    preparation = Mixed(BLOCKS).fit(form(TABLE.astype(dtype))).preparation
    x, weight = preparation.transform(TABLE.astype(dtype))
    assert x.dtype == dtype
    assert weight is None
    numbers, category, counts = TABLE[:, :2], TABLE[:, 2:5], TABLE[:, 5]
    expected = np.column_stack(
        [
            (numbers - numbers.mean(0)) / np.sqrt(numbers.var(0).mean()),
            # the variance of a category is the sum of those of its columns
            category / np.sqrt(category.var(0).sum()),
            counts / counts.std(),
        ]
    )
    assert_allclose(x, expected, rtol=1e-5, atol=1e-6 if dtype == np.float32 else 1e-12)
    assert_allclose(preparation.inverse_transform(x), TABLE, rtol=1e-5, atol=1e-6)
    assert preparation.net_shape((6,)) == (6,)
    # six columns of four features
    assert preparation.entry_width == 1.5


def test_blocks_with_missing_entries():
    X = TABLE.copy()
    X[3, 0] = X[5, 2] = X[7, 5] = np.nan
    preparation = Mixed(BLOCKS).fit(X).preparation
    x, _ = preparation.transform(X)
    numbers = X[:, :2]
    scale = np.sqrt(np.nanvar(numbers, axis=0).mean())
    assert_allclose(x[:, :2], (numbers - np.nanmean(numbers, axis=0)) / scale)
    assert_allclose(x[:, 5], X[:, 5] / np.nanstd(X[:, 5]))
    assert_allclose(preparation.inverse_transform(x), X)


def centre_and_scale(X):
    """Return the mean of each column and the one scale, as a block measures them."""
    measured = Rows(X, np.arange(len(X)), None, Preparation()).standardization
    return measured.mean, measured.scale


TO_SCALE = {
    "numbers": RNG.normal(3, 2, size=(50, 4)),
    "missing": np.where(RNG.uniform(size=(50, 4)) < 0.2, np.nan, RNG.normal(size=(50, 4))),
    "a column is missing": np.where(np.arange(3) == 1, np.nan, RNG.normal(size=(20, 3))),
    "columns that lie apart": np.asfortranarray(RNG.normal(size=(50, 9)))[:, [7, 1, 2]],
    "huge": 1e200 * RNG.normal(size=(20, 3)),
    "constant": np.full((20, 3), 0.1),
    "zeros": np.zeros((5, 2)),
    "one row": RNG.normal(size=(1, 3)),
}


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom")
@pytest.mark.parametrize("name", TO_SCALE)
def test_a_block_has_the_mean_of_each_column_and_one_scale(name):
    X = TO_SCALE[name]
    mean, scale = centre_and_scale(X)
    unit = np.nanmax(np.abs(X)) or 1
    assert_allclose(mean, np.nan_to_num(np.nanmean(X, axis=0)), rtol=1e-12)
    variance = np.nan_to_num(np.nanvar(X / unit, axis=0)).mean()
    constant = name in ("constant", "zeros", "one row")
    assert type(scale) is float
    assert scale == (1 if constant else pytest.approx(unit * np.sqrt(variance), rel=1e-12))


def test_a_constant_block_of_float32_has_scale_one():
    assert centre_and_scale(np.full((20, 3), 0.1, np.float32))[1] == 1


@pytest.mark.parametrize("name", TO_SCALE)
def test_a_large_block_is_measured_by_parts(name, monkeypatch):
    expected = centre_and_scale(TO_SCALE[name])
    monkeypatch.setattr(rows_module, "_HELD_BYTES", 4 * 60)
    monkeypatch.setattr(rows_module, "_BLOCK_ENTRIES", 30)
    for found, value in zip(centre_and_scale(TO_SCALE[name]), expected, strict=True):
        assert_allclose(found, value, rtol=1e-12)


def test_a_part_may_be_missing_altogether(monkeypatch):
    X = np.concatenate([np.full((10, 4), np.nan), TO_SCALE["numbers"]])
    expected = centre_and_scale(TO_SCALE["numbers"])
    monkeypatch.setattr(rows_module, "_HELD_BYTES", 4 * 60)
    monkeypatch.setattr(rows_module, "_BLOCK_ENTRIES", 30)
    for found, value in zip(centre_and_scale(X), expected, strict=True):
        assert_allclose(found, value, rtol=1e-12)
    with pytest.raises(ValueError, match="nothing but NaN"):
        centre_and_scale(X[:10])


# -- one's own -----------------------------------------------------------------------------------


def test_a_preparation_from_outside_comes_before_the_net():
    params = {"max_iter": 5, "random_state": 0}
    model = AutoencoderTransformer(2, loss=HuberOfLogs(), **params).fit(COUNTS)
    other = AutoencoderTransformer(2, loss=Huber(), **params).fit(np.log1p(COUNTS))
    assert_allclose(model.mean_, np.log1p(np.unique(COUNTS, axis=0)).mean(0))
    assert_allclose(model.transform(COUNTS), other.transform(np.log1p(COUNTS)), rtol=1e-6)
    assert_allclose(model.reconstruct(COUNTS), np.expm1(other.reconstruct(np.log1p(COUNTS))))
