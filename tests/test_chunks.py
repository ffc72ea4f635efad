"""partial_fit over chunks: near to fit, by the mean of the weights over its steps."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import poch
from sklearn.datasets import load_digits
from sklearn.decomposition import IncrementalPCA
from skorch.callbacks import Callback

from skae import AutoencoderTransformer
from skae.metrics import explained_variance_scorer


class Weights(Callback):
    """The weights before and after each step, in float64."""

    starts, steps = [], []

    def on_batch_begin(self, net, **kwargs):
        self.starts.append(self.weights(net))

    def on_batch_end(self, net, **kwargs):
        self.steps.append(self.weights(net))

    @staticmethod
    def weights(net):
        return np.concatenate(
            [p.detach().double().numpy().ravel() for p in net.module_.parameters()]
        )


def weights_of(model):
    return np.concatenate([p.detach().numpy().ravel() for p in model.module_.parameters()])


def error(model, X):
    return ((X - model.reconstruct(X)) ** 2).sum()


def made():
    """Rows near a curved surface, and others to judge by."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1500, 2))
    X = np.sin(z @ rng.normal(size=(2, 12))) + 0.1 * rng.normal(size=(1500, 12))
    return X[:1000], X[1000:]


@pytest.mark.extended
@pytest.mark.parametrize(
    ("name", "n_components"), [("digits", 8), pytest.param("made", 2, marks=pytest.mark.slow)]
)
def test_chunks_reach_the_error_of_fit(name, n_components, images):
    train, test = images if name == "digits" else made()
    n_passes = 20 if name == "digits" else 40
    whole = AutoencoderTransformer(n_components, max_iter=n_passes, random_state=0).fit(train)
    chunked = AutoencoderTransformer(n_components, random_state=0)
    for _ in range(n_passes):
        for chunk in np.array_split(train, 4):
            chunked.partial_fit(chunk)
    assert error(chunked, test) <= 1.02 * error(whole, test)


def test_what_predicts_is_the_mean_of_the_weights(digits):
    Weights.steps = []
    model = AutoencoderTransformer(2, callbacks=[Weights()], batch_size=50, random_state=0)
    for _ in range(3):
        # The same rows again, whose PCA the linear paths need not follow.
        model.partial_fit(digits)
    steps = np.array(Weights.steps)
    # poch(t, 8) = t (t + 1) ... (t + 7)
    expected = np.average(steps, axis=0, weights=poch(np.arange(1, len(steps) + 1), 8))
    assert_allclose(weights_of(model), expected, atol=1e-6)
    assert np.abs(steps[-1] - expected).max() > 1e-3


def test_a_copy_keeps_the_mean_and_the_last_weights(digits):
    Weights.steps = []
    model = AutoencoderTransformer(2, callbacks=[Weights()], random_state=0).partial_fit(digits)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(weights_of(again), weights_of(model))
    last = Weights.steps[-1]
    Weights.starts = []
    again.partial_fit(digits)
    assert_array_equal(Weights.starts[0], last)


@pytest.fixture(scope="module")
def sorted_digits():
    X, y = load_digits(return_X_y=True)
    return np.array_split(X[np.argsort(y, kind="stable")], 10)


def incremental(kind, chunks, **params):
    model = kind(8, **params)
    for chunk in chunks:
        model.partial_fit(chunk)
    return model


def test_without_training_it_is_incremental_pca(sorted_digits):
    X = np.vstack(sorted_digits)
    pca = incremental(IncrementalPCA, sorted_digits)
    model = incremental(AutoencoderTransformer, sorted_digits, max_iter=0, random_state=0)
    assert_allclose(model.mean_, pca.mean_, atol=1e-9)
    assert_allclose(model.components_, pca.components_, atol=1e-8)
    assert_allclose(model.transform(X), pca.transform(X), atol=1e-8)
    assert_allclose(model.reconstruct(X), pca.inverse_transform(pca.transform(X)), atol=1e-8)


def test_without_training_a_fit_goes_on_as_incremental_pca(sorted_digits):
    # More features than rows of a chunk, in float32 and with weights.
    first, second = (chunk[:50].astype(np.float32) for chunk in sorted_digits[:2])
    weight = np.random.default_rng(0).integers(0, 3, size=50)
    pca = IncrementalPCA(8).fit(first).partial_fit(np.repeat(second, weight, axis=0))
    model = AutoencoderTransformer(8, max_iter=0, random_state=0).fit(first)
    model.partial_fit(second, sample_weight=weight)
    assert_allclose(model.mean_, pca.mean_, atol=1e-5)
    assert_allclose(abs(model.transform(second)), abs(pca.transform(second)), atol=1e-3)


def test_a_sorted_stream_is_no_worse_off_than_with_incremental_pca(sorted_digits):
    X = np.vstack(sorted_digits)
    pca = incremental(IncrementalPCA, sorted_digits)
    model = incremental(AutoencoderTransformer, sorted_digits, random_state=0)
    assert model.score(X) > explained_variance_scorer(pca, X) - 0.01
    # A stream in any order is better off.
    order = np.random.default_rng(0).permutation(len(X))
    chunks = np.array_split(X[order], 10)
    pca = incremental(IncrementalPCA, chunks)
    model = incremental(AutoencoderTransformer, chunks, random_state=0)
    assert model.score(X) > explained_variance_scorer(pca, X) + 0.02
    again = pickle.loads(pickle.dumps(model))
    for one in (model, again):
        one.partial_fit(sorted_digits[0])
    assert_array_equal(again.transform(X), model.transform(X))


@pytest.mark.parametrize("params", [{"max_iter": 0}, {}, {"penalty": "variational"}])
def test_chunks_of_one_row(params, iris):
    model = AutoencoderTransformer(2, random_state=0, **params)
    for row in iris[::3]:
        model.partial_fit(row[None])
    assert_allclose(model.mean_, iris[::3].mean(0))
    pca = IncrementalPCA(2).partial_fit(iris[:6:3])
    for row in iris[6::3]:
        pca.partial_fit(row[None])
    assert model.score(iris) > explained_variance_scorer(pca, iris) - 1e-6


def test_missing_entries_of_a_stream(iris):
    gaps = iris.copy()
    gaps[np.random.default_rng(0).random(iris.shape) < 0.1] = np.nan
    model = AutoencoderTransformer(2, max_iter=0, random_state=0)
    for chunk in np.array_split(gaps, 5):
        model.partial_fit(chunk)
    assert_allclose(model.mean_, np.nanmean(gaps, axis=0))


def test_after_fit_the_mean_begins_anew(digits):
    Weights.steps = []
    model = AutoencoderTransformer(2, callbacks=[Weights()], max_iter=2, random_state=0)
    model.partial_fit(digits).set_params(warm_start=True).fit(digits)
    Weights.steps = []
    model.set_params(batch_size=None).partial_fit(digits)
    assert_allclose(weights_of(model), Weights.steps[0])
