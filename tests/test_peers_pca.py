"""scikit-learn's own tests of PCA, run with the autoencoder at ``max_iter=0`` in PCA's place.

The tests are those of the installed scikit-learn. Each one that does not hold is listed with its
reason and must fail: one that passes is noticed (``xfail_strict``).
"""

import numpy as np
import pytest
from sklearn.decomposition.tests import test_incremental_pca, test_pca, test_truncated_svd

from skae import AutoencoderTransformer
from tests.peers import class_of, expect_failures

# What one of these stands for is no parameter of the autoencoder: once is enough.
NOT_OURS = {"svd_solver", "other_svd_solver", "solver", "copy", "algo", "kind", "sparse_container"}
NOT_OURS |= {"density", "scale", "algorithm, tol, normalizer"}

# {beginning of a test's name: why it fails}
SCORE = "score is the explained variance, not PCA's mean log likelihood"
SOLVER = "there is no svd_solver to choose, or to refuse"
WIDE = "codes may be wider than PCA's"
NAME = "the prefix of the names is that of the class"
COUNT = "reads n_samples_seen_, an attribute of its own"
NOT_PCA = {
    "test_sparse_pca_solver_error": SOLVER,
    "test_pca_validation[auto": WIDE,
    "test_pca_validation[arpack": SOLVER,
    "test_pca_validation[randomized": SOLVER,
    "test_n_components_none[data0-arpack": SOLVER,
    "test_n_components_none[data1-arpack": SOLVER,
    "test_n_components_mle_error": SOLVER,
    "test_pca_svd_solver_auto": SOLVER,
    "test_pca_score[": SCORE,
    "test_pca_score3": f"{SCORE}, and a code has a component at least",
    "test_pca_dtype_preservation": "components_ are in float64 for every type of X",
    "test_feature_names_out": NAME,
}
NOT_INCREMENTAL_PCA = {
    "test_incremental_pca_sparse": "partial_fit takes sparse rows, too",
    "test_incremental_pca_validation": WIDE,
    "test_incremental_pca_feature_names_out": NAME,
    "test_incremental_pca_partial_fit_float_division": COUNT,
}
NOT_TRUNCATED_SVD = {"test_too_many_components": WIDE}
# Half a million rows, which are put into an order.
SLOW = {"test_incremental_pca_fit_overflow_error"}


def start(n_components=None, *, whiten=False, random_state=0, **solver):
    """Return the estimator that stands for one of scikit-learn's with these parameters."""
    return AutoencoderTransformer(
        n_components, whiten=whiten, max_iter=0, random_state=random_state
    )


@pytest.fixture(autouse=True)
def peers(monkeypatch, request):
    expect_failures(request)
    monkeypatch.setattr(test_pca, "PCA", start)
    monkeypatch.setattr(test_incremental_pca, "IncrementalPCA", start)
    monkeypatch.setattr(test_truncated_svd, "TruncatedSVD", start)


@pytest.fixture
def global_random_seed():
    return 42


@pytest.fixture
def global_dtype():
    return np.float64


X_sparse = test_truncated_svd.X_sparse
TestPCA = class_of(test_pca, NOT_PCA, NOT_OURS)
TestIncrementalPCA = class_of(test_incremental_pca, NOT_INCREMENTAL_PCA, NOT_OURS, SLOW)
TestTruncatedSVD = class_of(test_truncated_svd, NOT_TRUNCATED_SVD, NOT_OURS)
