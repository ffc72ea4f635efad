"""The distances, against NumPy, scikit-learn and scipy."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.covariance import MinCovDet, ledoit_wolf

from skae.scorings import SCORINGS, Latent, Mahalanobis, Reconstruction, Residuals, Whitened

QUADRATIC = [name for name in SCORINGS if name != "reconstruction"]


def residuals_of(code, residual):
    code, residual = (torch.from_numpy(np.asarray(a, dtype=float)) for a in (code, residual))
    return Residuals(code, residual, residual.square().mean(1))


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
    other = Residuals(residuals.code * 1e3, residuals.residual * units, residuals.loss)
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
    far = Residuals(residuals.code + 100, residuals.residual + 100, residuals.loss + 100)
    assert scoring.distance(far).numpy().min() > distance.max() or case == "all equal"
    if case == "mostly equal" and name != "reconstruction":
        assert distance[25:].min() > distance[:25].max()


@pytest.mark.parametrize("scoring", [Mahalanobis, Latent, Whitened])
def test_what_is_learnt_is_numpy(scoring):
    residuals = random_residuals()
    model = scoring()
    model.fit(residuals, np.ones(200))
    assert {type(v) for k, v in vars(model).items() if k.endswith("_")} == {np.ndarray}
