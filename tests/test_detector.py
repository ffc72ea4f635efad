"""The detector beside IsolationForest: its contract, in pipelines, searches, chunks and copies."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_outlier_detector
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from skorch.callbacks import Callback

from skae import AutoencoderAnomalyDetector
from skae.scorings import SCORINGS, Mahalanobis, Scoring


def detector(**params):
    return AutoencoderAnomalyDetector(**({"random_state": 0} | params))


@pytest.fixture(scope="module")
def cancer():
    """A fifth of the rows malignant: scaled rows to fit, rows to judge, and the truth of both."""
    X, y = load_breast_cancer(return_X_y=True)
    odd = y == 0
    kept = np.sort(np.concatenate([np.flatnonzero(~odd), np.flatnonzero(odd)[:90]]))
    X = StandardScaler().fit_transform(X[kept])
    return train_test_split(X, odd[kept], stratify=odd[kept], random_state=0)


@pytest.mark.parametrize("scoring", SCORINGS)
def test_the_contract_of_isolation_forest(scoring, cancer):
    train, test, *_ = cancer
    ours = detector(scoring=scoring, contamination=0.1)
    theirs = IsolationForest(contamination=0.1, random_state=0)
    for model in (ours, theirs):
        assert is_outlier_detector(model)
        model.fit(train)
        scores, decision = model.score_samples(test), model.decision_function(test)
        assert scores.dtype == np.float64
        assert_allclose(decision, scores - model.offset_)
        assert_array_equal(model.predict(test), np.where(decision < 0, -1, 1))
        assert (model.predict(train) == -1).mean() == pytest.approx(0.1, abs=1 / len(train))
        odd = test[:3].copy()
        odd[:, 0] += 40
        assert (model.score_samples(odd) <= scores[:3]).all()


def test_anomalies_among_the_training_rows_are_found_all_the_same(cancer):
    train, test, _, truth = cancer
    plain = detector(scoring="reconstruction", trim=0.0).fit(train)
    theirs = roc_auc_score(truth, -plain.score_samples(test))
    # A fifth of the rows are anomalies, which are each other's neighbours.
    for scoring, least in (("combined", 0.8), ("mahalanobis", 0.85)):
        model = detector(scoring=scoring).fit(train)
        assert roc_auc_score(truth, -model.score_samples(test)) > max(least, theirs)


def test_leaving_out_the_worst_rows_keeps_anomalies_from_being_learnt():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(600, 2)) @ rng.normal(size=(2, 10))
    other = rng.normal(size=(100, 2)) @ rng.normal(size=(2, 10))
    X = np.vstack([plane, other]) + 0.05 * rng.normal(size=(700, 10))
    errors = {}
    for trim in (0.0, 0.5):
        model = detector(n_components=2, trim=trim, scoring="reconstruction").fit(X)
        error = -model.score_samples(X)
        errors[trim] = np.median(error[600:]) / np.median(error[:600])
    assert errors[0.5] > 1.5 * errors[0.0]


def test_codes_and_reconstructions(cancer):
    train, test, *_ = cancer
    model = detector(n_components=3).fit(train)
    codes = model.transform(test)
    assert codes.shape == (len(test), 3)
    assert_allclose(model.inverse_transform(codes), model.reconstruct(test), rtol=1e-9)
    assert_array_equal(codes, model.models_[0].encode(test))
    assert_array_equal(model.fit_transform(train), model.transform(train))
    assert model.transform(test.astype(np.float32)).dtype == np.float32
    assert model.reconstruct(test.astype(np.float32)).dtype == np.float32


def test_the_default_width_is_the_root_of_the_number_of_features(cancer):
    train, *_ = cancer
    assert detector(max_iter=1).fit(train).models_[0].n_components == 5
    assert detector(max_iter=1, n_components=0.8, init="pca").fit(train)


def test_float32_and_lists_and_frames_are_scored_alike(cancer):
    train, test, *_ = cancer
    names = [f"x{i}" for i in range(train.shape[1])]
    model = detector(max_iter=3).fit(train)
    expected = model.score_samples(test)
    assert_allclose(model.score_samples(test.tolist()), expected, rtol=1e-12)
    assert_allclose(model.score_samples(test.astype(np.float32)), expected, rtol=1e-2)
    framed = detector(max_iter=3).fit(pd.DataFrame(train, columns=names))
    assert_allclose(framed.score_samples(pd.DataFrame(test, columns=names)), expected, rtol=1e-12)
    assert list(framed.feature_names_in_) == names


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), RobustScaler()], ids=repr)
def test_in_a_pipeline(scaler, cancer):
    train, test, _, truth = cancer
    pipeline = make_pipeline(scaler, detector(contamination=0.2)).fit(train)
    forest = make_pipeline(scaler, IsolationForest(random_state=0)).fit(train)
    ours, theirs = (
        roc_auc_score(truth, -model.decision_function(test)) for model in (pipeline, forest)
    )
    assert ours > theirs - 0.04
    assert set(pipeline.predict(test)) == {-1, 1}


@pytest.mark.parametrize(
    "scoring", ["roc_auc", pytest.param("average_precision", marks=pytest.mark.extended)]
)
def test_in_a_search_on_labelled_rows(scoring, cancer):
    train, _, odd, _ = cancer
    pipeline = make_pipeline(StandardScaler(), detector(max_iter=2))
    grid = {
        "autoencoderanomalydetector__scoring": [Mahalanobis(), "reconstruction"],
        "autoencoderanomalydetector__n_components": [2, 4],
    }
    search = GridSearchCV(pipeline, grid, scoring=scoring, cv=3, error_score="raise")
    search.fit(train, np.where(odd, -1, 1))
    assert search.best_score_ > 0.7
    grid = {"scoring__support_fraction": [0.5, 0.9]}
    nested = GridSearchCV(
        detector(scoring=Mahalanobis(), max_iter=2), grid, scoring="roc_auc", cv=2
    )
    assert nested.fit(train, np.where(odd, -1, 1)).best_params_.keys() == grid.keys()


def test_a_weight_is_a_repetition(cancer):
    train, test, *_ = cancer
    weight = np.random.default_rng(0).integers(0, 3, size=len(train))
    one = detector().fit(train, sample_weight=weight)
    other = detector().fit(np.repeat(train, weight, axis=0))
    assert_array_equal(one.score_samples(test), other.score_samples(test))
    assert one.offset_ == other.offset_
    assert_array_equal(one.p_values(test), other.p_values(test))


@pytest.mark.slow
def test_chunks_come_close_to_a_fit(cancer):
    train, test, _, truth = cancer
    whole = detector(contamination=0.1).fit(train)
    model = detector(contamination=0.1)
    for seed in range(40):
        order = np.random.default_rng(seed).permutation(len(train))
        for chunk in np.array_split(order, 3):
            model.partial_fit(train[chunk])
    area, of_fit = (roc_auc_score(truth, -m.score_samples(test)) for m in (model, whole))
    assert area > of_fit - 0.03
    assert (model.predict(train) == -1).mean() == pytest.approx(0.1, abs=0.05)


def test_chunks_are_calibrated_on_rows_that_were_not_trained_on(cancer):
    train, *_ = cancer
    model = detector(contamination=0.1)
    for start in range(0, 300, 100):
        model.partial_fit(train[start : start + 100])
    known = model._crossfit.folds.find(train)
    assert (known[:300] >= 0).all()
    assert (known[300:] < 0).all()
    assert (model.predict(train[:300]) == -1).sum() == 30
    assert model.p_values(train[:300]).min() == pytest.approx(1 / 300)


@pytest.mark.extended
def test_small_chunks_reach_every_net_and_keep_to_their_folds(cancer):
    train, *_ = cancer
    model = detector(random_state=1)
    for start in range(0, 60, 2):
        model.partial_fit(train[start : start + 2])
    folds = model._crossfit.folds.find(train[:60])
    assert set(folds) == {0, 1, 2}
    assert np.bincount(folds).min() > 10
    assert np.isfinite(model.score_samples(train)).all()
    assert (model.predict(train[:60]) == -1).sum() == 3


def test_of_a_large_chunk_any_rows_are_kept_to_calibrate_on():
    X = np.random.default_rng(0).normal(size=(9000, 2))
    model = detector(contamination=0.1).partial_fit(X)
    assert (model.predict(X) == -1).mean() == pytest.approx(0.1, abs=0.02)
    kept = model._recent.rows
    assert len(kept) == 4096
    assert abs(kept[:, 0].mean()) < 0.06


def test_a_warm_start_goes_on_with_the_same_folds(cancer):
    train, test, *_ = cancer
    model = detector(max_iter=2, warm_start=True).fit(train)
    folds, first = model._crossfit.folds.find(train), model.score_samples(test)
    model.fit(train)
    assert_array_equal(model._crossfit.folds.find(train), folds)
    assert not np.array_equal(model.score_samples(test), first)
    assert (model.predict(train) == -1).sum() == int(0.05 * len(train))


class Raises(Callback):
    """An error at a batch of the second net."""

    armed = False
    count = 0

    def on_batch_end(self, net, **kwargs):
        Raises.count += 1
        if Raises.armed and Raises.count == 5:
            raise RuntimeError("stop here")


@pytest.mark.parametrize("batch_size", ["auto", 32, 128])
def test_a_net_takes_as_many_steps_with_any_batches(batch_size):
    steps = []

    class Counts(Callback):
        def on_batch_end(self, net, training=None, **kwargs):
            steps.append(training)

    X = np.random.default_rng(0).normal(size=(9000, 3))
    model = detector(batch_size=batch_size, callbacks=[Counts()]).fit(X)
    n_nets, n_epochs = len(model.nets_), model.nets_[0].max_epochs
    assert all(steps)
    assert len(steps) * (1 - 1 / n_epochs) < 150 * n_nets <= len(steps)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_error_leaves_the_old_detector_whole(method, cancer):
    train, test, *_ = cancer

    def fitted():
        model = detector(max_iter=2, warm_start=True, callbacks=[Raises], batch_size=32)
        return getattr(model, method)(train[:200])

    def figures(model):
        X = np.vstack([train, test])
        return model.score_samples(X), model.p_values(X), model.predict(X), model.explain(X[:9])

    Raises.armed = False
    model, undisturbed = fitted(), fitted()
    before, attributes = figures(model), dict(vars(model))
    Raises.armed, Raises.count = True, 0
    try:
        with pytest.raises(RuntimeError, match="stop here"):
            getattr(model, method)(train[100:] + 1)
    finally:
        Raises.armed = False
    assert vars(model) == attributes
    for one, other in zip(figures(model), before, strict=True):
        assert_array_equal(one, other)
    for again in (model, undisturbed):
        getattr(again, method)(train[100:] + 1)
    for one, other in zip(figures(model), figures(undisturbed), strict=True):
        assert_array_equal(one, other)


def test_with_no_contamination_no_training_row_is_flagged(cancer):
    train, test, *_ = cancer
    model = detector(contamination=0, max_iter=3)
    assert_array_equal(model.fit_predict(train), 1)
    assert_array_equal(model.predict(train.astype(np.float32)), 1)
    assert 0 <= model.decision_function(train).min() < 1e-7 * abs(model.offset_)
    assert (model.predict(test) == -1).mean() < 0.2
    assert_array_equal(model.predict(test + 50), -1)
    for wrong in (-0.1, 0.6):
        with pytest.raises(ValueError, match=r"'contamination' parameter .* \(0.*5\] or .* \{0\}"):
            detector(contamination=wrong).fit(train)


@pytest.mark.extended
def test_nets_that_are_trained_at_the_same_time_are_the_same(cancer):
    train, test, *_ = cancer
    params = {"loss": "huber", "max_iter": 2, "batch_size": 32}
    one, other = (detector(n_jobs=n_jobs, **params) for n_jobs in (1, 2))
    for model in (one, other):
        model.fit(train).partial_fit(test)
    assert_array_equal(one.score_samples(test), other.score_samples(test))
    assert_array_equal(
        one.nets_[1].history[:, "train_loss"], other.nets_[1].history[:, "train_loss"]
    )
    seen = []
    # what a callback collects must reach the user
    detector(max_iter=1, n_jobs=2, callbacks=[Appends(seen)]).fit(train)
    assert len(seen) == 3


class Appends(Callback):
    def __init__(self, seen):
        self.seen = seen

    def on_train_end(self, net, **kwargs):
        self.seen.append(net)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_codes_as_frames(library, cancer):
    frame = pd.DataFrame(cancer[0], columns=[f"x{i}" for i in range(30)])
    pipeline = make_pipeline(StandardScaler(), detector(n_components=2, max_iter=1))
    names = [f"autoencoderanomalydetector{i}" for i in range(2)]
    codes = pipeline.fit(frame).transform(frame)
    assert isinstance(codes, np.ndarray)
    assert_array_equal(pipeline.get_feature_names_out(), names)
    pytest.importorskip(library)
    pipeline.set_output(transform=library).fit(frame)
    found = pipeline.transform(frame)
    assert type(found).__module__.partition(".")[0] == library
    assert list(found.columns) == names
    assert_array_equal(found.to_numpy(), codes)
    assert_array_equal(
        pipeline.predict(frame), pipeline[-1].predict(pipeline[:-1].transform(frame))
    )
    scaled = pipeline[:-1].transform(frame)
    assert list(pipeline[-1].reconstruct(scaled).columns) == list(frame.columns)
    columns = make_column_transformer(
        (detector(n_components=2, max_iter=1), ["x0", "x1", "x2"]), remainder="passthrough"
    ).set_output(transform=library)
    found = columns.fit_transform(frame)
    assert found.shape == (len(frame), 29)
    assert found.columns[0] == f"autoencoderanomalydetector__{names[0]}"


def test_equal_rows_are_normal_and_far_ones_are_not():
    model = detector(max_iter=2).fit(np.ones((40, 3)))
    assert_array_equal(model.predict(np.ones((40, 3))), 1)
    assert_array_equal(model.p_values(np.ones((5, 3))), 1)


@pytest.mark.parametrize("value", [1e100, 1e155, 1e301, -1.7e301])
@pytest.mark.parametrize("scoring", SCORINGS)
def test_scores_do_not_overflow(value, scoring, cancer):
    train, test, *_ = cancer
    model = detector(scoring=scoring, max_iter=2).fit(train)
    X = test[:5].copy()
    X[0, 7] = value
    assert model.predict(X)[0] == -1
    assert model.p_values(X)[0] < 0.01
    contributions = model.explain(X)
    assert np.isfinite(contributions).all()
    assert contributions[0].argmin() == 7 or scoring == "latent"
    assert_allclose(contributions.sum(1), model.score_samples(X), rtol=1e-9)


@pytest.mark.parametrize("learning_rate", [10.0, 1000.0])
def test_a_bad_net_does_not_overflow_near_the_largest_float(learning_rate):
    X = np.random.default_rng(0).normal(size=(12, 4)) * 1e300
    model = detector(hidden_layer_sizes=(6,), max_iter=1, learning_rate=learning_rate).fit(X)
    codes = model.transform(X)
    for values in (codes, model.inverse_transform(codes), model.score_samples(X), model.explain(X)):
        assert np.isfinite(values).all()


def test_seeds_decide_and_global_generators_stay(cancer):
    train, test, *_ = cancer
    np.random.seed(0)
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    one, same = (detector(max_iter=2).fit(train).score_samples(test) for _ in range(2))
    assert_array_equal(one, same)
    assert not np.array_equal(
        one, detector(max_iter=2, random_state=1).fit(train).score_samples(test)
    )
    assert_array_equal(np.random.get_state()[1], before[0])
    assert_array_equal(torch.get_rng_state(), before[1])


def test_units_do_not_matter(cancer):
    train, test, *_ = cancer
    one = detector().fit(train)
    other = detector().fit(1024 * train)
    assert_allclose(other.score_samples(1024 * test), one.score_samples(test), rtol=1e-6)


def test_a_copy_is_the_same_here_and_in_another_process(cancer, tmp_path):
    train, test, *_ = cancer
    model = detector(max_iter=3).fit(train)
    again = pickle.loads(pickle.dumps(model))
    for X in (train, test):
        assert_array_equal(again.score_samples(X), model.score_samples(X))
    assert_array_equal(again.explain(test[:5]), model.explain(test[:5]))
    assert clone(model).get_params().keys() == model.get_params().keys()
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "X.npy", test)
    code = (
        "import pickle, sys, numpy as np; from pathlib import Path; folder = Path(sys.argv[1]);"
        "model = pickle.loads((folder / 'model.pkl').read_bytes());"
        "np.save(folder / 'out.npy', model.decision_function(np.load(folder / 'X.npy')))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert_allclose(np.load(tmp_path / "out.npy"), model.decision_function(test), rtol=1e-9)
    model.partial_fit(train)
    again.partial_fit(train)
    assert_array_equal(again.score_samples(test), model.score_samples(test))


@pytest.mark.parametrize(
    "rows",
    [
        np.ones((20, 3)),
        np.repeat(np.eye(3), 10, axis=0),
        np.arange(8.0).reshape(2, 4),
        np.random.default_rng(0).normal(size=(12, 40)),
        np.hstack([np.random.default_rng(0).normal(size=(60, 2)), np.zeros((60, 2))]),
    ],
    ids=["equal rows", "three rows often", "two rows", "fewer rows than columns", "constant"],
)
@pytest.mark.parametrize("scoring", SCORINGS)
def test_degenerate_tables(rows, scoring):
    model = detector(scoring=scoring).fit(rows)
    assert np.isfinite(model.score_samples(rows)).all()
    assert np.isfinite(model.explain(rows)).all()
    far = rows[:2] + 1e3 * (1 + np.abs(rows).max())
    assert (model.predict(far) == -1).all() or scoring == "latent"


def test_a_scoring_from_outside_takes_a_class(cancer):
    class Largest(Scoring, name="largest"):
        """Largest absolute residual."""

        def distance(self, view):
            return view.residual.abs().amax(1)

    try:
        train, test, *_ = cancer
        model = detector(scoring="largest", max_iter=2).fit(train)
        assert_allclose(model.explain(test).sum(1), model.score_samples(test))
        assert len(model.predict(test)) == len(test)
    finally:
        del SCORINGS["largest"]
    with pytest.raises(ValueError, match="'scoring' parameter"):
        detector(scoring="largest").fit(cancer[0])


def test_scores_of_images(digits):
    images = digits.reshape(-1, 8, 8)
    model = detector(input_shape=(8, 8), contamination=0.05).fit(images)
    assert model.score_samples(images).shape == (400,)
    noise = np.random.default_rng(0).random((50, 8, 8))
    assert (model.predict(noise) == -1).mean() > 0.95


def test_what_is_not_fitted_or_not_the_shape_says_so(cancer):
    train, *_ = cancer
    with pytest.raises(ValueError, match="not fitted"):
        detector().p_values(train)
    model = detector(max_iter=1).fit(train)
    with pytest.raises(ValueError, match="31 features"):
        model.explain(np.hstack([train, train[:, :1]]))
    bad = train.copy()
    bad[3, 4] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.fit(bad)
