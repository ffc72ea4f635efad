"""Metrics against PCA and scikit-learn's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.metrics import mean_squared_error, r2_score

from skae.metrics import explained_variance, reconstruction_error

WEIGHT = np.random.default_rng(0).uniform(size=150)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_metrics_are_those_of_scikit_learn(weight, iris):
    pca = PCA(2).fit(iris[:80])
    rows = pca.inverse_transform(pca.transform(iris))
    expected = mean_squared_error(iris, rows, sample_weight=weight)
    assert_allclose(reconstruction_error(iris, rows, weight), expected)
    expected = r2_score(iris, rows, sample_weight=weight, multioutput="variance_weighted")
    assert_allclose(explained_variance(iris, rows, weight), expected)


def test_constant_rows():
    X = np.ones((3, 2))
    assert explained_variance(X, X) == 1
    assert explained_variance(X, 2 * X) == 0


def test_shapes_must_agree():
    for metric in (explained_variance, reconstruction_error):
        with pytest.raises(ValueError, match=r"same shape, got \(3, 2\) and \(3, 1\)"):
            metric(np.ones((3, 2)), np.ones((3, 1)))
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            metric(np.ones((3, 2)), np.ones((3, 2)), np.ones(4))
        with pytest.raises(ValueError, match="sum of sample_weight must be positive"):
            metric(np.ones((3, 2)), np.ones((3, 2)), np.zeros(3))
