"""The detector on rows with missing entries: thresholds hold, and a gap is no anomaly."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import roc_auc_score

from skae import AutoencoderAnomalyDetector
from skae.scorings import SCORINGS

SHARE = 0.2
N_NEW = 2000


def detector(**params):
    return AutoencoderAnomalyDetector(random_state=0, **params)


def make(n_rows, seed, share=SHARE):
    """Return rows near a curved surface, with a share of their entries missing at random."""
    directions = np.random.default_rng(5).normal(size=(3, 10))
    generator = np.random.default_rng(seed)
    X = 2 * np.tanh(generator.normal(size=(n_rows, 3)) @ directions)
    X += 0.3 * generator.normal(size=X.shape)
    return np.where(generator.random(X.shape) < share, np.nan, X)


@pytest.fixture(scope="module")
def fitted():
    train = make(900, 0)
    return train, detector().fit(train)


def test_thresholds_hold_for_new_rows_with_gaps(fitted):
    train, model = fitted
    assert_allclose((model.predict(train) == -1).mean(), 0.05, atol=1 / len(train))
    new = make(N_NEW, 1)
    # of the quantile of the training rows, and of the count among the new ones
    error = np.sqrt(0.05 * 0.95 * (1 / len(train) + 1 / N_NEW))
    assert abs((model.predict(new) == -1).mean() - 0.05) < 3 * error
    below = (model.p_values(new) <= 0.5).mean()
    assert abs(below - 0.5) < 3 * np.sqrt(0.25 * (1 / len(train) + 1 / N_NEW))


@pytest.mark.parametrize("fitted_share", [0.0, SHARE])
def test_many_gaps_are_no_anomaly(fitted_share, fitted):
    model = fitted[1] if fitted_share else detector().fit(make(900, 0, share=0.0))
    assert (model.predict(make(1000, 2, share=0.6)) == -1).mean() < 0.05
    assert model.predict(np.full((1, 10), np.nan))[0] == 1


def test_odd_values_beside_gaps_are_found_and_named(fitted):
    _, model = fitted
    rows = make(300, 3)
    rows[:, 4] = np.where(np.arange(300) < 100, 8.0, rows[:, 4])
    assert roc_auc_score(np.arange(300) < 100, -model.score_samples(rows)) > 0.99
    assert (model.explain(rows[:100]).argmin(1) == 4).mean() > 0.95


@pytest.mark.parametrize("scoring", SCORINGS)
def test_contributions_add_up_and_gaps_have_none(scoring):
    train = make(200, 0)
    model = detector(scoring=scoring, hidden_layer_sizes=(16,)).fit(train)
    rows = make(50, 1)
    contributions = model.explain(rows)
    assert_allclose(contributions.sum(1), model.score_samples(rows))
    assert_allclose(contributions[np.isnan(rows)], 0, atol=1e-200)


def test_the_centre_is_of_what_is_there():
    train = make(200, 0)
    train[:, 3] = np.nan
    model = detector(hidden_layer_sizes=(16,)).fit(train)
    normal = model.score_samples(train) >= np.median(model.score_samples(train))
    there = np.delete(train[normal], 3, axis=1)
    assert_allclose(np.delete(model.centre_, 3), np.nanmean(there, axis=0), atol=0.02)
    assert model.centre_[3] == 0
    assert np.isfinite(model.explain(make(5, 1))).all()


def test_rows_with_gaps_are_known_again(fitted):
    train, model = fitted
    other_bits = np.where(np.isnan(train), -np.nan, train)
    assert_array_equal(model.score_samples(other_bits), model.score_samples(train))
    n = len(train)
    lowest = np.argmin(model.score_samples(train))
    assert_allclose(model.p_values(other_bits)[lowest], 1 / n)


def test_weights_are_repetitions():
    train = make(150, 0)
    weight = np.random.default_rng(0).integers(1, 3, len(train))
    one = detector(max_iter=2).fit(train, sample_weight=weight)
    other = detector(max_iter=2).fit(np.repeat(train, weight, axis=0))
    assert_array_equal(one.score_samples(train), other.score_samples(train))


def test_streams_take_gaps():
    model = detector(hidden_layer_sizes=(16,))
    for seed in range(15):
        model.partial_fit(make(200, seed))
    false_alarms = (model.predict(make(N_NEW, 99)) == -1).mean()
    assert false_alarms < 0.05 + 3 * np.sqrt(0.05 * 0.95 * (1 / 3000 + 1 / N_NEW))
    odd = make(100, 98)
    odd[:, 2] = 9.0
    assert (model.predict(odd) == -1).mean() > 0.95


def test_sequences_must_be_whole():
    assert detector().__sklearn_tags__().input_tags.allow_nan
    recurrent = detector(architecture="recurrent")
    assert not recurrent.__sklearn_tags__().input_tags.allow_nan
    with pytest.raises(ValueError, match="contains NaN"):
        recurrent.fit(make(50, 0))
