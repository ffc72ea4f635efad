"""Samples and paths between rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier

from skae import AutoencoderTransformer
from skae.losses import LOSSES
from skae.penalties import PENALTIES


def fit(X, **params):
    return AutoencoderTransformer(**({"n_components": 8, "random_state": 0} | params)).fit(X)


@pytest.fixture(scope="module")
def images():
    return load_digits().data / 16


@pytest.mark.parametrize("penalty", [*PENALTIES, None])
def test_every_model_has_samples(penalty, digits):
    model = fit(digits, penalty=penalty, max_iter=3)
    X = model.sample(7, random_state=1)
    assert X.shape == (7, 64)
    assert np.isfinite(X).all()
    assert_array_equal(model.sample(7, random_state=1), X)
    assert not np.array_equal(model.sample(7, random_state=2), X)


@pytest.mark.parametrize("loss", LOSSES)
def test_samples_are_in_the_domain_of_the_loss(loss, digits):
    counts = np.rint(16 * digits)
    X = digits if loss == "binary_cross_entropy" else counts
    samples = fit(X, loss=loss, max_iter=3).sample(50, random_state=0)
    # of these columns, "mixed" takes some for numbers of any sign
    if not LOSSES[loss].identity and loss != "mixed":
        assert samples.min() >= 0
    if loss == "binary_cross_entropy":
        assert samples.max() <= 1
    if loss == "categorical_cross_entropy":
        assert set(np.unique(samples)) <= set(np.unique(counts))


@pytest.mark.extended
@pytest.mark.parametrize("penalty", [None, pytest.param("variational", marks=pytest.mark.slow)])
def test_samples_look_like_the_rows(penalty, images):
    model = fit(images, penalty=penalty, max_iter=30)
    samples = model.sample(500, random_state=0)
    judge = KNeighborsClassifier().fit(images, load_digits().target)
    near = judge.kneighbors(samples, 1)[0].mean()
    noise = np.random.default_rng(0).permuted(images, axis=0)[:500]
    # Rows of which each pixel comes from another image are further off than the samples.
    assert near < 0.75 * judge.kneighbors(noise, 1)[0].mean()
    assert len(np.unique(judge.predict(samples))) == 10
    assert_allclose(samples.mean(0), images.mean(0), atol=0.15)


def test_samples_of_a_prior_have_its_spread(digits):
    model = fit(digits, penalty="variational", max_iter=0)
    pca_scores = model.transform(digits)
    codes = model.transform(model.sample(4000, random_state=0))
    # At the start the decoder is linear and the prior has the variances of PCA's scores.
    assert_allclose(codes.std(0), pca_scores.std(0), rtol=0.05)


def test_a_path_begins_and_ends_with_reconstructions(digits):
    model = fit(digits, max_iter=5)
    path = model.interpolate(digits[0], digits[1], n_steps=5)
    assert path.shape == (5, 64)
    assert_allclose(path[[0, -1]], model.reconstruct(digits[:2]), atol=1e-12)
    codes = model.transform(digits[:2])
    middle = model.inverse_transform(codes.mean(0, keepdims=True))
    assert_allclose(path[2], middle[0], atol=1e-12)


def test_paths_of_many_and_of_images(digits):
    model = fit(digits, input_shape=(8, 8), max_iter=2)
    many = model.interpolate(digits[:3], digits[3:6], n_steps=4)
    assert many.shape == (3, 4, 64)
    squares = digits.reshape(-1, 8, 8)
    assert_allclose(model.interpolate(squares[:3], squares[3:6], n_steps=4), many)
    assert_allclose(model.interpolate(squares[0], squares[3], n_steps=4), many[0])
    single = model.interpolate(digits[0].astype(np.float32), digits[1].astype(np.float32))
    assert single.dtype == np.float32


def test_tiny_data_can_be_sampled():
    X = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert fit(X, n_components=1, max_iter=0).sample(4, random_state=0).shape == (4, 2)
    assert fit(np.ones((3, 2)), n_components=1).sample(2, random_state=0).shape == (2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, X: m.sample(0), "'n_samples' parameter must be an int >= 1, got 0"),
        (lambda m, X: m.interpolate(X[0], X[1], 1), "'n_steps' parameter must be an int >= 2"),
        (lambda m, X: m.interpolate(X[0], X[:2]), r"a and b must have one shape, got \(64,\)"),
        (lambda m, X: m.score_samples(X, 0), "'n_draws' parameter must be an int >= 1, got 0"),
    ],
)
def test_bad_calls(call, message, digits):
    model = fit(digits, penalty="variational", max_iter=0)
    with pytest.raises(ValueError, match=message):
        call(model, digits)


@pytest.mark.parametrize("call", [lambda m: m.sample(), lambda m: m.interpolate([1.0], [2.0])])
def test_not_before_fit(call):
    with pytest.raises(NotFittedError):
        call(AutoencoderTransformer())
