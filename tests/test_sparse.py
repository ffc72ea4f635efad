"""Sparse X: the same model as of dense X, and X is never made dense as a whole."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae._anomaly import crossfit
from skae._data import rows as rows_module
from skae._data.rows import Rows, Standardization
from skae.losses import Preparation

FORMATS = [
    getattr(sparse, f"{name}_{kind}")
    for name in ("csr", "csc", "coo")
    for kind in ("matrix", "array")
]


@pytest.fixture(scope="module")
def counts():
    return load_digits().data[:300]


def small(n_components=3, **params):
    params = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0} | params
    return AutoencoderTransformer(n_components, **params)


def wide(n_rows=40, n_features=3000, seed=0):
    """Return sparse rows with more features than a covariance is made for."""
    generator = np.random.default_rng(seed)
    X = sparse.csr_array(sparse.random(n_rows, n_features, 0.02, random_state=generator))
    X.data *= 1 + 20 * generator.random(n_rows).repeat(np.diff(X.indptr))
    return X


@pytest.mark.parametrize("make", FORMATS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_start_is_pca(make, dtype, counts):
    X = make(counts.astype(dtype))
    model, pca = small(max_iter=0).fit(X), PCA(3).fit(counts)
    codes = model.transform(X)
    tolerance = {"atol": 1e-9 if dtype == np.float64 else 1e-3}
    assert codes.dtype == dtype
    assert_allclose(model.components_, pca.components_, atol=1e-5)
    assert_allclose(codes, pca.transform(counts), **tolerance)
    assert_allclose(
        model.inverse_transform(codes), pca.inverse_transform(codes.astype(float)), **tolerance
    )


def test_the_start_is_the_pca_that_scikit_learn_has_for_sparse_rows(counts):
    X = sparse.csr_array(counts)
    pca = PCA(3, svd_solver="arpack", random_state=0).fit(X)
    assert_allclose(small(max_iter=0).fit(X).transform(X), pca.transform(X), atol=1e-9)


def test_sparse_rows_are_trained_on_as_dense_ones(counts):
    X = sparse.csr_array(counts)
    params = {"hidden_layer_sizes": (64,), "max_iter": 30}
    one, other = small(8, **params).fit(X), small(8, **params).fit(counts)
    # The same batches of the same rows: only the sums in the start are taken in another order.
    assert_allclose(one.loss_, other.loss_, rtol=1e-3)
    assert_allclose(one.score(X), other.score(counts), atol=1e-3)
    assert one.score(X) > PCA(8).fit(counts).explained_variance_ratio_.sum() + 0.01


def test_results_are_those_of_dense_rows(counts):
    model, X = small().fit(counts), sparse.csr_array(counts)
    weight = np.random.default_rng(0).random(len(counts))
    for method in (model.transform, model.reconstruct):
        assert_allclose(method(X), method(counts), atol=1e-10)
        assert isinstance(method(X), np.ndarray)
    assert_allclose(model.score(X), model.score(counts), atol=1e-10)
    assert_allclose(model.score(X, None, weight), model.score(counts, None, weight), atol=1e-10)


def with_long_indices(X):
    parts = X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return sparse.csr_array(parts, shape=X.shape)


def unsorted(X):
    # a descending order within each row
    order = np.lexsort((-X.indices, np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))))
    return sparse.csr_array((X.data[order], X.indices[order], X.indptr), shape=X.shape)


def in_halves(X):
    parts = X.data.repeat(2) / 2, X.indices.repeat(2), 2 * X.indptr
    return sparse.csr_array(parts, shape=X.shape)


def with_zeros(X):
    n, d = X.shape
    parts = X.toarray().ravel(), np.tile(np.arange(d), n), d * np.arange(n + 1)
    return sparse.csr_array(parts, shape=X.shape)


def read_only(X):
    X = X.copy()
    for part in (X.data, X.indices, X.indptr):
        part.flags.writeable = False
    return X


def shuffled(X):
    return X[np.random.default_rng(0).permutation(X.shape[0])]


@pytest.mark.parametrize(
    "write",
    [with_long_indices, unsorted, in_halves, with_zeros, read_only, shuffled, sparse.csc_array],
)
def test_how_the_same_rows_are_stored_does_not_matter(write, counts):
    X = sparse.csr_array(counts)
    other = write(X)
    before = other.copy()
    expected = small().fit(X)
    model = small().fit(other)
    assert_array_equal(model.transform(X), expected.transform(X))
    if write is not shuffled:
        assert_array_equal(model.transform(other), expected.transform(X))
    for name in ("data", "indices", "indptr"):
        assert_array_equal(getattr(other, name), getattr(before, name))


def test_an_entry_in_two_parts_is_one_value():
    X = np.array([[0.7, 0.0], [0.2, 1.0], [0.5, 0.1], [0.9, 0.4]])
    # Each part alone would be in [0, 1], and so is their sum.
    halves = in_halves(sparse.csr_array(3 * X))
    with pytest.raises(ValueError, match=r"values in \[0, 3\]"):
        small(1, loss="binary_cross_entropy").fit(halves)


def test_weights_are_repetitions(counts):
    weight = np.random.default_rng(0).integers(0, 3, len(counts))
    X = sparse.csr_array(counts)
    one = small().fit(X, sample_weight=weight)
    other = small().fit(sparse.csr_array(counts.repeat(weight, axis=0)))
    assert_array_equal(one.transform(X), other.transform(X))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_start_on_wide_rows_is_pca(weighted):
    X = wide()
    weight = np.random.default_rng(0).integers(1, 4, X.shape[0]) if weighted else None
    model = small(4, max_iter=0).fit(X, sample_weight=weight)
    rows = X.toarray() if weight is None else X.toarray().repeat(weight, axis=0)
    centred = rows - rows.mean(0)
    loadings = np.linalg.svd(centred, full_matrices=False)[2][:4]
    projected = centred @ loadings.T @ loadings
    assert_allclose(model.reconstruct(rows) - rows.mean(0), projected, atol=1e-8)
    assert_allclose(np.abs(np.sum(model.components_ * loadings, axis=1)), 1, atol=1e-8)


def test_the_start_on_wide_rows_that_a_loss_changes():
    X = wide()
    shares = X.toarray() / X.toarray().sum(1, keepdims=True)
    one, other = (
        small(2, loss=loss, max_iter=0).fit(x, sample_weight=weight)
        for loss, x, weight in (
            ("multinomial", X, None),
            ("squared_error", shares, X.toarray().sum(1)),
        )
    )
    assert_allclose(*(np.abs(m.module_.E.detach().numpy()) for m in (one, other)), atol=1e-6)


def test_wide_rows_with_gaps_are_completed():
    X = wide(n_features=2100)
    X.data[::17] = np.nan
    model = small(2, max_iter=0).fit(X)
    assert model.score(X) > 0
    assert_allclose(model.reconstruct(X), model.reconstruct(X.toarray()), atol=1e-10)


def test_as_many_components_as_wide_rows():
    X = wide(n_rows=6)
    assert_allclose(small(None, max_iter=0).fit(X).reconstruct(X), X.toarray(), atol=1e-8)


def test_a_share_of_the_variance_of_wide_rows_is_refused():
    with pytest.raises(ValueError, match=r"n_components=0.9 needs.*3000 features"):
        small(0.9).fit(wide())


def test_a_share_of_the_variance(counts):
    n_components = PCA(0.8).fit(counts).n_components_
    assert small(0.8, max_iter=0).fit(sparse.csr_array(counts)).n_components_ == n_components


@pytest.mark.parametrize("loss", ["poisson", "multinomial", "binary_cross_entropy", "huber"])
def test_losses_with_links(loss, counts):
    counts = counts / 16 if loss == "binary_cross_entropy" else counts
    one = small(loss=loss, max_iter=0).fit(sparse.csc_array(counts))
    other = small(loss=loss, max_iter=0).fit(counts)
    assert_allclose(one.transform(counts), other.transform(counts), atol=1e-8)
    assert_allclose(one.reconstruct(counts), other.reconstruct(counts), atol=1e-8)
    assert_allclose(one.loss_, other.loss_, rtol=1e-5)
    trained = small(loss=loss).fit(sparse.csc_array(counts))
    assert trained.history_[-1]["train_loss"] < trained.history_[0]["train_loss"]


def test_mixed_tables_of_an_encoder():
    generator = np.random.default_rng(0)
    table = np.column_stack([generator.integers(0, 12, size=(200, 2)), generator.normal(size=200)])
    encode = make_column_transformer(
        (OneHotEncoder(), [0, 1]), remainder="passthrough", sparse_threshold=1.0
    )
    X = encode.fit_transform(table)
    assert sparse.issparse(X)
    one = small(loss="mixed", max_iter=0).fit(X)
    other = small(loss="mixed", max_iter=0).fit(X.toarray())
    assert_allclose(one.reconstruct(X), other.reconstruct(X.toarray()), atol=1e-8)


def test_tokens_refuse_sparse_rows(counts):
    with pytest.raises(TypeError, match=r"dense data is required"):
        small(loss="categorical_cross_entropy").fit(sparse.csr_array(counts))


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_matrix])
def test_a_detector_of_sparse_rows_is_that_of_dense_ones(make, counts):
    parameters = {"random_state": 0, "max_iter": 2, "contamination": 0.1}
    X, new = make(counts[:200]), make(counts[200:])
    one, other = (AutoencoderAnomalyDetector(**parameters) for _ in range(2))
    assert_array_equal(one.fit_predict(X), other.fit_predict(counts[:200]))
    assert (one.predict(X) == -1).sum() == 20
    for method in ("score_samples", "p_values", "predict", "explain", "transform", "reconstruct"):
        found, expected = getattr(one, method)(new), getattr(other, method)(counts[200:])
        assert_allclose(found, expected, rtol=1e-12, err_msg=method)
    # a stream may have chunks of both kinds
    for chunk in (counts[:100], counts[100:200]):
        one.partial_fit(make(chunk))
        other.partial_fit(chunk)
    one.partial_fit(counts[200:])
    other.partial_fit(counts[200:])
    assert_allclose(one.p_values(new), other.p_values(counts[200:]), rtol=1e-12)
    assert_allclose(one.offset_, other.offset_, rtol=1e-12)


@pytest.mark.parametrize("rounding", [0.0, 10.0])
def test_batches_of_sparse_rows_are_those_of_dense_ones(rounding):
    X = sparse.csr_array(np.random.default_rng(0).integers(-1, 2, size=(50, 7)).astype(float))
    mean, index = np.linspace(-1, 1, 7), np.random.default_rng(1).permutation(50)
    one, other = (
        Rows(x, index, None, Preparation(), Standardization(mean, 0.3, rounding))
        for x in (X, X.toarray())
    )
    assert_array_equal(one.array(), other.array())
    # deviations that are nothing but rounding are zero
    assert one.array().any() == (rounding == 0)
    assert_array_equal(one.batch(slice(3, 20))["x"], other.hold("cpu").batch(slice(3, 20))["x"])


@pytest.mark.extended
def test_rows_are_never_made_dense_as_a_whole(monkeypatch):
    monkeypatch.setattr(rows_module, "_BLOCK_ENTRIES", 2**20)
    X = sparse.csr_array(sparse.random(2000, 20_000, 2e-4, random_state=0))
    model = small(2, max_iter=1, hidden_layer_sizes=(2,), batch_size=100)
    tracemalloc.start()
    try:
        model.fit(X)
        model.transform(X)
        model.score(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A float32 copy of X would be 160 MB.
    assert peak < 4 * X.shape[0] * X.shape[1] / 2


def test_a_detector_never_makes_rows_dense_as_a_whole(monkeypatch):
    monkeypatch.setattr(rows_module, "_BLOCK_ENTRIES", 2**18)
    monkeypatch.setattr(crossfit, "_MOST_ENTRIES", 2**18)
    X = sparse.csr_array(sparse.random(4000, 1500, 2e-3, random_state=0))
    model = AutoencoderAnomalyDetector(
        2, max_iter=1, hidden_layer_sizes=(2,), scoring="reconstruction", random_state=0
    )
    tracemalloc.start()
    try:
        model.fit(X)
        model.predict(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # X in float64 would be 48 MB.
    assert peak < 8 * X.shape[0] * X.shape[1] / 2


def test_words_in_a_pipeline_and_a_search():
    topics = [["sea", "ship", "wave", "salt"], ["bread", "oven", "flour", "salt"]]
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(topics[i % 2], 6)) for i in range(60)]
    search = GridSearchCV(
        make_pipeline(TfidfVectorizer(), small()),
        {"autoencodertransformer__n_components": [1, 4]},
        cv=3,
    ).fit(texts)
    assert search.best_params_ == {"autoencodertransformer__n_components": 4}
    codes = search.best_estimator_[:1].transform(texts)
    assert sparse.issparse(codes)
    assert search.best_estimator_.transform(texts).shape == (60, 4)
