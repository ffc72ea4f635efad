"""The drift monitor: alarms where something changes, and next to none where nothing does."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse, stats
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from skae import AutoencoderAnomalyDetector
from skae.drift import DriftMonitor


class Norm(BaseEstimator):
    """The distance from zero, without a net to train."""

    def score_samples(self, X):
        return -np.nansum(np.asarray(X) ** 2, axis=1)


@pytest.fixture(scope="module")
def correlated():
    """Rows of a correlated table, as many as asked for, and a detector that is fitted to some."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(4, 8))

    def rows(n, generator):
        return generator.normal(size=(n, 4)) @ mix + 0.5 * generator.normal(size=(n, 8))

    train = rows(500, rng)
    return rows, train, AutoencoderAnomalyDetector(random_state=0).fit(train)


def test_false_alarms_are_rarer_than_asked_for_at_any_time():
    rng, n_streams = np.random.default_rng(0), 200
    alarms = 0
    for seed in range(n_streams):
        # Two features have few values, and one of them gaps.
        X = rng.normal(size=(260, 3))
        X[:, 1:] = np.floor(X[:, 1:])
        X[rng.random(260) < 0.2, 2] = np.nan
        monitor = DriftMonitor(Norm(), false_alarm=0.05, random_state=seed).fit(X[:60])
        monitor.update(X[60:])
        alarms += monitor.alarm_at_ is not None
    assert alarms <= stats.binom.ppf(0.999, n_streams, 0.05)
    # The bets are fair, not only timid.
    assert alarms > 0


def test_training_rows_serve_as_reference(correlated):
    rows, train, detector = correlated
    alarms = [
        DriftMonitor(detector, random_state=seed)
        .fit(train)
        .update(rows(300, np.random.default_rng(seed)))
        .max()
        >= np.log(100)
        for seed in range(40)
    ]
    assert np.sum(alarms) <= stats.binom.ppf(0.999, 40, 0.01)


@pytest.mark.parametrize("direction", ["all", "one"])
def test_a_shift_of_a_standard_deviation_is_seen_within_200_rows(direction, correlated):
    rows, train, detector = correlated
    for seed in range(10):
        rng = np.random.default_rng(seed)
        shift = train.std(0) * (np.arange(8) == seed % 8 if direction == "one" else 1)
        monitor = DriftMonitor(detector, random_state=seed).fit(train)
        monitor.update(rows(100, rng))
        assert monitor.alarm_at_ is None
        monitor.update(rows(200, rng) + shift)
        assert 100 <= monitor.alarm_at_ < 300
        if direction == "one":
            assert monitor.log_martingales_[1:].argmax() == seed % 8


def test_gaps_that_become_frequent_are_a_change():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2))
    stream = X[300:].copy()
    stream[rng.random(200) < 0.5, 1] = np.nan
    monitor = DriftMonitor(Norm(), random_state=0).fit(X[:300])
    monitor.update(stream)
    assert monitor.alarm_at_ is not None
    assert monitor.log_martingales_.argmax() == 2


def test_ranks_are_those_of_scipy():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(41, 1))
    monitor = DriftMonitor(Norm(), random_state=3).fit(X[:40])
    draws = np.random.default_rng(np.random.RandomState(3).randint(2**31 - 1)).random(2)
    found = monitor.update(X[40:])[0]
    gains = []
    for values, draw in zip((Norm().score_samples(X), X[:, 0]), draws, strict=True):
        p_value = (stats.rankdata(values, "min")[-1] - 1 + draw) / 41
        gains.append(np.mean(1 + np.array([-1.5, -0.75, 0, 0.75, 1.5]) * (p_value - 0.5)))
    assert_allclose(np.exp(found), np.mean(gains))


def test_a_stream_goes_on_in_chunks_and_after_pickling(correlated):
    rows, train, detector = correlated
    stream = rows(60, np.random.default_rng(1))
    whole = DriftMonitor(detector, random_state=0).fit(train).update(stream)
    monitor = DriftMonitor(detector, random_state=0).fit(train)
    first = monitor.update(stream[:25])
    monitor = pickle.loads(pickle.dumps(monitor))
    second = monitor.update(sparse.csr_array(stream[25:]))
    assert_allclose(np.concatenate([first, second]), whole, rtol=1e-9)
    assert (monitor.n_rows_, monitor.log_martingale_) == (60, second[-1])


def test_what_is_refused(correlated):
    _, train, detector = correlated
    with pytest.raises(NotFittedError):
        DriftMonitor(detector).update(train)
    with pytest.raises(NotFittedError):
        DriftMonitor(AutoencoderAnomalyDetector()).fit(train)
    with pytest.raises(ValueError, match="'false_alarm' parameter of DriftMonitor"):
        DriftMonitor(detector, false_alarm=1.0).fit(train)
    monitor = DriftMonitor(Norm()).fit(train)
    with pytest.raises(ValueError, match="X has 3 features, but DriftMonitor is expecting 8"):
        monitor.update(train[:, :3])
    assert monitor.n_rows_ == 0
