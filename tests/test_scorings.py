"""The distances, against NumPy, scikit-learn and scipy."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.covariance import MinCovDet, ledoit_wolf
from sklearn.neighbors import NearestNeighbors

from skae.scorings import (
    SCORINGS,
    Latent,
    Mahalanobis,
    Neighbors,
    Reconstruction,
    Residuals,
    Whitened,
)

QUADRATIC = [name for name in SCORINGS if name != "reconstruction"]


def residuals_of(code, residual):
    code, residual = (torch.from_numpy(np.asarray(a, dtype=float)) for a in (code, residual))
    return Residuals(code, residual, residual.square().mean(1), residual + code[:, :1])


def random_residuals(n=200, k=2, d=5, seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(k + d, k + d))
    both = rng.normal(size=(n, k + d)) @ mix + rng.normal(size=k + d)
    return residuals_of(both[:, :k], both[:, k:])


def fit(name, residuals, weight=None, **params):
    scoring = SCORINGS[name](**params)
    scoring.fit(residuals, np.ones(len(residuals.code)) if weight is None else weight)
    return scoring


@pytest.mark.parametrize("scoring", ["mahalanobis", "latent"])
def test_all_rows_give_the_shrunk_mahalanobis_distance(scoring):
    residuals = random_residuals()
    rows = (
        np.hstack([residuals.code, residuals.residual])
        if scoring == "mahalanobis"
        else residuals.code.numpy()
    )
    scaled = (rows - rows.mean(0)) / rows.std(0)
    expected = (scaled @ np.linalg.inv(ledoit_wolf(scaled)[0]) * scaled).sum(1)
    expected *= stats.chi2.ppf(0.5, rows.shape[1]) / np.sort(expected)[len(rows) // 2 - 1]
    found = fit(scoring, residuals, support_fraction=1.0).distance(residuals)
    assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_whitened_is_the_residual_over_its_spread():
    residuals = random_residuals()
    residual = residuals.residual.numpy()
    expected = (((residual - residual.mean(0)) / residual.std(0)) ** 2).sum(1)
    found = fit("whitened", residuals, support_fraction=1.0).distance(residuals).numpy()
    assert_allclose(found / np.median(found), expected / np.median(expected), rtol=0.02)
    assert_allclose(np.corrcoef(found, expected)[0, 1], 1)


def test_reconstruction_is_the_loss():
    residuals = random_residuals()
    assert_array_equal(Reconstruction().distance(residuals), residuals.loss)


def rows_as(row):
    return residuals_of(np.zeros((len(row), 1)), row)


def both_forms(row, train):
    """Rows by standard deviations and by normal scores, as scipy has them, of training values.

    Between 64 of the values, evenly chosen, the normal scores go on evenly.
    """
    ranks = np.stack([stats.rankdata(column) for column in train.T], axis=1) - 0.5
    normal = stats.norm.ppf(np.clip(ranks / len(train), 0.5 / (len(train) + 1), None))
    normal = np.minimum(normal, stats.norm.ppf(1 - 0.5 / (len(train) + 1)))
    columns = zip(row.T, train.T, normal.T, strict=True)
    found = []
    for new, old, score in columns:
        values, first = np.unique(old, return_index=True)
        some = np.linspace(0, len(values) - 1, min(len(values), 64)).astype(int)
        found.append(np.interp(new, values[some], score[first][some]))
    return np.hstack([row / train.std(0), np.stack(found, axis=1)])


@pytest.fixture(scope="module")
def heavy_tails():
    rng = np.random.default_rng(0)
    # Every other feature has few distinct values.
    X = rng.lognormal(sigma=1.5, size=(400, 4)) * [1.0, 100.0, 1.0, 1.0]
    X[:, 2:] = np.floor(X[:, 2:])
    return X[:300], X[300:]


# The search takes another way for many neighbours, and for few rows.
@pytest.mark.parametrize("n_rows", [3, 100])
@pytest.mark.parametrize("n_known", [9, 299, 300])
@pytest.mark.parametrize("n_neighbors", [1, 5, 30])
def test_neighbors_are_those_of_scikit_learn(n_neighbors, n_known, n_rows, heavy_tails):
    train, new = heavy_tails
    train, new, n_neighbors = train[:n_known], new[:n_rows], min(n_neighbors, n_known)
    found = fit("neighbors", rows_as(train), n_neighbors=n_neighbors).distance(rows_as(new))
    peer = NearestNeighbors(n_neighbors=n_neighbors).fit(both_forms(train, train))
    expected = (peer.kneighbors(both_forms(new, train))[0] ** 2).mean(1)
    assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_a_training_row_is_not_its_own_neighbour(heavy_tails):
    train, _ = heavy_tails
    found = fit("neighbors", rows_as(train)).leave_one_out().numpy()
    peer = NearestNeighbors(n_neighbors=5).fit(both_forms(train, train))
    assert_allclose(found, (peer.kneighbors()[0] ** 2).mean(1), rtol=1e-9, atol=1e-12)


def test_a_row_that_counts_twice_is_two_neighbours(heavy_tails):
    train, new = heavy_tails
    train = train + np.linspace(0, 0.1, len(train))[:, None]
    weight = np.random.default_rng(1).integers(1, 4, size=len(train))
    again = train[np.repeat(np.arange(len(train)), weight)]
    one = fit("neighbors", rows_as(train), weight.astype(float))
    other = fit("neighbors", rows_as(again))
    # The extremes of the normal scores count rows, and there are more of them.
    new = np.clip(new, np.quantile(train, 0.1, axis=0), np.quantile(train, 0.9, axis=0))
    found, expected = (model.distance(rows_as(new)) for model in (one, other))
    assert_allclose(found, expected, rtol=1e-6)
    first = np.unique(np.repeat(np.arange(len(train)), weight), return_index=True)[1]
    inner = ((new.min(0) < train) & (train < new.max(0))).all(1)
    assert_allclose(
        one.leave_one_out()[inner], other.leave_one_out()[first][inner], rtol=1e-6, atol=1e-9
    )


def test_neighbors_see_what_lies_between_clusters_and_mahalanobis_does_not():
    rng = np.random.default_rng(0)
    centers = np.array([[-10.0, 0.0], [10.0, 0.0]])
    clusters = np.vstack([rng.normal(size=(200, 2)) + center for center in centers])
    between = rows_as(np.zeros((1, 2)))
    for name in ("neighbors", "combined"):
        model = fit(name, rows_as(clusters))
        known = model.distance(rows_as(clusters)).numpy()
        assert model.distance(between).item() > np.quantile(known, 0.95)
    model = Mahalanobis(support_fraction=1.0)
    model.fit(rows_as(clusters), np.ones(400))
    assert model.distance(between) < model.distance(rows_as(clusters)).median()


def test_combined_is_the_larger_surprise(heavy_tails):
    train, new = (rows_as(rows) for rows in heavy_tails)
    model, mahalanobis, neighbors = (
        fit(n, train) for n in ("combined", "mahalanobis", "neighbors")
    )
    surprises = []
    for known, distance in (
        (mahalanobis.distance(train), mahalanobis.distance(new)),
        (neighbors.leave_one_out(), neighbors.distance(new)),
    ):
        # Between two training rows a surprise is between theirs.
        larger = (known[None] >= distance[:, None]).sum(1).numpy()
        larger_still = np.minimum(larger + 1, len(known))
        with np.errstate(divide="ignore"):
            surprises.append(-np.log([larger_still / 301, larger / 301]))
    low, high = np.maximum(*surprises)
    found = model.distance(new).numpy()
    assert (found >= low - 1e-9).all()
    assert (found <= high + 1e-9).all()


def test_beyond_the_training_rows_surprises_go_on_growing_but_not_without_end():
    residuals = random_residuals()
    model, last = fit("combined", residuals), 0.0
    for factor in 10.0 ** np.arange(1, 140, 10):
        far = rows_as(residuals.row[:3].numpy() * factor)
        far.code = residuals.code[:3] * factor
        distance = model.distance(far).numpy()
        assert (distance > last).all()
        last = distance
    assert last.max() < 2 * np.log(201)


def test_anomalies_among_the_rows_do_not_move_the_distance():
    rng = np.random.default_rng(0)
    code, residual = rng.normal(size=(600, 2)), rng.normal(size=(600, 4))
    odd = np.arange(600) < 120
    code[odd] = code[odd] * 3 + 6
    residual[odd, 0] -= 8
    residuals = residuals_of(code, residual)
    found = fit("mahalanobis", residuals).distance(residuals).numpy()
    trusted = MinCovDet(random_state=0).fit(np.hstack([code, residual]))
    expected = trusted.mahalanobis(np.hstack([code, residual]))
    assert (found[odd] > found[~odd].max()).mean() > 0.95
    assert stats.spearmanr(found[~odd], expected[~odd]).statistic > 0.97
    everything = fit("mahalanobis", residuals, support_fraction=1.0).distance(residuals).numpy()
    assert (everything[odd] > everything[~odd].max()).mean() < 0.5


@pytest.mark.parametrize("name", QUADRATIC)
def test_units_of_features_do_not_matter(name):
    residuals = random_residuals()
    units = torch.tensor([1e-3, 1.0, 1e4, 7.0, 1e-6], dtype=torch.float64)
    other = Residuals(
        residuals.code * 1e3, residuals.residual * units, residuals.loss, residuals.row * units
    )
    assert_allclose(
        fit(name, residuals).distance(residuals), fit(name, other).distance(other), rtol=1e-6
    )


@pytest.mark.parametrize("name", QUADRATIC)
def test_a_weight_is_a_repetition_of_the_row(name):
    residuals = random_residuals(n=80)
    weight = np.random.default_rng(1).integers(1, 4, size=80)
    again = np.repeat(np.arange(80), weight)
    one = fit(name, residuals, weight.astype(float))
    other = fit(name, Residuals(*(part[again] for part in vars(residuals).values())))
    # The shrinkage counts rows, and repeated rows are more of them.
    found, expected = one.distance(residuals).numpy(), other.distance(residuals).numpy()
    assert stats.spearmanr(found, expected).statistic > 0.95


@pytest.mark.parametrize("name", SCORINGS)
@pytest.mark.parametrize(
    "case", ["constant column", "all equal", "fewer rows than features", "mostly equal", "one row"]
)
def test_degenerate_rows_have_finite_distances(name, case):
    residuals = random_residuals(n=30)
    if case == "constant column":
        residuals.residual[:, 1] = 3.0
        residuals.code[:, 0] = 0.0
    elif case == "all equal":
        residuals = Residuals(
            *(part[:1].expand(30, *part.shape[1:]).clone() for part in vars(residuals).values())
        )
    elif case == "fewer rows than features":
        residuals = random_residuals(n=6, k=4, d=20)
    elif case == "mostly equal":
        for part in vars(residuals).values():
            part[:25] = part[0].clone()
    else:
        residuals = Residuals(*(part[:1] for part in vars(residuals).values()))
    scoring = fit(name, residuals)
    distance = scoring.distance(residuals).numpy()
    assert np.isfinite(distance).all()
    far = Residuals(
        residuals.code + 100, residuals.residual + 100, residuals.loss + 100, residuals.row + 100
    )
    assert scoring.distance(far).numpy().min() > distance.max() or case == "all equal"
    if case == "mostly equal" and name != "reconstruction":
        assert distance[25:].min() > distance[:25].max()


@pytest.mark.parametrize("scoring", [Mahalanobis, Latent, Whitened, Neighbors])
def test_what_is_learnt_is_numpy(scoring):
    residuals = random_residuals()
    model = scoring()
    model.fit(residuals, np.ones(200))
    assert {type(v) for k, v in vars(model).items() if k.endswith("_")} == {np.ndarray}
