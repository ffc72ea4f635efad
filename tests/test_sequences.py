"""Sequences that differ in length, and sequences of tokens."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.metrics import log_loss
from sklearn.preprocessing import OneHotEncoder
from units import scale_of

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.architectures import Recurrent
from skae.losses import LOSSES, CategoricalCrossEntropy
from skae.metrics import explained_variance, reconstruction_error
from skae.penalties import PENALTIES, EncodedBatch, Variational

STEPS, WIDTH = 10, 2


@pytest.fixture(scope="module")
def waves():
    """Two sines a row, of some lengths: ends are NaN."""
    random = np.random.default_rng(0)
    time = np.arange(STEPS)
    rate, phase = random.uniform(0.3, 0.9, 200), random.uniform(0, np.pi, 200)
    X = np.stack([np.sin(np.outer(rate, time) + phase[:, None] * s) for s in (0, 1)], axis=2)
    lengths = random.integers(5, STEPS + 1, 200)
    X[np.arange(STEPS) >= lengths[:, None]] = np.nan
    return X


def fit(X, **params):
    params = {"n_components": 3, "max_iter": 5, "random_state": 0} | params
    return AutoencoderTransformer(**params).fit(X)


def recurrent(X, **params):
    return fit(X, architecture="recurrent", input_shape=(STEPS, WIDTH), **params)


def flat(X):
    return X.reshape(len(X), -1)


def test_padding_is_the_mean_to_the_start(waves):
    start = recurrent(waves, max_iter=0)
    X = flat(waves)
    centred = np.nan_to_num(X - np.nanmean(X, axis=0))
    assert_allclose(start.mean_, np.nanmean(X, axis=0), atol=1e-12)
    _, _, directions = np.linalg.svd(centred - centred.mean(0), full_matrices=False)
    assert_allclose(np.abs(start.transform(waves)), np.abs(centred @ directions[:3].T), atol=1e-9)


def test_padding_does_not_count(waves):
    model = recurrent(waves, corruption=None)
    start = recurrent(waves, max_iter=0, early_stopping=False)
    X = flat(waves)
    rebuilt = start.inverse_transform(start.transform(X))
    errors = [np.nanmean(row) for row in ((X - rebuilt) / scale_of(X)) ** 2]
    assert start.history_[0]["train_loss"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert_array_equal(np.isnan(model.reconstruct(waves)), np.isnan(X))
    assert np.isfinite(model.inverse_transform(model.transform(waves))).all()
    # the code of a row does not depend on the rows beside it, longer or shorter
    assert_allclose(model.transform(waves)[:1], model.transform(waves[:1]), atol=1e-12)


def test_sequences_are_learnt(waves):
    train, test = waves[:150], waves[150:]
    model = recurrent(train, max_iter=60, hidden_layer_sizes=(32,))
    start = recurrent(train, max_iter=0)
    assert model.best_iter_ > 0
    assert model.score(test) > start.score(test)
    X = flat(test)
    observed = ~np.isnan(X)
    rebuilt = model.inverse_transform(model.transform(X))
    error = reconstruction_error(X, model.reconstruct(test))
    assert error == pytest.approx(((X - rebuilt)[observed] ** 2).mean())
    assert model.score(test) == pytest.approx(explained_variance(X, rebuilt))


@pytest.mark.parametrize("penalty", [p for p in PENALTIES if p != "contractive"])
@pytest.mark.parametrize("corruption", ["gaussian", "masking", "salt_and_pepper"])
def test_variants_take_sequences_of_any_length(penalty, corruption, waves):
    model = recurrent(waves, penalty=penalty, corruption=corruption, max_iter=2)
    assert np.isfinite(model.transform(waves)).all()
    assert model.net_.module_.padded


def test_contractive_sequences(waves):
    assert np.isfinite(recurrent(waves, penalty="contractive", max_iter=2).transform(waves)).all()


@pytest.mark.parametrize("loss", ["huber", "poisson", "binary_cross_entropy"])
def test_other_losses_take_sequences_of_any_length(loss, waves):
    X = (waves + 1) / 2
    model = recurrent(X, loss=loss)
    assert np.isfinite(model.transform(X)).all()
    assert np.isfinite(model.inverse_transform(model.transform(X))).all()


def test_the_bound_leaves_padding_out(waves):
    model = recurrent(waves, penalty="variational")
    bound = model.score_samples(waves[:5], n_draws=1)
    row = torch.randn(1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    X = flat(waves[:5])
    scale = scale_of(flat(waves))
    x = torch.tensor((X - model.mean_) / scale)
    module = model.module_
    with torch.no_grad():
        outputs = module.outputs(x)
        batch = EncodedBatch(x, outputs[:, :3], outputs[:, 3:], module, 1.0, None, 1.0, False)
        deviation = (0.5 * Variational.log_variance(batch)).exp() * module.spread
        rebuilt = module.decode(batch.code + deviation * row).numpy() * scale + model.mean_
        divergence = Variational.divergence(batch).numpy()
    density = stats.norm(rebuilt, np.sqrt(model._fitted.model.noise) * scale).logpdf(X)
    assert_allclose(bound, np.nansum(density, axis=1) - divergence, rtol=1e-10)


def test_a_copy_of_a_sequence_model(waves):
    model = recurrent(waves)
    assert_array_equal(pickle.loads(pickle.dumps(model)).transform(waves), model.transform(waves))
    model.partial_fit(waves)


@pytest.mark.parametrize(
    "place", [(0, 0, 0), (3, 4, 1), (2, slice(0, 3), slice(None)), (5, slice(None), slice(None))]
)
def test_only_whole_steps_at_the_end_may_be_missing(place, waves):
    X = waves.copy()
    X[:, :5] = np.nan_to_num(X[:, :5])
    X[place] = np.nan
    with pytest.raises(ValueError, match="X contains NaN elsewhere than in whole steps at the end"):
        recurrent(X)


def test_some_take_no_padding(waves):
    detector = AutoencoderAnomalyDetector(architecture="recurrent", input_shape=(STEPS, WIDTH))
    with pytest.raises(ValueError, match="takes sequences of one length only"):
        detector.fit(waves)
    with pytest.raises(ValueError, match="X has missing steps"):
        recurrent(waves + 1, loss="multinomial")


# -- tokens --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokens():
    """Sentences of five words: three that say all, and two that follow from them."""
    random = np.random.default_rng(0)
    first = random.integers(8, size=(400, 3))
    return np.column_stack([first, first[:, 0] + 8, (first[:, 1] + first[:, 2]) % 4 + 16])


def test_tokens_start_as_pca_of_their_indicators(tokens):
    model = fit(tokens, loss="categorical_cross_entropy", max_iter=0)
    vocabulary = np.unique(tokens)
    encoder = OneHotEncoder(categories=[vocabulary] * 5, sparse_output=False)
    indicators = encoder.fit_transform(tokens)
    pca = PCA(3).fit(indicators)
    assert_allclose(np.abs(model.transform(tokens)), np.abs(pca.transform(indicators)), atol=1e-9)
    assert model.mean_.shape == (100,)
    assert model.components_.shape == (3, 100)
    expected = pca.inverse_transform(pca.transform(indicators)).reshape(-1, 5, 20).argmax(2)
    assert (model.reconstruct(tokens) == vocabulary[expected]).mean() > 0.99


def test_the_loss_of_tokens_is_that_of_scikit_learn(tokens):
    loss = CategoricalCrossEntropy().fit(tokens.astype(float))
    eta = np.random.default_rng(0).normal(size=(400, 100))
    target, _ = loss.preparation.transform(tokens.astype(float))
    found = loss.per_sample(torch.tensor(eta), torch.tensor(target)).mean().item()
    odds = np.exp(eta).reshape(400, 5, 20)
    odds /= odds.sum(2, keepdims=True)
    places = np.searchsorted(np.unique(tokens), tokens)
    expected = np.mean([log_loss(places[:, j], odds[:, j], labels=range(20)) for j in range(5)])
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    "architecture",
    [
        "dense",
        pytest.param("recurrent", marks=pytest.mark.extended),
        pytest.param(Recurrent(embedding_size=6), marks=pytest.mark.slow),
    ],
)
def test_sentences_make_the_round_trip(architecture, tokens):
    model = fit(
        tokens,
        n_components=12,
        architecture=architecture,
        loss="categorical_cross_entropy",
        max_iter=80,
    )
    start = fit(tokens, n_components=12, loss="categorical_cross_entropy", max_iter=0)
    right = (model.reconstruct(tokens) == tokens).mean()
    assert model.score(tokens) == pytest.approx(right)
    assert right > 0.95
    assert right > start.score(tokens)


def test_tokens_may_end_early(tokens):
    X = tokens.astype(float)
    X[::3, 3:] = np.nan
    model = fit(
        X, n_components=6, architecture="recurrent", loss=CategoricalCrossEntropy(20), max_iter=30
    )
    rebuilt = model.reconstruct(X)
    assert_array_equal(np.isnan(rebuilt), np.isnan(X))
    right = np.nanmean(np.where(np.isnan(X), np.nan, rebuilt == X), axis=1).mean()
    assert model.score(X) == pytest.approx(right)
    assert right > 0.6


def test_unknown_tokens(tokens):
    model = fit(tokens, loss="categorical_cross_entropy", max_iter=2)
    X = tokens.copy()
    X[0, 0] = 99
    assert np.isfinite(model.transform(X)).all()
    assert not (model.reconstruct(X) == 99).any()
    strict = fit(tokens, loss=CategoricalCrossEntropy(20), max_iter=2)
    for value in (99, -1, 0.5):
        X = tokens.astype(float)
        X[0, 0] = value
        with pytest.raises(ValueError, match=rf"the token {value:g}, but .* from 0 to 19"):
            strict.transform(X)


def test_the_bound_of_tokens(tokens):
    model = fit(tokens, loss="categorical_cross_entropy", penalty="variational")
    bound = model.score_samples(tokens)
    assert bound.max() < 0
    assert bound.mean() > -5 * np.log(20)


def test_tokens_are_a_loss_like_the_others():
    assert LOSSES["categorical_cross_entropy"] is CategoricalCrossEntropy
