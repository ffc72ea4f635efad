"""Denoising from given pairs: fit(X, target=clean)."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skae import AutoencoderTransformer


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    clean = rng.permutation(load_digits().data / 16)[:1000]
    return clean + rng.normal(scale=0.3, size=clean.shape), clean


def small(n_components=16, **params):
    params = {"hidden_layer_sizes": (64,), "max_iter": 6, "random_state": 0} | params
    return AutoencoderTransformer(n_components, **params)


@pytest.mark.parametrize("scale", [0.3, 0.5])
def test_pairs_denoise_better_than_pca_of_any_width(scale, pairs):
    noisy, clean = pairs
    model = small(max_iter=20).fit(noisy[:700], target=clean[:700])
    new = clean[700:] + np.random.default_rng(1).normal(scale=scale, size=clean[700:].shape)
    error = ((model.reconstruct(new) - clean[700:]) ** 2).mean()
    for k in range(4, 33, 4):
        pca = PCA(k).fit(noisy[:700])
        rebuilt = pca.inverse_transform(pca.transform(new))
        assert error < 0.85 * ((rebuilt - clean[700:]) ** 2).mean()


def test_the_start_is_pca_of_what_is_seen(pairs):
    noisy, clean = pairs
    model = small(max_iter=0, init="pca").fit(noisy, target=clean)
    pca = PCA(16, svd_solver="full").fit(noisy)
    assert_allclose(model.reconstruct(noisy), pca.inverse_transform(pca.transform(noisy)), atol=0.1)
    held_out = model.history_[0]["valid_loss"] * noisy.var(axis=0).mean()
    assert held_out == pytest.approx(((model.reconstruct(noisy) - clean) ** 2).mean(), rel=0.1)


def test_a_target_that_is_x_is_no_target(pairs):
    X = pairs[0][:200]
    same, plain = small(max_iter=2).fit(X, target=X), small(max_iter=2).fit(X)
    assert_array_equal(same.transform(X), plain.transform(X))


def test_pairs_are_merged_where_both_are_equal(pairs):
    noisy, clean = (rows[:120] for rows in pairs)
    weight = np.random.default_rng(0).integers(0, 3, size=120)
    one = small(max_iter=2).fit(noisy, sample_weight=weight, target=clean)
    twice = np.repeat(noisy, weight, axis=0), np.repeat(clean, weight, axis=0)
    other = small(max_iter=2).fit(twice[0], target=twice[1])
    assert_array_equal(one.transform(noisy), other.transform(noisy))
    # One row seen with two targets is to become their mean.
    X, target = np.zeros((200, 2)), np.repeat([[0.0, 0.0], [2.0, 4.0]], 100, axis=0)
    X[:, 0] = np.tile(np.linspace(-1, 1, 100), 2)
    model = small(1, max_iter=60, early_stopping=False).fit(X, target=target)
    assert_allclose(model.reconstruct(X), np.tile([1.0, 2.0], (200, 1)), atol=0.3)


def test_pairs_in_other_forms(pairs):
    noisy, clean = (np.where(rows[:150] > 0.5, rows[:150], 0) for rows in pairs)
    expected = small(max_iter=2).fit(noisy, target=clean).transform(noisy)
    model = small(max_iter=2).fit(sparse.csr_matrix(noisy), target=sparse.csr_matrix(clean))
    assert_allclose(model.transform(noisy), expected, atol=1e-5)
    gaps = np.where(np.random.default_rng(0).random(noisy.shape) < 0.1, np.nan, noisy)
    assert np.isfinite(small(max_iter=1).fit(gaps, target=clean).reconstruct(gaps)).all()
    model = small(max_iter=1, loss="huber", penalty="sparse", corruption="masking")
    assert np.isfinite(model.fit(noisy, target=clean).reconstruct(noisy)).all()
    image = small(max_iter=1, architecture="convolutional", input_shape=(8, 8), loss="poisson")
    shape = (150, 8, 8)
    image.fit(noisy.reshape(shape), target=clean.reshape(shape))
    assert np.isfinite(image.set_params(warm_start=True).fit(noisy, target=clean).loss_)


def test_the_target_is_routed(pairs):
    noisy, clean = (rows[:150] for rows in pairs)
    with sklearn.config_context(enable_metadata_routing=True):
        model = small(max_iter=2).set_fit_request(target=True)
        pipeline = make_pipeline(FunctionTransformer(), model).fit(noisy, target=clean)
        assert_array_equal(
            pipeline.transform(noisy),
            small(max_iter=2).fit(noisy, target=clean).transform(noisy),
        )
        search = GridSearchCV(model, {"n_components": [1, 2]}, cv=2).fit(noisy, target=clean)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("params", "change", "message"),
    [
        (
            {},
            lambda target: target[:-1],
            r"target must have the shape of X, \(50, 64\).*\(49, 64\)",
        ),
        ({}, lambda target: target[:, 1:], r"shape \(50, 63\)"),
        ({}, lambda target: np.where(target > 0.9, np.nan, target), "NaN where X does not"),
        ({"loss": "multinomial"}, abs, "loss=Multinomial.*prepares them"),
        ({"loss": "poisson"}, lambda target: target - 9, "needs counts"),
    ],
)
def test_other_targets_are_refused(params, change, message, pairs):
    noisy, clean = (rows[:50] for rows in pairs)
    model = small(2, max_iter=1, **params)
    with pytest.raises(ValueError, match=message):
        model.fit(abs(noisy), target=change(clean))
    assert not hasattr(model, "components_")
