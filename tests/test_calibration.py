"""Thresholds and p-values keep their word on rows that were not trained on."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import IsolationForest

from skae import AutoencoderAnomalyDetector
from skae._anomaly.calibration import Calibration, narrowing
from skae._anomaly.crossfit import _residuals
from skae._anomaly.folds import Folds, RowKeys
from skae.scorings import SCORINGS


def detector(**params):
    return AutoencoderAnomalyDetector(**({"random_state": 0} | params))


@pytest.fixture(scope="module")
def benign():
    X, y = load_breast_cancer(return_X_y=True)
    X = X[y == 1]
    return (X - X.mean(0)) / X.std(0)


@pytest.mark.parametrize(
    ("scoring", "contamination"),
    [*((name, 0.05) for name in SCORINGS), *(("combined", part) for part in (0.01, 0.1, 0.5))],
)
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
    # In the order of the means over the nets that have not seen a row, and close to them.
    scores, means = model.score_samples(train), _mean_of_unseen(model, train)
    assert_array_equal(np.argsort(scores), np.argsort(means))
    assert_allclose(scores, means, rtol=0.2)


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
    p_values, scores = model.p_values(benign, return_scores=True)
    assert_array_equal(p_values, model.p_values(benign))
    assert_array_equal(scores, model.score_samples(benign))
    few = detector(contamination=0.1, max_iter=2).fit(benign[:55])
    assert_array_equal(few.predict(benign[55:]) == -1, few.p_values(benign[55:]) <= 0.1)


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
        known = np.full(5, True)
        assert_allclose(one.p_values(scores, known), other.p_values(scores, known))
        # A new row is counted as one beside as many rows as the weights are worth.
        n = np.exp(stats.entropy(weights))
        lower = np.array([weights[scores <= score].sum() for score in scores]) / weights.sum()
        assert_allclose(one.p_values(scores, ~known)[1:4], lower[1:4] * n / (n + 1))


def test_a_new_row_is_below_the_threshold_as_often_as_asked():
    rng = np.random.default_rng(0)
    for n, share in ((30, 0.05), (55, 0.1), (95, 0.05), (101, 0.25)):
        # of a uniform variable, the threshold itself is the probability to be below it
        rates = [Calibration(rng.uniform(size=n), np.ones(n)).threshold(share) for _ in range(4000)]
        assert abs(np.mean(rates) - share) < 4 * np.std(rates) / np.sqrt(4000)


def test_only_rounded_copies_of_a_row_have_its_key():
    rng = np.random.default_rng(0)
    X = rng.integers(-3, 4, size=(5000, 4)).astype(float)
    keys = RowKeys(X)
    assert len(np.unique(keys(X).round(6), axis=0)) == len(np.unique(X, axis=0))
    assert_array_equal(keys(X), keys(np.where(X == 0, -0.0, X)))
    X[:, 3] = rng.normal(size=5000)
    same = np.abs(keys(X.astype(np.float32)) - keys(X)).max(1) < keys.tolerance
    assert same.all()
    for column in range(4):
        Y = X.copy()
        Y[:, column] += 1e-4
        assert (np.abs(keys(Y) - keys(X)).max(1) > keys.tolerance).all()
    Y[:, 0] = np.nan
    assert (np.abs(keys(Y) - keys(X)).max(1) > keys.tolerance).all()


@pytest.mark.parametrize("width", [1, 8, 300])
def test_training_rows_are_recognised_through_rounding(width):
    rng = np.random.default_rng(0)
    X = rng.lognormal(size=(2000, width)) * 10 ** rng.uniform(-3, 3, size=width)
    X[:, 1::3] += 100 * X[:, 1::3].std(0)
    X[:, 2::4] = X[:, 2::4] > np.median(X[:, 2::4], axis=0)
    folds = Folds(3)
    own = folds.add(X, rng)
    copies = X.astype(np.float32), X + 1e-15, X * (1 + 1e-15)
    for copy in (*copies, X.astype(np.float32).astype(np.float64)):
        assert (folds.find(copy) == own).mean() >= 0.999
    if width > 1:  # one number is soon close to one of 2,000
        assert (folds.find(rng.permuted(X, axis=0)) < 0).mean() >= 0.999
        assert (folds.find(X + 1e-3 * X.std(0)) < 0).mean() >= 0.999
    # A row and its copy are in one fold from the start, too.
    both = Folds(3).add(np.vstack([X, copies[0]]), rng)
    assert (both[:2000] == both[2000:]).mean() > 0.99


def test_scores_survive_a_cast(benign):
    model = detector(max_iter=3).fit(benign)
    scores = model.score_samples(benign)
    assert_allclose(model.score_samples(benign.astype(np.float32)), scores, rtol=1e-4)
    assert_allclose(model.score_samples(benign + 1e-15), scores, rtol=1e-9)
    # as new rows, they would be scored by all nets
    assert np.abs(model.score_samples(benign + 1e-4) / scores - 1).max() > 0.01


def test_a_stream_keeps_no_more_than_its_latest_rows(monkeypatch):
    monkeypatch.setattr("skae._anomaly.folds._REMEMBERED", 100)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3))
    folds = Folds(3)
    for start in range(0, 500, 50):
        own = folds.add(X[start : start + 50], rng)
        folds.add(X[:10], rng)
    assert len(folds.keys) <= 110
    assert_array_equal(folds.find(X[450:]), own)
    # What comes again and again is not forgotten, what came once is.
    assert (folds.find(X[:10]) >= 0).all()
    assert (folds.find(X[10:350]) < 0).all()


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


@pytest.mark.parametrize("unit", [1 / 300, 1e-20, 1e20, 7])
def test_weights_are_relative(unit, benign):
    train, test = benign[:300], benign[300:]
    far = train[:1] + 50
    for weight in (np.ones(300), np.random.default_rng(0).integers(1, 5, 300)):
        one, other = (
            detector(max_iter=2).fit(train, sample_weight=weight * factor) for factor in (1, unit)
        )
        assert_allclose(other.offset_, one.offset_, rtol=1e-12)
        assert_allclose(other.p_values(test), one.p_values(test), rtol=1e-12)
        assert_array_equal(other.predict(test), one.predict(test))
        n = np.exp(stats.entropy(weight))
        assert_allclose(other.p_values(far), 1 / (n + 1))
        mixed = np.vstack([far, test[:9]])
        assert other.predict(mixed, fdr=0.1)[0] == -1


def test_rows_that_come_often_leave_others_their_weight(benign):
    """A row that is half of the table is no reason to find nothing."""
    rows = np.vstack([benign, np.repeat(benign[:1], len(benign), axis=0)])
    model = detector(max_iter=2).fit(rows)
    assert model.p_values(benign[:1] + 50) < 0.05


@pytest.mark.slow
def test_few_rows_flag_as_many_new_rows_as_asked():
    """A mean over three nets has a lighter tail than one over the two that score training rows."""
    rates = []
    for seed in range(40):
        X = np.random.default_rng(seed).normal(size=(2050, 3))
        model = detector(contamination=0.1, max_iter=2, random_state=seed).fit(X[:50])
        rates.append((model.predict(X[50:]) == -1).mean())
    assert abs(np.mean(rates) - 0.1) < 3 * np.std(rates) / np.sqrt(40)


@pytest.mark.slow
def test_the_tail_of_many_rows_is_flagged_as_often_as_asked():
    rates = []
    for seed in range(10):
        X = np.random.default_rng(seed).normal(size=(22_000, 8))
        model = detector(contamination=0.01, max_iter=8, random_state=seed).fit(X[:2000])
        rates.append((model.predict(X[2000:]) == -1).mean())
    assert 0.008 < np.mean(rates) < 0.01 + 3 * np.std(rates) / np.sqrt(10)


def test_narrowing_finds_the_mean_over_one_net_more():
    """Normal distances with independent errors of each net, where the truth is known."""
    rng = np.random.default_rng(0)
    n = 20_000
    distances = 20 + rng.normal(size=n) + 2 * rng.normal(size=(3, n))
    seen, shift = narrowing(distances, rng.integers(3, size=n), np.ones(n))
    assert len(seen) > 0.99 * n
    found = np.quantile(seen + shift, [0.05, 0.5, 0.9, 0.95])
    before = np.quantile(seen, [0.05, 0.5, 0.9, 0.95])
    truth = stats.norm(20, np.sqrt(1 + 4 / 3)).ppf([0.05, 0.5, 0.9, 0.95])
    assert (np.abs(found - truth) < np.maximum(0.25 * np.abs(before - truth), 0.05)).all()
    assert (np.diff(seen + shift) > 0).all()
