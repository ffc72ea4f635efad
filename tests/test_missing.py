"""Missing entries: PCA that completes its rows, a loss over what is there, an imputation."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae._data.selection import merge_rows
from skae.corruptions import CORRUPTIONS
from skae.losses import BinaryCrossEntropy
from skae.metrics import explained_variance
from skae.penalties import PENALTIES

N_PCAS, N_COMPLETIONS = 20, 3


def model(n_components=2, **params):
    params = {"hidden_layer_sizes": (16,), "max_iter": 15, "random_state": 0} | params
    return AutoencoderTransformer(n_components, **params)


def remove(X, share=0.3, seed=1):
    """Return X with some entries removed at random."""
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


def weighted_mean(X, weight):
    """Return the mean of each column over what is there."""
    observed = ~np.isnan(X)
    return np.where(observed, X, 0).T @ weight / (observed.T @ weight)


def complete(X, mean, loadings):
    """Fill what is missing by a linear reconstruction, again and again, from the mean on."""
    filled = np.where(np.isnan(X), mean, X)
    for _ in range(N_COMPLETIONS):
        rebuilt = mean + (filled - mean) @ loadings.T @ loadings
        filled = np.where(np.isnan(X), rebuilt, X)
    return filled


def iterated_pca(X, k, weight=None):
    """Return the means of what is there, and the loadings of rows that PCA has completed."""
    weight = np.ones(len(X)) if weight is None else weight
    mean = weighted_mean(X, weight)
    filled = np.where(np.isnan(X), mean, X)
    for step in range(N_PCAS + 1):
        centred = (filled - mean) * np.sqrt(weight)[:, None]
        loadings = np.linalg.svd(centred, full_matrices=False)[2][:k]
        if step < N_PCAS:
            filled = complete(X, mean, loadings)
    return mean, loadings


@pytest.fixture
def gaps(wine):
    return remove(wine)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 4])
def test_the_start_is_iterated_pca(k, weighted, gaps):
    weight = np.random.default_rng(2).uniform(0.5, 2, len(gaps)) if weighted else None
    fitted = model(k, max_iter=0).fit(gaps, sample_weight=weight)
    mean, loadings = iterated_pca(gaps, k, weight)
    assert_allclose(fitted.mean_, mean, atol=1e-12)
    signs = np.sign((fitted.components_ * loadings).sum(1))[:, None]
    assert_allclose(fitted.components_ * signs, loadings, atol=1e-9)
    filled = complete(gaps, mean, loadings)
    assert_allclose(fitted.transform(gaps), (filled - mean) @ (loadings * signs).T, atol=1e-9)
    rebuilt = mean + (filled - mean) @ loadings.T @ loadings
    assert_allclose(fitted.reconstruct(gaps), rebuilt, atol=1e-9)
    assert_allclose(fitted.inverse_transform(fitted.transform(gaps)), rebuilt, atol=1e-9)


def test_sparse_rows_start_as_dense_ones(gaps):
    dense, other = (model(3, max_iter=0).fit(X) for X in (gaps, sparse.csr_matrix(gaps)))
    assert_allclose(other.reconstruct(sparse.csr_matrix(gaps)), dense.reconstruct(gaps), atol=1e-7)


def test_the_losses_are_means_over_what_is_there(gaps):
    fitted = model(early_stopping=False, corruption=None).fit(gaps)
    other = model(early_stopping=False, max_iter=0).fit(gaps)
    # in units of one scale: the root of the mean variance
    variance = np.nanvar(gaps, axis=0).mean()
    errors = np.nanmean((gaps - other.reconstruct(gaps)) ** 2, axis=1) / variance
    assert_allclose(fitted.history_[0]["train_loss"], errors.mean(), rtol=1e-5)
    # a net of which nothing was hidden yet would have lost as little
    assert fitted.history_[1]["train_loss"] > errors.mean()


def test_held_out_rows_are_judged_by_entries_that_were_hidden(gaps):
    start = model(max_iter=0).fit(gaps)
    variance = np.nanvar(gaps, axis=0).mean()
    errors = np.nanmean((gaps - start.reconstruct(gaps)) ** 2, axis=1) / variance
    row, n_valid = start.history_[0], 30
    as_seen = (errors.sum() - row["train_loss"] * (len(gaps) - n_valid)) / n_valid
    # a third hidden has to cost more, and less than all
    assert as_seen < row["valid_loss"] < 1.1


def test_what_is_hidden_is_a_share_of_what_is_there(gaps):
    net = model(max_iter=0).fit(gaps).net_
    x = torch.from_numpy(gaps).repeat(20, 1)
    hidden = net.hide(x, torch.Generator().manual_seed(0))
    there = ~torch.isnan(x)
    assert_array_equal(hidden[~torch.isnan(hidden)], x[~torch.isnan(hidden)])
    share = torch.isnan(hidden)[there].double().mean().item()
    assert_allclose(share, np.isnan(gaps).mean(), atol=4 * 0.5 / np.sqrt(int(there.sum())))
    whole = model(max_iter=0).fit(np.nan_to_num(gaps)).net_
    assert whole.hide(x, None) is x


@pytest.fixture(scope="module")
def imputed(images):
    """Digits of which some are missing, and what imputes them."""
    train, test = images
    train, test = train[:800], test[:200]
    fitted = AutoencoderTransformer(16, hidden_layer_sizes=(128,), max_iter=60, random_state=0)
    return train, test, remove(train), remove(test, seed=2), fitted.fit(remove(train))


@pytest.mark.parametrize("part", ["train", "test"])
def test_it_imputes_better_than_means_and_pca(part, imputed):
    train, test, train_gaps, test_gaps, fitted = imputed
    X, gaps = (train, train_gaps) if part == "train" else (test, test_gaps)
    missing = np.isnan(gaps)
    start = AutoencoderTransformer(16, max_iter=0).fit(train_gaps)

    def error(filled):
        assert np.isfinite(filled).all()
        return ((filled - X)[missing] ** 2).mean()

    found = error(fitted.reconstruct(gaps))
    assert found < 0.95 * error(start.reconstruct(gaps))
    assert found < 0.6 * error(SimpleImputer().fit(train_gaps).transform(gaps))


def test_score_is_of_what_is_there(imputed):
    *_, gaps, fitted = imputed
    assert_allclose(fitted.score(gaps), explained_variance(gaps, fitted.reconstruct(gaps)))


def test_what_was_fitted_to_whole_rows_imputes_too(images):
    train, test = images
    gaps, fitted = remove(test), model(16, hidden_layer_sizes=(64,), max_iter=10).fit(train)
    missing = np.isnan(gaps)
    found = ((fitted.reconstruct(gaps) - test)[missing] ** 2).mean()
    assert found < 0.6 * ((train.mean(0) - test)[missing] ** 2).mean()
    whole = test[:5]
    assert_array_equal(fitted.reconstruct(np.vstack([whole, gaps]))[:5].shape, whole.shape)
    assert_allclose(fitted.transform(np.vstack([whole, gaps]))[:5], fitted.transform(whole))


def test_codes_do_not_depend_on_the_rows_beside(imputed):
    *_, gaps, fitted = imputed
    together = fitted.transform(gaps)
    assert_allclose(np.vstack([fitted.transform(row[None]) for row in gaps[:20]]), together[:20])


def test_a_row_with_nothing_starts_as_the_mean(gaps):
    X = np.vstack([gaps, np.full(gaps.shape[1], np.nan)])
    fitted = model(early_stopping=False, transform_max_iter=0).fit(X)
    row = fitted.mean_[None]
    for _ in range(N_COMPLETIONS + 1):
        row = fitted.reconstruct(row)
    assert_allclose(fitted.reconstruct(X)[-1:], row)


def test_a_column_with_nothing_is_left_at_its_start(gaps):
    X = np.insert(gaps, 5, np.nan, axis=1)
    fitted = model(4, max_iter=0).fit(X)
    rebuilt = fitted.reconstruct(X)
    assert_allclose(np.delete(rebuilt, 5, axis=1), model(4, max_iter=0).fit(gaps).reconstruct(gaps))
    assert_allclose(rebuilt[:, 5], 0, atol=1e-12)
    for corruption in CORRUPTIONS:
        trained = model(4, max_iter=3, corruption=corruption, early_stopping=False).fit(X)
        assert np.isfinite(trained.reconstruct(X)).all()
        assert np.isfinite([row["train_loss"] for row in trained.history_]).all()


def test_units_do_not_matter(gaps):
    one, other = (model(early_stopping=False).fit(factor * gaps) for factor in (1, 1000))
    assert_allclose(other.reconstruct(1000 * gaps), 1000 * one.reconstruct(gaps), rtol=1e-3)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
def test_weights_are_repetitions(make, gaps):
    weight = np.random.default_rng(0).integers(0, 3, len(gaps))
    order = np.random.default_rng(1).permutation(weight.sum())
    repeated = np.repeat(gaps, weight, axis=0)[order]
    # a division that is not defined gives another NaN than NumPy's own
    repeated[np.isnan(repeated)] = -np.nan
    one = model(early_stopping=False).fit(make(gaps), sample_weight=weight)
    other = model(early_stopping=False).fit(make(repeated))
    assert_array_equal(one.transform(gaps), other.transform(gaps))


def test_merged_rows_with_gaps_are_numpy_s():
    X = np.random.default_rng(0).integers(0, 2, size=(200, 4)).astype(float)
    X = remove(X)
    expected = np.unique(np.nan_to_num(X, nan=9), axis=0)
    for make in (np.asarray, sparse.csr_matrix):
        index, weight = merge_rows(make(X), None)
        found = np.nan_to_num(X[index], nan=9)
        assert_array_equal(found[np.lexsort(found.T[::-1])], expected)
        assert weight.sum() == len(X)


@pytest.mark.parametrize(
    "loss", ["poisson", "huber", "absolute_error", BinaryCrossEntropy(feature_range=(0, 8))]
)
def test_losses_leave_out_what_is_missing(loss, iris):
    gaps = remove(iris)
    missing = np.isnan(gaps)
    fitted = model(1, loss=loss, early_stopping=False).fit(gaps)
    filled = fitted.reconstruct(gaps)
    assert np.isfinite([row["train_loss"] for row in fitted.history_]).all()
    of_mean = ((np.nanmean(gaps, axis=0) - iris)[missing] ** 2).mean()
    assert ((filled - iris)[missing] ** 2).mean() < 0.6 * of_mean


def test_the_poisson_loss_is_the_deviance_of_what_is_there(images):
    counts = np.rint(16 * images[0][:200, 18:30])
    gaps = remove(counts)
    fitted = model(loss="poisson", early_stopping=False, max_iter=0).fit(gaps)
    mu = fitted.reconstruct(gaps)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviance = np.where(gaps > 0, gaps * np.log(gaps / mu), 0) - gaps + mu
    expected = np.nanmean(deviance, axis=1).mean()
    assert_allclose(fitted.history_[0]["train_loss"], expected, rtol=1e-4)


def test_multinomial_refuses_gaps(iris):
    with pytest.raises(ValueError, match="does not accept missing values"):
        model(loss="multinomial").fit(remove(iris))


@pytest.mark.parametrize("penalty", PENALTIES)
def test_penalties_take_gaps(penalty, gaps):
    X = np.vstack([gaps, np.full(gaps.shape[1], np.nan)])
    fitted = model(penalty=penalty, max_iter=4, early_stopping=False).fit(X)
    figures = [value for row in fitted.history_ for value in row.values()]
    assert np.isfinite(figures).all()
    assert np.isfinite(fitted.reconstruct(X)).all()
    assert np.isfinite(fitted.sample(20, random_state=0)).all()


def test_bounds_add_up_over_what_is_there(gaps):
    fitted = model(penalty="variational", max_iter=10).fit(gaps)
    assert np.isfinite(fitted.score_samples(gaps)).all()
    nothing = np.full((1, gaps.shape[1]), np.nan)
    # what is not there has no density, and the code costs at most nothing
    assert fitted.score_samples(nothing)[0] <= 0
    path = fitted.interpolate(gaps[0], gaps[1], n_steps=3)
    assert_allclose(path[[0, 2]], fitted.reconstruct(gaps[:2]))


def test_passes_over_chunks_take_gaps(wine, gaps):
    fitted = model(4)
    fitted.partial_fit(wine)
    for _ in range(15):
        for start in range(0, len(gaps), 60):
            fitted.partial_fit(gaps[start : start + 60])
    missing = np.isnan(gaps)
    assert np.isfinite([row["train_loss"] for row in fitted.history_]).all()
    found = ((fitted.reconstruct(gaps) - wine)[missing] ** 2).mean()
    assert found < 0.8 * (wine[missing] ** 2).mean()


def test_a_pickle_goes_on_as_it_was(gaps):
    fitted = model(warm_start=True, early_stopping=False).fit(gaps)
    twin = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(twin.reconstruct(gaps), fitted.reconstruct(gaps))
    for one in (fitted, twin):
        one.partial_fit(gaps)
        one.fit(gaps)
    assert_array_equal(twin.reconstruct(gaps), fitted.reconstruct(gaps))
    # one that has seen no gap learns of the first
    whole = model(early_stopping=False).fit(np.nan_to_num(gaps))
    whole = pickle.loads(pickle.dumps(whole)).partial_fit(gaps)
    assert np.isfinite(whole.history_[-1]["train_loss"])


def test_float32_stays_float32(gaps):
    X = gaps.astype(np.float32)
    one, other = model(3, max_iter=0).fit(X), model(3, max_iter=0).fit(gaps)
    assert one.transform(X).dtype == one.reconstruct(X).dtype == np.float32
    assert_allclose(one.reconstruct(X), other.reconstruct(gaps), atol=1e-4)


def test_the_tag_says_so():
    assert model().__sklearn_tags__().input_tags.allow_nan


def test_rows_without_gaps_are_not_touched_by_those_that_have(images):
    train, test = train_test_split(images[1], random_state=0)
    fitted = model(8).fit(train)
    both = np.vstack([test, remove(test)])
    assert_allclose(fitted.reconstruct(both)[: len(test)], fitted.reconstruct(test))
