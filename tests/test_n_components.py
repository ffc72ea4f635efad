"""n_components="auto" finds how many components rows need."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_s_curve
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.io import load, save
from skae.model_selection import BatchedGridSearchCV
from skae.tables import TableAutoencoder

SHORT = {"hidden_layer_sizes": (8,), "max_iter": 6, "random_state": 0}


def factors(n, p, rank, seed=0, signal=3.0):
    """Return rows that spread along some directions, and noise of variance 1."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(p, rank)))[0]
    return signal * rng.normal(size=(n, rank)) @ directions.T + rng.normal(size=(n, p))


def found(X, sample_weight=None, **params):
    """Return the number that PCA finds, or with other parameters a net."""
    params = {"max_iter": 0, "random_state": 0} | params
    return (
        AutoencoderTransformer("auto", **params).fit(X, sample_weight=sample_weight).n_components_
    )


@pytest.fixture(scope="module")
def three():
    return factors(200, 12, 3)


# Of the last two, PCA's components of as few rows hold more noise than the noise has variance.
@pytest.mark.parametrize(
    ("n", "p", "rank"), [(300, 10, 1), (300, 10, 5), (800, 30, 8), (100, 60, 2), (120, 200, 3)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_rank_of_rows_with_noise_is_found(n, p, rank, seed):
    assert found(factors(n, p, rank, seed)) == rank


@pytest.mark.parametrize("shape", [(300, 10), (100, 40), (60, 80), (6, 4), (2, 3), (5, 1)])
def test_noise_has_one_component(shape):
    assert found(np.random.default_rng(0).normal(size=shape)) == 1


def test_a_direction_weaker_than_the_noise_does_not_pay():
    """Kept, it brings more noise along than it has variance: clean rows are farther away."""
    n, p = 2000, 10
    rng = np.random.default_rng(0)
    for deviation, expected in ((0.7, 1), (1.5, 2)):
        clean = np.zeros((n, p))
        clean[:, 0], clean[:, 1] = 4 * rng.normal(size=n), deviation * rng.normal(size=n)
        X = clean + rng.normal(size=(n, p))
        errors = {}
        for k in (1, 2):
            pca = PCA(k).fit(X)
            errors[k] = ((pca.inverse_transform(pca.transform(X)) - clean) ** 2).sum()
        assert min(errors, key=errors.get) == expected
        assert found(X) == expected


def test_rows_without_noise_have_their_rank():
    rng = np.random.default_rng(0)
    assert found(rng.normal(size=(100, 3)) @ rng.normal(size=(3, 9))) == 3


def test_it_is_the_fit_with_the_number_found(three):
    auto = AutoencoderTransformer("auto", **SHORT).fit(three)
    assert auto.n_components_ == 3
    assert auto.n_iter_ == SHORT["max_iter"]
    known = AutoencoderTransformer(3, **SHORT).fit(three)
    assert_array_equal(auto.transform(three), known.transform(three))
    assert auto.get_params()["n_components"] == "auto"
    assert_array_equal(clone(auto).fit(three).transform(three), auto.transform(three))


def test_units_and_sparsity_do_not_matter(three):
    assert found(1e6 * three + 1e8) == found(1e-6 * three) == 3
    counted = np.maximum(three, 0)
    assert found(sparse.csr_matrix(counted)) == found(counted)


def test_missing_entries_are_left_out(three):
    gaps = np.where(np.random.default_rng(0).random(three.shape) < 0.05, np.nan, three)
    assert found(gaps) == 3


def test_a_weight_of_two_is_a_row_given_twice(three):
    weight = np.random.default_rng(0).integers(0, 4, len(three))
    repeated = AutoencoderTransformer("auto", **SHORT).fit(np.repeat(three, weight, axis=0))
    weighted = AutoencoderTransformer("auto", **SHORT).fit(three, sample_weight=weight)
    assert_array_equal(repeated.transform(three), weighted.transform(three))
    # rows of weight 0, which would have one direction
    mixed = np.vstack([three, factors(400, 12, 1, signal=30)])
    assert found(mixed, np.repeat([1.0, 0.0], [200, 400])) == 3


@pytest.mark.parametrize(
    "params",
    [
        {"loss": "huber"},
        {"loss": "absolute_error", "init": "random"},
        {"penalty": "variational"},
        {"corruption": None, "early_stopping": False, "max_iter": 12},
        pytest.param(
            {"architecture": "convolutional", "input_shape": (3, 4), "hidden_layer_sizes": (4,)},
            marks=pytest.mark.extended,
        ),
        pytest.param(
            {"architecture": "recurrent", "input_shape": (12,)}, marks=pytest.mark.extended
        ),
        {"batch_size": None, "optimizer": "sgd", "schedule": None},
    ],
    ids=lambda params: "-".join(map(str, params.values())),
)
def test_other_nets_take_it(three, params):
    model = AutoencoderTransformer("auto", **SHORT | params).fit(three)
    known = clone(model).set_params(n_components=model.n_components_).fit(three)
    assert 1 <= model.n_components_ < 12
    assert_array_equal(model.transform(three), known.transform(three))


def test_a_fit_that_goes_on_keeps_the_number(three):
    other = factors(200, 12, 5, 1)
    model = AutoencoderTransformer("auto", warm_start=True, **SHORT).fit(three).fit(other)
    assert model.n_components_ == 3
    assert model.partial_fit(other).n_components_ == 3
    assert clone(model).fit(other).n_components_ == 5
    # the first chunk decides
    chunks = AutoencoderTransformer("auto", **SHORT).partial_fit(three).partial_fit(other)
    assert chunks.n_components_ == 3


@pytest.mark.extended
def test_a_stored_fit_goes_on(three, tmp_path):
    model = AutoencoderTransformer("auto", warm_start=True, **SHORT).fit(three)
    save(model, tmp_path / "model.skae")
    loaded = load(tmp_path / "model.skae")
    assert loaded.n_components_ == 3
    assert_array_equal(loaded.fit(three).transform(three), model.fit(three).transform(three))


def test_a_checkpoint_changes_nothing(three, tmp_path):
    path = tmp_path / "checkpoint"
    model = AutoencoderTransformer("auto", checkpoint=path, **SHORT).fit(three)
    plain = AutoencoderTransformer("auto", **SHORT).fit(three)
    assert_array_equal(model.transform(three), plain.transform(three))
    assert not path.exists()


def test_searches_take_it(three):
    grid = {"n_components": ["auto", 1], "learning_rate": [1e-3, 1e-2]}
    estimator = AutoencoderTransformer(**SHORT)
    plain, batched = (
        kind(estimator, grid, cv=2).fit(three) for kind in (GridSearchCV, BatchedGridSearchCV)
    )
    assert batched.n_batched_ == 8
    assert_array_equal(batched.cv_results_["params"], plain.cv_results_["params"])
    np.testing.assert_allclose(
        batched.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"], atol=1e-4
    )
    assert batched.best_estimator_.n_components_ == plain.best_estimator_.n_components_ == 3


def test_the_search_is_not_seen_by_callbacks(three):
    class Count(Callback):
        epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.epochs += 1

    count = Count()
    AutoencoderTransformer("auto", callbacks=[count], **SHORT).fit(three)
    assert count.epochs == SHORT["max_iter"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"loss": "poisson"}, "needs a loss whose .*'squared_error'.*got loss='poisson'.*an int"),
        ({"loss": "binary_cross_entropy"}, "got loss='binary_cross_entropy'. Pass an int"),
        ({"distributed": True}, "needs distributed=False"),
        ({"n_components": "Auto"}, "'auto'"),
    ],
)
def test_what_it_cannot_be_combined_with(three, params, words):
    model = AutoencoderTransformer("auto", **SHORT).fit(three)
    before = model.transform(three)
    with pytest.raises(ValueError, match=words):
        model.set_params(**params).fit(np.abs(three) / np.abs(three).max())
    assert_array_equal(model.transform(three), before)


