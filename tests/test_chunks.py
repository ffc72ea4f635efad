"""partial_fit over chunks: near to fit, by the mean of the weights over its steps."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import poch
from skorch.callbacks import Callback

from skae import AutoencoderTransformer


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


@pytest.mark.parametrize(("name", "n_components"), [("digits", 8), ("made", 2)])
def test_chunks_reach_the_error_of_fit(name, n_components, images):
    train, test = images if name == "digits" else made()
    n_passes = 20
    whole = AutoencoderTransformer(n_components, max_iter=n_passes, random_state=0).fit(train)
    chunked = AutoencoderTransformer(n_components, random_state=0)
    for _ in range(n_passes):
        for chunk in np.array_split(train, 4):
            chunked.partial_fit(chunk)
    assert error(chunked, test) <= 1.02 * error(whole, test)


def test_what_predicts_is_the_mean_of_the_weights(digits):
    Weights.steps = []
    model = AutoencoderTransformer(2, callbacks=[Weights()], batch_size=50, random_state=0)
    for chunk in np.array_split(digits, 3):
        model.partial_fit(chunk)
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


def test_after_fit_the_mean_begins_anew(digits):
    Weights.steps = []
    model = AutoencoderTransformer(2, callbacks=[Weights()], max_iter=2, random_state=0)
    model.partial_fit(digits).set_params(warm_start=True).fit(digits)
    Weights.steps = []
    model.set_params(batch_size=None).partial_fit(digits)
    assert_allclose(weights_of(model), Weights.steps[0])
