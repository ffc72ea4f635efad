"""Contributions of features: they add up to the score, and the odd feature leads."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderAnomalyDetector
from skae._anomaly.attribution import integrated_gradients
from skae.losses import LOSSES, CategoricalCrossEntropy
from skae.scorings import SCORINGS


def detector(**params):
    return AutoencoderAnomalyDetector(**({"random_state": 0} | params))


def test_a_quadratic_form_has_its_classical_terms():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(4, 4))
    P, x, centre = A @ A.T, rng.normal(size=(7, 4)), rng.normal(size=(1, 4))

    def distance(t):
        moved = t - torch.from_numpy(centre)
        return (moved @ torch.from_numpy(P) * moved).sum(1)

    found = integrated_gradients(distance, torch.from_numpy(x), torch.from_numpy(centre)).numpy()
    assert_allclose(found, (x - centre) * ((x - centre) @ P), atol=1e-12)


def test_shares_are_path_integrals_of_finite_differences():
    rng = np.random.default_rng(0)
    W = rng.normal(size=(3, 5))
    x = rng.normal(size=(4, 3))

    def f(t):
        return np.tanh(t @ W).sum(1)

    found = integrated_gradients(
        lambda t: torch.tanh(t @ torch.from_numpy(W)).sum(1),
        torch.from_numpy(x),
        torch.zeros(1, 3, dtype=torch.float64),
    ).numpy()
    steps = (np.arange(2000) + 0.5) / 2000
    expected = np.empty_like(x)
    for j in range(3):
        e = np.eye(3)[j] * 1e-5
        slopes = [(f(s * x + e) - f(s * x - e)) / 2e-5 for s in steps]
        expected[:, j] = x[:, j] * np.mean(slopes, axis=0)
    assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("scoring", SCORINGS)
def test_contributions_add_up_to_the_score(scoring, wine):
    model = detector(scoring=scoring).fit(wine[::2])
    for X in (wine[::2], wine[1::2], wine[:5] + 20):
        assert_allclose(model.explain(X).sum(1), model.score_samples(X), rtol=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
def test_contributions_add_up_with_every_loss(loss, digits):
    model = detector(loss=loss, scoring="reconstruction").fit(digits[:200])
    X = digits[200:220]
    assert_allclose(model.explain(X).sum(1), model.score_samples(X), rtol=1e-10)


REAL = {
    "wine": load_wine().data,
    "breast_cancer": load_breast_cancer().data[load_breast_cancer().target == 1],
    "digits": load_digits().data,
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("amount", [8, -8])
def test_a_planted_anomaly_leads(name, amount):
    X = REAL[name][:, REAL[name].std(0) > 0.5 * (name == "digits")]
    rng = np.random.default_rng(0)
    X = StandardScaler().fit_transform(X[rng.permutation(len(X))])
    train, test = np.array_split(X, 2)
    test = test[:300].copy()
    column = rng.integers(0, X.shape[1], len(test))
    test[np.arange(len(test)), column] += amount
    model = detector().fit(train)
    contributions = model.explain(test)
    assert (contributions.argmin(1) == column).mean() >= 0.95
    # and no other column is as odd in either direction
    assert (np.abs(contributions).argmax(1) == column).mean() >= 0.95


def test_frames_come_back_as_frames():
    frame = load_wine(as_frame=True).data
    model = detector(max_iter=2).fit(frame)
    found = model.explain(frame[5:9])
    assert isinstance(found, pd.DataFrame)
    assert list(found.columns) == list(frame.columns)
    assert list(found.index) == [5, 6, 7, 8]
    table = pl.from_pandas(frame)
    found = model.explain(table[5:9])
    assert isinstance(found, pl.DataFrame)
    assert found.columns == list(frame.columns)
    assert_allclose(found.to_numpy(), model.explain(frame[5:9]).to_numpy())


def test_samples_keep_their_shape_on_request(digits):
    images = digits[:100].reshape(-1, 8, 8)
    model = detector(input_shape=(8, 8), max_iter=3).fit(images)
    flat, shaped = model.explain(images), model.explain(images, keep_shape=True)
    assert flat.shape == (100, 64)
    assert shaped.shape == (100, 8, 8)
    assert_allclose(shaped.reshape(100, 64), flat)
    assert_allclose(model.score_samples(images), model.score_samples(digits[:100]))


def test_a_lit_pixel_is_found(digits):
    model = detector(input_shape=(8, 8)).fit(digits)
    image = digits[:1].reshape(1, 8, 8).copy()
    image[0, 2, 7] = 3.0
    assert np.unravel_index(model.explain(image, keep_shape=True)[0].argmin(), (8, 8)) == (2, 7)


def test_a_constant_column_contributes_nothing_odd(wine):
    X = np.hstack([wine, np.full((len(wine), 1), 5.0)])
    model = detector().fit(X)
    contributions = model.explain(X)
    assert np.abs(contributions[:, -1]).max() < 0.05 * np.abs(contributions).max()


@pytest.mark.parametrize("seed", range(4))
def test_tables_of_categories_alone(seed):
    """A fold may lack a category: no mean of rows is a row of its net then."""
    rng = np.random.default_rng(seed)
    X = np.hstack([np.eye(8)[rng.choice(8, 40, p=np.arange(1, 9) / 36)] for _ in range(2)])
    model = detector(loss="mixed", scoring="reconstruction", max_iter=2).fit(X)
    assert_allclose(model.explain(X).sum(1), model.score_samples(X), rtol=1e-10)


def test_no_mean_of_tokens_is_a_token():
    X = np.random.default_rng(0).integers(5, size=(60, 4)).astype(float)
    loss = CategoricalCrossEntropy(n_tokens=5)
    model = detector(loss=loss, scoring="reconstruction", max_iter=2).fit(X)
    assert_allclose(model.explain(X).sum(1), model.score_samples(X), rtol=1e-10)


def test_details_are_in_the_units_of_the_features():
    frame = load_wine(as_frame=True).data
    units = np.geomspace(1e-2, 1e2, frame.shape[1])
    train, new = frame[::2] * units, frame[1::2].iloc[:9].copy() * units
    new.iloc[4, 3] += 8 * train.iloc[:, 3].std()
    model = detector(n_folds=2).fit(train)
    found = model.explain(new, details=True)
    assert list(found) == ["row", "feature", "value", "expected", "deviation", "contribution"]
    assert list(found["row"].unique()) == list(new.index)
    values, expected, contribution = (
        found.pivot(index="row", columns="feature", values=name)[new.columns]
        for name in ("value", "expected", "contribution")
    )
    assert_allclose(values, new)
    rebuilt = [net.reconstruct(new.to_numpy()) for net in model.models_]
    assert_allclose(expected, np.mean(rebuilt, axis=0))
    assert_allclose(contribution, model.explain(new))
    for _, lines in found.groupby("row"):
        assert (np.diff(lines["contribution"]) >= 0).all()


def test_deviations_are_in_typical_ones_of_the_training_rows(wine):
    model = detector().fit(wine[::2])
    new = wine[1::2].copy()
    found = model.explain(new, details=True)["deviation"].abs()
    # Of new rows like the training rows, about half deviate by less than .67.
    assert 0.5 < found.median() < 1.2
    new[:, 5] += 6
    found = model.explain(new, details=True)
    shifted = found[found["feature"] == 5]["deviation"]
    assert shifted.median() > 4


def test_details_of_gaps_and_of_sparse_rows(wine):
    gappy = wine.copy()
    gappy[::7, 2] = np.nan
    model = detector(max_iter=5).fit(gappy)
    found = model.explain(gappy[:1], details=True).set_index("feature").loc[2]
    assert np.isnan(found["value"])
    assert np.isnan(found["deviation"])
    assert np.isfinite(found["expected"])
    assert abs(found["contribution"]) < 1e-300
    model = detector(max_iter=5).fit(wine)
    dense = model.explain(wine[:3], details=True)
    pd.testing.assert_frame_equal(model.explain(sparse.csr_array(wine[:3]), details=True), dense)
    with pytest.raises(ValueError, match="keep_shape=True and details=True exclude each other"):
        model.explain(wine, keep_shape=True, details=True)
