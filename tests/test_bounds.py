"""Bounds on decisions: calibration-conditional p-values, and the precision of what is flagged."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats

from skae import AutoencoderAnomalyDetector
from skae._anomaly.bounds import conditional, false_discoveries

N_DRAWS = 1000


def at_most(confidence):
    """The most failures in the draws that a true probability of failure explains, at 1 in 1,000."""
    return stats.binom.ppf(0.999, N_DRAWS, 1 - confidence)


@pytest.fixture(scope="module")
def detector():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(3, 6))
    train, new = (rng.normal(size=(n, 3)) @ mix + 0.3 * rng.normal(size=(n, 6)) for n in (600, 300))
    odd = rng.normal(size=(100, 6)) * 3
    model = AutoencoderAnomalyDetector(random_state=0).fit(train)
    return model, train, new, odd


@pytest.mark.extended
@pytest.mark.parametrize("n", [50, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_conditional_p_values_hold_for_nearly_all_training_rows(n, confidence):
    generator = np.random.default_rng(1)
    # The probability to score as the i-th lowest row or lower is an order statistic.
    reached = np.sort(generator.random((N_DRAWS, n)), axis=1)
    bounds = conditional(np.arange(1, n + 1) / (n + 1), n, confidence)
    failed = (reached > bounds).any(axis=1).sum()
    assert failed <= at_most(confidence)
    # Marginal p-values fail nearly always, at some alpha; a looser bound would never.
    assert (reached > np.arange(1, n + 1) / (n + 1)).any(axis=1).mean() > 0.9
    assert failed >= stats.binom.ppf(0.001, N_DRAWS, 1 - confidence) / 3


@pytest.mark.extended
def test_conditional_p_values_are_not_much_larger():
    marginal = np.array([0.01, 0.05])
    found = conditional(marginal, 2000, 0.9) / marginal
    assert (found > 1).all()
    assert (found < [1.8, 1.35]).all()


def test_conditional_p_values_of_a_detector(detector):
    model, _, new, odd = detector
    marginal, careful = (model.p_values(new, confidence=c) for c in (None, 0.9))
    assert (careful >= marginal).all()
    assert careful.max() <= 1
    order = np.argsort(marginal, kind="stable")
    assert (np.diff(careful[order]) >= 0).all()
    assert (model.p_values(odd, confidence=0.9) < 0.05).mean() > 0.5


@pytest.mark.parametrize(
    ("n", "n_inliers", "n_odd"), [(200, 150, 50), (1000, 400, 0), (500, 30, 200)]
)
def test_precision_bounds_hold_together(n, n_inliers, n_odd):
    generator = np.random.default_rng(2)
    confidence, failed, informed = 0.9, 0, []
    odd = np.arange(n_inliers + n_odd) >= n_inliers
    for _ in range(N_DRAWS // 5):
        scores = generator.normal(size=n + len(odd))
        known, new = np.sort(scores[:n]), scores[n:] - 3 * odd
        counts = np.searchsorted(known, new, side="right")
        found, up_to = false_discoveries(counts, n, confidence)
        false = np.array([(~odd & (counts <= count)).sum() for count in counts])
        assert_array_equal(up_to, [(counts <= count).sum() for count in counts])
        failed += (false > found).any()
        flagged = counts <= np.quantile(counts, 0.3)
        informed.append(1 - found[flagged].max() / up_to[flagged].max())
    assert failed <= stats.binom.ppf(0.999, N_DRAWS // 5, 1 - confidence)
    if n_odd:
        assert np.mean(informed) > 0.3


def test_a_precision_bound_is_not_vacuous_where_a_third_is_false():
    generator = np.random.default_rng(3)
    known = np.sort(generator.normal(size=1000))
    new = np.r_[generator.normal(size=1000), generator.normal(size=60) - 6]
    counts = np.searchsorted(known, new, side="right")
    found, up_to = false_discoveries(counts, 1000, 0.95)
    at = np.argmin(np.abs(up_to - 90))
    false = (counts[:1000] <= counts[at]).sum()
    assert 0.3 < false / up_to[at] < 0.4
    assert 0.3 < 1 - found[at] / up_to[at] < 1 - false / up_to[at]


def test_precision_bounds_of_a_detector(detector):
    model, train, new, odd = detector
    rows, truth = np.vstack([new, odd]), np.repeat([False, True], [300, 100])
    bounds, scores = model.precision_bound(rows), model.score_samples(rows)
    precision = np.array([truth[scores <= score].mean() for score in scores])
    assert (bounds <= precision).all()
    assert bounds[np.argsort(scores)[60]] > 0.7
    # Rows with nothing odd among them promise nothing.
    assert model.precision_bound(train[:100]).max() == 0


@pytest.mark.parametrize("method", ["p_values", "precision_bound"])
@pytest.mark.parametrize("confidence", [0, 1.0, "much"])
def test_confidence_is_between_0_and_1(method, confidence, detector):
    model, _, new, _ = detector
    with pytest.raises(ValueError, match=r"'confidence' parameter must be a float in \(0, 1\)"):
        getattr(model, method)(new, confidence=confidence)