def test_pairs_and_short_sequences_are_refused(three):
    with pytest.raises(ValueError, match="needs a fit to X alone"):
        AutoencoderTransformer("auto", **SHORT).fit(three, target=three)
    short = three.copy()
    short[0, -2:] = np.nan
    model = AutoencoderTransformer("auto", architecture="recurrent", input_shape=(12,), **SHORT)
    with pytest.raises(ValueError, match="sequences of one length"):
        model.fit(short)


def test_mixed_columns_are_refused():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": np.arange(20.0), "b": list("xy") * 10})
    with pytest.raises(ValueError, match=r"n_components='auto' needs a loss .* Pass an int"):
        TableAutoencoder("auto").fit(table)


def test_the_detector_has_another_auto():
    X = factors(200, 16, 2)
    detector = AutoencoderAnomalyDetector(max_iter=1, random_state=0).fit(X)
    assert detector.transform(X).shape == (200, 4)


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_net_needs_fewer_components_than_pca_where_rows_lie_on_a_surface(seed):
    X = make_s_curve(1000, noise=0.05, random_state=seed)[0]
    assert found(X, max_iter="auto") == 2
    # of three columns PCA's error cannot be told from noise in two
    rng = np.random.default_rng(seed)
    hidden = rng.uniform(-2, 2, size=(800, 1))
    waves = np.sin(hidden @ rng.normal(size=(1, 12)) + rng.normal(size=12))
    X = waves + 0.1 * rng.normal(size=waves.shape)
    assert found(X, max_iter="auto") == 1
    assert found(X) > 1


@pytest.mark.extended
@pytest.mark.parametrize("seed", SEEDS)
def test_training_does_not_change_the_rank_that_pca_finds(seed):
    for shape in ((400, 20, 4), (150, 80, 3)):
        assert found(factors(*shape, seed), max_iter="auto") == shape[2]
    assert found(np.random.default_rng(seed).normal(size=(300, 12)), max_iter="auto") == 1
