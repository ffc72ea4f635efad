"""The three promises: the start is PCA, unseen rows are not worse, units do not matter."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import xlogy
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.never_worse import make_case
from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae._model.autoencoder import Autoencoder
from skae.losses import LOSSES

IDENTITY = [name for name, loss in LOSSES.items() if loss.identity]


def start(n_components, **params):
    return AutoencoderTransformer(n_components, max_iter=0, random_state=0, **params)


def assert_is_pca(model, pca, X, rtol=1e-7):
    codes, scores = model.transform(X), pca.transform(X)
    signs = np.sign((codes * scores).sum(0))
    size = np.abs(scores).max()
    assert_allclose(codes * signs, scores, atol=rtol * size)
    assert_allclose(model.components_ * signs[:, None], pca.components_, atol=10 * rtol)
    expected = pca.inverse_transform(scores)
    assert_allclose(model.inverse_transform(codes), expected, atol=rtol * np.abs(X).max())
    assert_allclose(model.reconstruct(X), expected, atol=rtol * np.abs(X).max())
    assert_allclose(model.mean_, pca.mean_, atol=rtol * np.abs(X).max())


@pytest.mark.parametrize("loss", IDENTITY)
@pytest.mark.parametrize("n_components", [1, 2, 4, 0.95, None])
def test_start_is_pca_on_iris(n_components, loss, iris):
    model = start(n_components, loss=loss).fit(iris)
    pca = PCA(n_components).fit(iris)
    assert model.n_components_ == pca.n_components_
    assert_is_pca(model, pca, iris)
    assert model.n_iter_ == model.best_iter_ == 0
    assert [row["epoch"] for row in model.history_] == [0]


@pytest.mark.parametrize("load", [load_digits, load_wine, load_breast_cancer])
@pytest.mark.parametrize("n_components", [1, 5, 0.9])
def test_start_is_pca_on_other_sets(load, n_components):
    X = load().data
    assert_is_pca(start(n_components).fit(X), PCA(n_components).fit(X), X)


@pytest.mark.parametrize("shape", [(20, 3), (10, 30), (30, 1), (3, 2), (2, 5)])
@pytest.mark.parametrize("n_components", [1, None])
def test_start_is_pca_on_small_data(shape, n_components):
    X = np.random.default_rng(0).normal(size=shape) @ np.diag(1.0 + np.arange(shape[1]))
    model = start(n_components).fit(X)
    pca = PCA(n_components).fit(X)
    # the last of min(n, d) components has no variance where n <= d, and so no direction
    k = 1 if shape[0] <= shape[1] else pca.n_components_
    assert_allclose(np.abs(model.transform(X)[:, :k]), np.abs(pca.transform(X)[:, :k]), atol=1e-10)
    assert_allclose(model.reconstruct(X), pca.inverse_transform(pca.transform(X)), atol=1e-10)


def test_start_is_pca_in_float32(digits):
    X = digits.astype(np.float32)
    model = start(4).fit(X)
    assert model.transform(X).dtype == np.float32
    assert_is_pca(model, PCA(4).fit(X), X, rtol=1e-5)


def test_wide_codes_reconstruct_all(iris):
    model = start(7).fit(iris)
    assert model.transform(iris).shape == (150, 7)
    assert_allclose(model.reconstruct(iris), iris, atol=1e-10)
    assert_allclose(np.abs(model.transform(iris)[:, :4]), np.abs(PCA().fit_transform(iris)))
    assert (model.transform(iris)[:, 4:].std(0) > 0).all()


@pytest.mark.parametrize(
    ("loss", "low", "high"),
    [("binary_cross_entropy", 1e-3, 1 - 1e-3), ("poisson", 0.01, np.inf)],
)
def test_links_start_as_pca_moved_into_the_domain(loss, low, high, digits):
    model = start(3, loss=loss).fit(digits)
    pca = PCA(3).fit(digits)
    assert_allclose(np.abs(model.transform(digits)), np.abs(pca.transform(digits)), atol=1e-10)
    expected = pca.inverse_transform(pca.transform(digits))
    floor = low * digits.mean(0) if loss == "poisson" else low
    assert_allclose(model.reconstruct(digits), np.clip(expected, floor, high), atol=1e-10)


def test_multinomial_starts_as_pca_of_the_proportions(digits):
    shares = digits / digits.sum(1, keepdims=True)
    model = start(3, loss="multinomial").fit(digits)
    pca = PCA(3)
    assert_allclose(model.components_.shape, (3, 64))
    # the rows count by their totals, as a multinomial likelihood's do
    counts = np.rint(digits * 16).astype(int)
    repeated = np.repeat(shares, counts.sum(1), axis=0)
    pca.fit(repeated)
    assert_allclose(np.abs(model.transform(digits)), np.abs(pca.transform(shares)), atol=1e-10)
    assert_allclose(model.inverse_transform(model.transform(digits)).sum(1), 1)
    assert_allclose(model.reconstruct(digits).sum(1), digits.sum(1))


@pytest.mark.parametrize(
    ("load", "n_components"),
    [
        (load_iris, 1),
        (load_wine, 2),
        pytest.param(load_iris, 2, marks=pytest.mark.slow),
        pytest.param(load_wine, 6, marks=pytest.mark.slow),
        pytest.param(load_digits, 8, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_default_is_not_worse_than_pca_on_unseen_rows(load, n_components, seed):
    train, test = train_test_split(load().data, random_state=seed)
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    pca = PCA(n_components).fit(train)
    limit = ((test - pca.inverse_transform(pca.transform(test))) ** 2).mean()
    model = AutoencoderTransformer(n_components, random_state=seed).fit(train)
    assert ((test - model.reconstruct(test)) ** 2).mean() <= 1.01 * limit


def test_training_beats_pca_clearly_on_unseen_images():
    train, test = train_test_split(load_digits().data, random_state=0)
    pca = PCA(8).fit(train)
    limit = ((test - pca.inverse_transform(pca.transform(test))) ** 2).mean()
    model = AutoencoderTransformer(8, max_iter=30, random_state=0).fit(train)
    assert ((test - model.reconstruct(test)) ** 2).mean() < 0.75 * limit


@pytest.mark.parametrize("loss", IDENTITY)
@pytest.mark.parametrize("factor", [1024.0, 1000.0, 1e-6])
def test_units_do_not_matter(loss, factor, iris):
    one, other = (
        AutoencoderTransformer(2, loss=loss, max_iter=5, random_state=0).fit(X)
        for X in (iris, factor * iris)
    )
    # a power of two is exact, any other factor moves the training by rounding
    rtol = 1e-12 if factor == 1024.0 else 1e-3
    expected = one.transform(iris) * factor
    assert_allclose(other.transform(factor * iris), expected, atol=rtol * np.abs(expected).max())
    assert_allclose(other.reconstruct(factor * iris), one.reconstruct(iris) * factor, rtol=rtol)
    assert_allclose(other.components_, one.components_, atol=10 * rtol)


def test_noise_keeps_the_start():
    X = np.random.default_rng(0).normal(size=(60, 30))
    model = AutoencoderTransformer(10, random_state=0).fit(X)
    assert model.best_iter_ == 0
    assert_array_equal(model.transform(X), start(10).fit(X).transform(X))


def test_components_are_the_mean_slope_of_the_decoder(digits):
    X = digits[:200]
    model = AutoencoderTransformer(3, max_iter=30, early_stopping=False, random_state=0).fit(X)
    assert model.best_iter_ > 0
    Z, step = model.transform(X), 1e-5
    for j, direction in enumerate(np.eye(3)):
        ahead = model.inverse_transform(Z + step * direction)
        behind = model.inverse_transform(Z - step * direction)
        slope = (ahead - behind).mean(0) / (2 * step)
        assert_allclose(model.components_[j], slope, atol=1e-7)


def test_components_of_a_link_are_in_units_of_x(digits):
    model = AutoencoderTransformer(2, loss="binary_cross_entropy", max_iter=5, random_state=0)
    X = digits[:200]
    Z, step = model.fit(X).transform(X), 1e-5
    ahead, behind = (model.inverse_transform(Z + s * np.eye(2)[0]) for s in (step, -step))
    assert_allclose(model.components_[0], (ahead - behind).mean(0) / (2 * step), atol=1e-6)


def test_means_far_from_zero_are_kept(iris):
    one, other = (
        AutoencoderTransformer(1, max_iter=5, early_stopping=False, random_state=0).fit(X)
        for X in (iris, iris + 1e7)
    )
    assert_allclose(other.reconstruct(iris + 1e7) - 1e7, one.reconstruct(iris), atol=1e-3)


def test_components_are_computed_when_they_are_asked_for(digits, monkeypatch):
    calls = []
    derivative = Autoencoder._mean_derivative

    def counted(self):
        calls.append(self)
        return derivative(self)

    monkeypatch.setattr(Autoencoder, "_mean_derivative", counted)
    model = AutoencoderTransformer(4, max_iter=20, random_state=0).fit(digits)
    assert not calls
    first, again = model.components_, model.components_
    assert len(calls) == 1
    assert first is again
    # The start is PCA: its loadings are those of the linear path.
    start = AutoencoderTransformer(4, max_iter=0).fit(digits)
    assert_allclose(np.abs(start.components_), np.abs(PCA(4).fit(digits).components_), atol=1e-8)
    AutoencoderAnomalyDetector(max_iter=2, random_state=0).fit(digits)
    assert len(calls) == 1


def test_components_are_the_derivative_of_the_reconstruction(iris):
    X = np.unique(iris, axis=0)  # equal rows count once
    model = AutoencoderTransformer(2, max_iter=30, early_stopping=False, random_state=0).fit(X)
    codes, step = model.transform(X), 1e-4
    assert model.best_iter_ > 0
    for component, direction in zip(model.components_, np.eye(2), strict=True):
        ahead, behind = (model.inverse_transform(codes + s * direction) for s in (step, -step))
        assert_allclose(component, ((ahead - behind) / (2 * step)).mean(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_far_from_the_training_rows_it_is_pca(digits, dtype):
    X, random = digits[:400].astype(dtype), np.random.default_rng(0)
    model = AutoencoderTransformer(4, max_iter=20, random_state=0).fit(X)
    pca = PCA(4).fit(X)
    assert model.best_iter_ > 0
    near, ratios = model.transform(X[:5]), []
    for distance in (10, 100, 1e4):
        far = X.mean(0) + distance * X.std() * random.normal(size=(50, 64)).astype(dtype)
        expected = np.square(far - pca.inverse_transform(pca.transform(far))).sum()
        ratios.append(np.square(far - model.reconstruct(far)).sum() / expected)
        assert_allclose(model.transform(np.vstack([X[:5], far]))[:5], near, atol=1e-5)
    assert max(ratios) < 1.1
    assert abs(ratios[2] - 1) < 1e-5
    # It predicts the rows that it was trained on as the net alone does. Of the tenth that was held
    # out, it may not, where it then is better.
    found = model.reconstruct(X)
    model.module_.fallback = None
    alone = model.reconstruct(X)
    other = np.abs(found - alone).max(1) > 1e-5
    assert other.sum() <= 4
    assert (squared_errors(X, found) < squared_errors(X, alone))[other].all()


def test_rows_held_out_judge_the_net_with_its_fallback():
    # Alone the net loses so much on a few held-out wines that its gain could be chance.
    train, test = train_test_split(load_wine().data, test_size=0.25, random_state=0)
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    model, pca = AutoencoderTransformer(3, random_state=0).fit(train), PCA(3).fit(train)
    assert model.best_iter_ > 0
    of_pca = squared_errors(test, pca.inverse_transform(pca.transform(test))).mean()
    assert squared_errors(test, model.reconstruct(test)).mean() < 0.9 * of_pca


def test_codes_that_are_pcas_do_not_enter_the_variances(digits):
    # One held-out row is PCA's, and its code lies far away from all others.
    X = digits[:400]
    model = AutoencoderTransformer(4, max_iter=20, random_state=0).fit(X)
    codes = model.transform(X)
    last = np.abs(codes[:, -1])
    away = last > 2 * np.sort(last)[-2]
    assert away.sum() == 1
    assert codes[:, -1].var() > 1.1 * codes[~away, -1].var()
    assert_allclose(model.explained_variance_[-1], codes[~away, -1].var(ddof=1), rtol=0.02)


def squared_errors(X, reconstructed):
    return np.square(X - reconstructed).sum(1)


def poisson_deviances(X, reconstructed):
    return 2 * (xlogy(X, X / reconstructed) - X + reconstructed).sum(1)


@pytest.mark.parametrize(
    ("loss", "errors", "dtype"),
    [
        ("squared_error", squared_errors, np.float32),
        pytest.param("poisson", poisson_deviances, np.float64, marks=pytest.mark.extended),
    ],
)
def test_a_row_that_loses_on_pca_is_reconstructed_as_by_pca(loss, errors, dtype):
    random = np.random.default_rng(0)
    angles = random.uniform(0, 2 * np.pi, size=(400, 1)) + np.arange(8)
    X = random.poisson(np.exp(2 + np.sin(angles))).astype(dtype)
    train, odd = X[:300], X[300:]
    odd[np.arange(100), random.integers(8, size=100)] += 20
    model = AutoencoderTransformer(2, loss=loss, random_state=0).fit(train)
    start = AutoencoderTransformer(2, loss=loss, max_iter=0).fit(train)
    net = copy.deepcopy(model)
    net.module_.fallback = None
    assert model.best_iter_ > 0
    codes, codes_of_net = model.transform(odd), net.transform(odd)
    changed = np.abs(codes - codes_of_net).max(1) > 1e-3
    assert 0 < changed.sum() < 100
    of_pca, of_net = (errors(odd, m.reconstruct(odd)) for m in (start, net))
    assert (of_net > of_pca)[changed].all()
    rebuilt = model.reconstruct(odd)
    assert_allclose(rebuilt[changed], start.reconstruct(odd)[changed], rtol=1e-4, atol=1e-4)
    assert_allclose(rebuilt[~changed], net.reconstruct(odd)[~changed], rtol=1e-4, atol=1e-4)
    # a code is enough to tell whose it is
    assert_allclose(model.inverse_transform(codes), rebuilt, rtol=1e-4, atol=1e-4)
    assert_allclose(codes[changed, 0], start.transform(odd)[changed, 0], rtol=1e-4, atol=1e-4)
    # of the training rows, only a few that were held out are PCA's
    known = model.transform(train)
    same = np.isclose(known, net.transform(train), atol=1e-6).all(1)
    assert same.sum() >= len(train) - 5
    assert np.abs(codes[changed, -1]).min() > np.abs(known[same, -1]).max()
    # a row beyond all training rows in a feature loses nothing, or next to nothing
    beyond = (odd > train.max(0) * 1.1).any(1)
    assert beyond.sum() > 10
    assert (errors(odd, rebuilt)[beyond] <= 1.06 * of_pca[beyond]).all()


@pytest.mark.parametrize(
    ("table", "seed"),
    [pytest.param("counts", 205, marks=pytest.mark.extended), ("outliers", 216)],
)
def test_an_extreme_row_is_no_worse_off_than_with_pca(table, seed):
    train, test, n_components, _ = make_case(table, seed)
    model = AutoencoderTransformer(n_components, random_state=seed).fit(train)
    pca = PCA(n_components).fit(train)
    ours = np.square(test - model.reconstruct(test)).sum(1)
    theirs = np.square(test - pca.inverse_transform(pca.transform(test))).sum(1)
    assert model.best_iter_ > 0
    assert ours.sum() < 1.01 * theirs.sum()
    # which code a row gets does not depend on the rows beside it
    worst = np.argmax(theirs)
    assert_allclose(model.transform(test[[worst]]), model.transform(test)[[worst]], rtol=1e-6)


def test_the_codes_of_far_rows_are_pickled(digits):
    model = AutoencoderTransformer(2, max_iter=10, random_state=0).fit(digits[:300])
    far = 30 * digits[300:310] - 10
    assert_array_equal(pickle.loads(pickle.dumps(model)).reconstruct(far), model.reconstruct(far))
    assert_allclose(model.net_.predict(far), model.reconstruct(far), rtol=1e-4, atol=1e-3)
