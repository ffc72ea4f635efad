"""Probabilities of being an anomaly: right where the stated model holds, and monotone anywhere."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone

from skae import AutoencoderAnomalyDetector
from skae._anomaly.calibration import Calibration
from skae._anomaly.probability import posterior


def shifted(fraction, roc_auc, n, generator):
    """Return scores of the binormal model, through a monotone transformation, and the truth."""
    truth = generator.random(n) < fraction
    odd = generator.normal(size=n) + np.sqrt(2) * stats.norm.ppf(roc_auc) * truth
    return -np.expm1(odd), truth


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(3, 6))
    train, new = (rng.normal(size=(n, 3)) @ mix + 0.3 * rng.normal(size=(n, 6)) for n in (600, 300))
    return train, np.vstack([new, 3 * rng.normal(size=(50, 6))])


@pytest.mark.parametrize("fraction", [0.05, 0.3])
@pytest.mark.parametrize("roc_auc", [0.65, 0.95])
def test_the_mean_probability_is_the_fraction_of_anomalies(fraction, roc_auc):
    generator = np.random.default_rng(1)
    known, _ = shifted(fraction, roc_auc, 20_000, generator)
    scores, truth = shifted(fraction, roc_auc, 200_000, generator)
    calibration = Calibration(known, np.ones(len(known)))
    p_values = calibration.p_values(scores, np.zeros(len(scores), bool))
    found = posterior(p_values, fraction, roc_auc)
    for part in np.array_split(np.argsort(found), 10):
        error = np.sqrt(truth[part].mean() / len(part))
        assert abs(found[part].mean() - truth[part].mean()) < 4 * error + 0.03 * found[part].mean()
    # Bayes' rule with the densities of the two kinds.
    odd, apart = np.log1p(-scores), np.sqrt(2) * stats.norm.ppf(roc_auc)
    one, other = fraction * stats.norm.pdf(odd - apart), (1 - fraction) * stats.norm.pdf(odd)
    exact = one / (one + other)
    inner = (p_values > 0.005) & (p_values < 0.995)
    assert_allclose(found[inner], exact[inner], atol=0.04)


def test_the_mean_over_all_p_values_is_the_fraction():
    p_values = (np.arange(100_000) + 0.5) / 100_000
    for fraction in (0.01, 0.2, 0.5):
        for roc_auc in (0.5, 0.65, 0.9, 0.99):
            assert_allclose(posterior(p_values, fraction, roc_auc).mean(), fraction, rtol=1e-3)


def test_probabilities_of_a_detector(tables):
    train, new = tables
    model = AutoencoderAnomalyDetector(contamination=0.1, random_state=0).fit(train)
    found = model.predict_proba(new)
    assert found.shape == (len(new), 2)
    assert_array_equal(model.classes_, [-1, 1])
    assert_allclose(found.sum(axis=1), 1)
    assert ((found > 0) & (found < 1)).all()
    odd = found[np.argsort(model.score_samples(new), kind="stable"), 0]
    assert (np.diff(odd) <= 0).all()
    assert odd[0] > 0.25
    for one in range(0, len(new), 50):
        assert_allclose(model.predict_proba(new[[one]]), found[[one]])
    assert_allclose(model.predict_proba(train)[:, 0].mean(), 0.1, rtol=0.02)
    sure = model.predict_proba(new, roc_auc=0.95)[:, 0]
    assert sure.max() > 0.9 > 0.01 > sure.min()
    assert_allclose(model.predict_proba(new, roc_auc=0.5)[:, 0], 0.1)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(new), found)
    assert_array_equal(clone(model).fit(train).predict_proba(new), found)
    # As for the threshold, what counts is the parameter's value in fit.
    assert_array_equal(model.set_params(contamination=0.4).predict_proba(new), found)


def test_a_weight_is_as_many_rows(tables):
    train, new = tables
    weight = 1.0 + (np.arange(len(train)) % 3 == 0)
    model = AutoencoderAnomalyDetector(random_state=0, max_iter=3)
    heavy = clone(model).fit(train, sample_weight=weight).predict_proba(new)
    twice = clone(model).fit(np.repeat(train, weight.astype(int), axis=0)).predict_proba(new)
    assert_allclose(heavy, twice, rtol=1e-6)


def test_without_anomalies_among_the_training_rows_there_are_none(tables):
    train, new = tables
    model = AutoencoderAnomalyDetector(contamination=0, random_state=0, max_iter=2).fit(train)
    assert_array_equal(model.predict_proba(new), np.tile([0.0, 1.0], (len(new), 1)))


@pytest.mark.parametrize("roc_auc", [0.49, 1.0, 0, "high"])
def test_roc_auc_is_a_half_or_more(roc_auc, tables):
    train, new = tables
    model = AutoencoderAnomalyDetector(max_iter=1, random_state=0).fit(train)
    with pytest.raises(ValueError, match="'roc_auc' parameter must be"):
        model.predict_proba(new, roc_auc=roc_auc)
