"""Corruptions by their statistics: of the input, in training, and of nothing else."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.corruptions import (
    CORRUPTIONS,
    Corruption,
    Gaussian,
    Masking,
    ResidualNoise,
    SaltAndPepper,
)


def fitted(corruption, X):
    """Return the corruption as an estimator would have it, and the rows inside the net."""
    mean, scale = X.mean(0), np.sqrt(X.var(0).mean())
    x = (X - mean) / scale
    corruption.fit(x.shape[1], lambda: (x.min(0), x.max(0)), lambda rows: (rows - mean) / scale)
    return corruption, torch.tensor(x), mean, scale


def corrupt(corruption, x, error=0.5, seed=0):
    return corruption.corrupt(x, error, torch.Generator().manual_seed(seed)).numpy()


@pytest.mark.parametrize(
    ("corruption", "deviation"), [(Gaussian(level=0.3), 0.3), (ResidualNoise(level=0.6), 0.3)]
)
def test_noise_is_normal(corruption, deviation, digits):
    corruption, x, _, _ = fitted(corruption, digits)
    noise = corrupt(corruption, x) - x.numpy()
    assert stats.kstest(noise.ravel()[:5000], stats.norm(scale=deviation).cdf).pvalue > 1e-3


@pytest.mark.parametrize("fill", ["mean", 0.0, 0.5])
def test_masking_masks_the_fraction_that_is_asked_for(fill, digits):
    X = digits + 0.01 * np.random.default_rng(0).normal(size=digits.shape)
    corruption, x, mean, scale = fitted(Masking(0.3, fill=fill), X)
    found = mean + scale * corrupt(corruption, x)
    masked = ~np.isclose(found, X, atol=1e-12)
    assert stats.binomtest(int(masked.sum()), masked.size, 0.3).pvalue > 1e-3
    expected = np.broadcast_to(mean if fill == "mean" else fill, X.shape)
    assert_allclose(found[masked], expected[masked], atol=1e-12)


def test_salt_and_pepper_are_the_ends_of_each_feature(digits):
    X = digits + 0.01 * np.random.default_rng(0).normal(size=digits.shape)
    corruption, x, mean, scale = fitted(SaltAndPepper(0.2), X)
    found = mean + scale * corrupt(corruption, x)
    changed = ~np.isclose(found, X, atol=1e-12)
    assert changed.mean() == pytest.approx(0.2, abs=0.01)
    low, high = (np.broadcast_to(end, X.shape)[changed] for end in (X.min(0), X.max(0)))
    at_low = np.isclose(found[changed], low, atol=1e-12)
    assert (at_low | np.isclose(found[changed], high, atol=1e-12)).all()
    assert stats.binomtest(int(at_low.sum()), len(at_low), 0.5).pvalue > 1e-3


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_only_training_is_corrupted(name, digits):
    model = AutoencoderTransformer(3, corruption=name, max_iter=3, random_state=0).fit(digits)
    assert_array_equal(model.transform(digits), model.transform(digits))
    start = AutoencoderTransformer(3, corruption=name, max_iter=0, random_state=0).fit(digits)
    plain = AutoencoderTransformer(3, corruption=None, max_iter=0, random_state=0).fit(digits)
    assert_array_equal(start.transform(digits), plain.transform(digits))


def test_the_target_is_clean(digits):
    class Lose(Corruption):
        """The encoder sees nothing at all."""

        def corrupt(self, x, error, generator):
            return torch.zeros_like(x)

    # The best that a net can say of nothing is the mean: the loss of the mean is 1, by the scale.
    model = AutoencoderTransformer(
        2, corruption=Lose(), max_iter=40, early_stopping=False, random_state=0
    ).fit(digits)
    assert model.history_[-1]["train_loss"] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("factor", [1024.0, 1000.0])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_units_do_not_matter(name, factor, digits):
    one, other = (
        AutoencoderTransformer(3, corruption=name, max_iter=3, random_state=0).fit(X)
        for X in (digits, factor * digits)
    )
    expected = factor * one.transform(digits)
    rtol = 1e-10 if factor == 1024.0 else 1e-2
    atol = rtol * np.abs(expected).max()
    assert_allclose(other.transform(factor * digits), expected, atol=atol)


@pytest.mark.parametrize(
    ("corruption", "spoil"),
    [
        (Gaussian(1.0), lambda X, random: X + 0.3 * random.normal(size=X.shape)),
        pytest.param(
            Masking(0.3, fill=0.0),
            lambda X, random: np.where(random.random(X.shape) < 0.3, 0, X),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            SaltAndPepper(0.2),
            lambda X, random: np.where(random.random(X.shape) < 0.1, 1, X),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["gaussian", "masking", "salt_and_pepper"],
)
def test_a_net_that_saw_noise_removes_it_better(corruption, spoil):
    train, test = train_test_split(load_digits().data / 16, random_state=0)
    seen = spoil(test, np.random.default_rng(0))
    errors = {}
    for name, choice in (("clean", None), ("corrupted", corruption)):
        model = AutoencoderTransformer(16, corruption=choice, max_iter=20, random_state=0)
        errors[name] = ((test - model.fit(train).reconstruct(seen)) ** 2).mean()
    assert errors["corrupted"] < 0.85 * errors["clean"]


@pytest.mark.parametrize(
    ("corruption", "spoil"),
    [
        (Gaussian(0.4), lambda X, random: X + 0.4 * random.normal(size=X.shape)),
        pytest.param(
            SaltAndPepper(0.2),
            lambda X, random: np.where(random.random(X.shape) < 0.1, 1, X),
            marks=pytest.mark.extended,
        ),
    ],
    ids=["stronger", "where there was none"],
)
def test_noise_that_is_unlike_that_of_training_is_removed(corruption, spoil):
    # At the border of all training images nothing is white, so that no noise of theirs is.
    train, test = train_test_split(load_digits().data / 16, random_state=0)
    seen = spoil(test, np.random.default_rng(0))
    model = AutoencoderTransformer(16, corruption=corruption, max_iter=30, random_state=0)
    model.fit(train)
    assert model.best_iter_ > 0
    pca = PCA(16).fit(train)
    others = [pca.inverse_transform(pca.transform(seen))]
    error, of_pca = (((test - each) ** 2).mean() for each in (model.reconstruct(seen), *others))
    assert error < 0.75 * of_pca
    # What is no noise is PCA's, as without a corruption.
    far = train.mean(0) + 1e4 * (seen - train.mean(0))
    expected = pca.inverse_transform(pca.transform(far))
    ratio = ((far - model.reconstruct(far)) ** 2).sum() / ((far - expected) ** 2).sum()
    assert ratio == pytest.approx(1, abs=1e-3)


def test_denoising_is_judged_on_corrupted_rows(digits):
    model = AutoencoderTransformer(3, corruption=Gaussian(2.0), max_iter=2, random_state=0)
    plain = AutoencoderTransformer(3, corruption=None, max_iter=2, random_state=0)
    start, clean = (m.fit(digits).history_[0]["valid_loss"] for m in (model, plain))
    assert start > 1.2 * clean


def test_features_of_a_group_are_masked_together():
    groups = [[0, 3], [1], [2, 4]]
    masking = Masking(0.3, groups=groups)
    masking.fit(5, None, None)
    x = torch.ones(20000, 5)
    seen = masking.corrupt(x, 0.0, torch.Generator().manual_seed(0)).numpy()
    masked = np.column_stack([seen[:, group[0]] == 0 for group in groups])
    for group, own in zip(groups, masked.T, strict=True):
        assert_array_equal(seen[:, group] == 0, own[:, None].repeat(len(group), 1))
    assert_allclose(masked.mean(0), 0.3, atol=0.02)
    assert_allclose(np.corrcoef(masked.T), np.eye(3), atol=0.03)


@pytest.mark.parametrize(
    "groups", [[[0, 1], [3]], [[0, 1], [1, 2, 3]], [[0, 1, 2, 3, 4]]], ids=["few", "twice", "many"]
)
def test_groups_hold_each_feature_once(groups, iris):
    model = AutoencoderTransformer(2, corruption=Masking(groups=groups), max_iter=1)
    with pytest.raises(ValueError, match="'groups' parameter of Masking must hold each of the 4"):
        model.fit(iris)
