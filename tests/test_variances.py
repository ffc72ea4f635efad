"""PCA's attributes: variances, whitening, covariance; PCA's own numbers where the start is kept."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer, _fit
from skae._model import autoencoder, start

NAMES = ["explained_variance_", "explained_variance_ratio_", "singular_values_", "noise_variance_"]


def fit(X, n_components=2, **params):
    params = {"max_iter": 0, "random_state": 0} | params
    return AutoencoderTransformer(n_components, **params).fit(X)


@pytest.mark.parametrize("n_components", [1, 3, 0.9, "mle", None])
@pytest.mark.parametrize("whiten", [False, True])
def test_the_start_has_the_numbers_of_pca(n_components, whiten, iris):
    model = fit(iris, n_components, whiten=whiten)
    pca = PCA(n_components, svd_solver="full", whiten=whiten).fit(iris)
    assert model.n_components_ == pca.n_components_
    assert model.n_samples_ == pca.n_samples_
    for name in NAMES:
        assert_allclose(getattr(model, name), getattr(pca, name), rtol=1e-9, atol=1e-12)
    assert_allclose(np.abs(model.transform(iris)), np.abs(pca.transform(iris)), atol=1e-9)
    assert_allclose(model.inverse_transform(model.transform(iris)), model.reconstruct(iris))
    # with whiten=True scikit-learn's own scales the loadings once more
    plain = PCA(n_components, svd_solver="full").fit(iris)
    assert_allclose(model.get_covariance(), plain.get_covariance(), atol=1e-9)
    assert_allclose(model.get_precision(), plain.get_precision(), rtol=1e-6)


def test_a_randomized_start_is_not_taken_where_the_exact_one_is_affordable():
    X = np.random.default_rng(0).normal(size=(1000, 300))
    model = fit(X, 50)
    pca = PCA(50, svd_solver="full").fit(X)
    assert_allclose(model.score(X), pca.explained_variance_ratio_.sum(), rtol=1e-10)
    assert_allclose(np.abs(model.components_), np.abs(pca.components_), atol=1e-8)
    assert_allclose(fit(sparse.csr_array(X), 50).score(X), model.score(X), rtol=1e-10)


def test_a_randomized_start_above_the_documented_size(monkeypatch):
    monkeypatch.setattr(start, "LARGEST_SVD", 0)
    monkeypatch.setattr(start, "_WIDEST_COVARIANCE", 0)
    X = np.random.default_rng(0).normal(size=(60, 90)) * np.linspace(1, 9, 90)
    score = PCA(5, svd_solver="full").fit(X).explained_variance_ratio_.sum()
    assert 0.95 * score < fit(X, 5).score(X) <= score


def test_scales_that_differ_keep_their_digits():
    X = np.random.default_rng(0).normal(size=(200, 6)) * np.logspace(-4, 4, 6)
    model, pca = fit(X, None), PCA(svd_solver="full").fit(X)
    assert_allclose(model.explained_variance_, pca.explained_variance_, rtol=1e-6)
    assert_allclose(np.abs(model.transform(X)), np.abs(pca.transform(X)), rtol=1e-4, atol=1e-10)


def test_a_trained_net_measures_its_own_codes(digits):
    model = fit(digits, 4, max_iter=20, whiten=True, early_stopping=False)
    assert model.best_iter_ > 0
    assert_allclose(model.transform(digits).std(axis=0, ddof=1), 1, rtol=1e-5)
    assert_allclose(model.explained_variance_ratio_.sum(), model.score(digits), rtol=1e-5)
    left = ((digits - model.reconstruct(digits)) ** 2).sum() / (len(digits) - 1)
    assert_allclose(model.noise_variance_, left / (64 - 4), rtol=1e-5)
    assert_allclose(model.get_covariance() @ model.get_precision(), np.eye(64), atol=1e-8)
    again = pickle.loads(pickle.dumps(model))
    assert_allclose(again.explained_variance_, model.explained_variance_, rtol=0)
    assert_allclose(model.inverse_transform(model.transform(digits)), model.reconstruct(digits))


def test_a_net_of_many_rows_is_measured_by_a_part_of_them(digits, monkeypatch):
    for module in (_fit, autoencoder):
        monkeypatch.setattr(module, "MEASURED_ROWS", 100)
    model = fit(digits, 4, max_iter=20, early_stopping=False)
    assert model.best_iter_ > 0
    assert_allclose(model.explained_variance_, model.transform(digits).var(0), rtol=0.3)
    assert_allclose(model.explained_variance_ratio_.sum(), model.score(digits), rtol=0.05)
    assert model.explained_variance_ratio_.sum() != pytest.approx(model.score(digits), rel=1e-4)
    pca = PCA(4, svd_solver="full").fit(digits)
    of_pca = ((digits - pca.inverse_transform(pca.transform(digits))) ** 2).sum(1)
    of_net = ((digits - model.reconstruct(digits)) ** 2).sum(1)
    # Rows that were not looked at are PCA's at most, and none is far worse off.
    assert (of_net - of_pca).max() < 0.5 * of_pca.max()
    assert of_net.sum() < 0.8 * of_pca.sum()
    start = fit(digits, 4)
    assert_allclose(start.explained_variance_, pca.explained_variance_, rtol=1e-9)


def test_weights_are_rows(iris):
    weight = np.arange(150) % 3
    model = fit(iris)
    model.fit(iris, sample_weight=weight)
    pca = PCA(2, svd_solver="full").fit(np.repeat(iris, weight, axis=0))
    for name in NAMES:
        assert_allclose(getattr(model, name), getattr(pca, name), rtol=1e-9)


def test_missing_entries_are_left_out(iris):
    X = iris.copy()
    X[::7, 1] = np.nan
    model = fit(X, 1)
    assert_allclose(model.explained_variance_ratio_.sum(), model.score(X), rtol=1e-9)


@pytest.mark.parametrize("loss", ["poisson", "multinomial", "mixed", "categorical_cross_entropy"])
def test_other_losses_have_them_in_the_units_of_the_loadings(loss, iris):
    model = fit(np.rint(iris), 2, loss=loss, max_iter=2)
    assert model.explained_variance_.shape == (2,)
    assert (model.explained_variance_ > 0).all()
    assert model.get_covariance().shape == (len(model.mean_), len(model.mean_))


def test_mle_needs_as_many_rows_as_columns(iris):
    with pytest.raises(ValueError, match="'mle' is only supported if n_samples >= n_features"):
        fit(iris.T, "mle")
