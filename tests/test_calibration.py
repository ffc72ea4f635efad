"""Thresholds and p-values keep their word on rows that were not trained on."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import IsolationForest

from skae import AutoencoderAnomalyDetector
from skae._anomaly.calibration import Calibration
from skae._anomaly.crossfit import Folds, _residuals, row_keys
from skae.scorings import SCORINGS


def detector(**params):
    return AutoencoderAnomalyDetector(**({"random_state": 0} | params))


@pytest.fixture(scope="module")
def benign():
    X, y = load_breast_cancer(return_X_y=True)
    X = X[y == 1]
    return (X - X.mean(0)) / X.std(0)


@pytest.mark.parametrize("contamination", [0.01, 0.05, 0.1, 0.5])
@pytest.mark.parametrize("scoring", SCORINGS)
def test_the_share_of_the_training_rows_is_exact(contamination, scoring, benign):
    model = detector(contamination=contamination, scoring=scoring).fit(benign)
    flagged = (model.predict(benign) == -1).sum()
    assert flagged == int(contamination * len(benign))
    assert_array_equal(model.predict(benign), detector(**model.get_params()).fit_predict(benign))


def test_false_alarms_on_new_clean_rows_are_as_rare_as_asked():
    X = load_digits().data
    for contamination in (0.05, 0.1):
        rates, errors = [], []
        for seed in range(6):
            order = np.random.default_rng(seed).permutation(len(X))
            train, test = X[order[:300]], X[order[300:]]
            model = detector(contamination=contamination, random_state=seed).fit(train)
            rates.append((model.predict(test) == -1).mean())
            errors.append(contamination * (1 - contamination) * (1 / 300 + 1 / len(test)))
        # The mean of six splits, within three of its own standard errors.
        assert abs(np.mean(rates) - contamination) < 3 * np.sqrt(np.mean(errors) / 6)


def test_the_scores_of_training_rows_are_those_of_new_rows(benign):
    train, test = benign[::2], benign[1::2]
    model = detector().fit(train)
    honest = stats.ks_2samp(model.score_samples(train), model.score_samples(test))
    assert honest.pvalue > 0.01
    # What a net makes of the rows it was trained on is closer to normal than that.
    net, scoring = model.models_[0], model.scorings_[0]
    own = train[model._crossfit.folds.find(train) == 0]
    with torch.no_grad():
        seen = -scoring.distance(_residuals(net, own)).numpy()
    assert np.median(seen) > np.median(model.score_samples(train))
    assert_allclose(model.score_samples(train), _mean_of_unseen(model, train), rtol=1e-9)


def _mean_of_unseen(model, X):
    folds = model._crossfit.folds.find(X)
    distances = np.empty((3, len(X)))
    for k, (net, scoring) in enumerate(zip(model.models_, model.scorings_, strict=True)):
        with torch.no_grad():
            distances[k] = scoring.distance(_residuals(net, X)).numpy()
    assert set(folds) == {0, 1, 2}
    return -np.array(
        [np.delete(d, fold).mean() for d, fold in zip(distances.T, folds, strict=True)]
    )


def test_p_values_of_new_rows_are_uniform_and_those_of_training_rows_are_ranks(benign):
    p = [
        detector(random_state=seed).fit(benign[seed::2]).p_values(benign[1 - seed :: 2])
        for seed in (0, 1)
    ]
    assert stats.kstest(np.concatenate(p), "uniform").pvalue > 0.01
    model = detector().fit(benign)
    n = len(benign)
    ranks = stats.rankdata(model.score_samples(benign), method="max")
    assert_allclose(model.p_values(benign), ranks / n)
    assert_allclose(model.p_values(benign[:1] + 1e3), 1 / (n + 1))


def test_the_false_discovery_rate_is_kept(benign):
    shares, powers = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        rows = benign[rng.permutation(len(benign))]
        model = detector(random_state=seed).fit(rows[:250])
        odd = rows[250:270].copy()
        odd[np.arange(20), rng.integers(0, odd.shape[1], 20)] += 15
        labels = model.predict(np.vstack([odd, rows[270:]]), fdr=0.2)
        found = labels == -1
        shares.append(found[20:].sum() / max(1, found.sum()))
        powers.append(found[:20].mean())
    assert np.mean(shares) < 0.2 + 3 * np.std(shares) / np.sqrt(8)
    assert np.mean(powers) > 0.8


def test_fdr_is_the_procedure_of_benjamini_and_hochberg(benign):
    model = detector().fit(benign[:300])
    X = np.vstack([benign[300:], benign[300:320] + 6])
    p = model.p_values(X)
    order = np.argsort(p)
    passed = np.flatnonzero(p[order] <= 0.1 * np.arange(1, len(p) + 1) / len(p))
    limit = p[order][passed[-1]] if len(passed) else 0
    assert_array_equal(model.predict(X, fdr=0.1) == -1, p <= limit)


@pytest.mark.parametrize("fdr", [0, 1, -0.1, 1.5, "5%"])
def test_a_bad_fdr_is_named(fdr, benign):
    model = detector(max_iter=1).fit(benign)
    with pytest.raises(ValueError, match=r"'fdr' parameter must be a float in \(0, 1\)"):
        model.predict(benign, fdr=fdr)


def test_fewer_rows_than_the_share_needs_take_the_lowest_score(benign):
    model = detector(contamination=0.01).fit(benign[:50])
    assert (model.predict(benign[:50]) == 1).all()
    assert (model.predict(benign[:5] + 50) == -1).all()


def test_auto_is_five_percent(benign):
    assert detector().fit(benign).offset_ == detector(contamination=0.05).fit(benign).offset_


def test_isolation_forest_breaks_its_word_where_the_detector_keeps_it(wine):
    """The reason for all this: few rows and a threshold from the rows trained on."""
    ours, theirs = [], []
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(len(wine))
        train, test = wine[order[:89]], wine[order[89:]]
        forest = IsolationForest(contamination=0.1, random_state=seed).fit(train)
        theirs.append((forest.predict(test) == -1).mean())
        model = detector(contamination=0.1, random_state=seed).fit(train)
        ours.append((model.predict(test) == -1).mean())
    error = np.sqrt(0.1 * 0.9 * 2 / 89 / 6)
    assert abs(np.mean(ours) - 0.1) < 3 * error
    assert np.mean(theirs) > 0.1 + 3 * error


def test_a_threshold_is_a_weighted_quantile():
    scores = np.array([5.0, 1.0, 3.0, 2.0, 4.0])
    for weights in (np.ones(5), np.array([1.0, 2.0, 1.0, 3.0, 1.0])):
        repeated = np.repeat(scores, weights.astype(int))
        one, other = Calibration(scores, weights), Calibration(repeated, np.ones(len(repeated)))
        for share in (0.1, 0.25, 0.4, 0.5, 0.9):
            if share * weights.sum() >= weights[1]:
                below = (repeated < one.threshold(share)).mean()
                assert below <= share
                assert below + weights.max() / weights.sum() > share
        for known in (True, False):
            known = np.full(5, known)
            assert_allclose(one.p_values(scores, known), other.p_values(scores, known))


def test_a_new_row_is_below_the_threshold_as_often_as_asked():
    rng = np.random.default_rng(0)
    for n, share in ((30, 0.05), (55, 0.1), (95, 0.05), (101, 0.25)):
        # of a uniform variable, the threshold itself is the probability to be below it
        rates = [Calibration(rng.uniform(size=n), np.ones(n)).threshold(share) for _ in range(4000)]
        assert abs(np.mean(rates) - share) < 4 * np.std(rates) / np.sqrt(4000)


def test_row_keys_are_equal_for_equal_rows_only():
    rng = np.random.default_rng(0)
    X = rng.integers(-3, 4, size=(5000, 4)).astype(float)
    distinct = len(np.unique(X, axis=0))
    assert len(np.unique(row_keys(X))) == distinct
    assert len(np.unique(row_keys(X[:, ::-1].copy()))) == distinct
    assert_array_equal(row_keys(X), row_keys(np.where(X == 0, -0.0, X)))
    assert_array_equal(row_keys(X[4990:]), row_keys(X)[4990:])
    permuted = rng.permuted(X, axis=1)
    differ = (permuted != X).any(axis=1)
    assert not (row_keys(permuted)[differ] == row_keys(X)[differ]).any()


def test_folds_are_remembered():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    folds = Folds(3)
    first = folds.add(X[:60], rng)
    assert sorted(np.bincount(first)) == [20, 20, 20]
    second = folds.add(X[40:], rng)
    assert_array_equal(second[:20], first[40:])
    assert_array_equal(folds.find(X), np.concatenate([first, second[20:]]))
    assert_array_equal(folds.find(X + 1), -1)
