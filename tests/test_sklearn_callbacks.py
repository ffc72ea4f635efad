"""scikit-learn's callbacks: epochs and folds are tasks, in one tree with the estimators around."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.metrics import explained_variance_scorer
from tests.pages import python_blocks

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 or later")


class Recorder:
    """What callbacks are told: the names of the estimator and the task, and its place."""

    max_propagation_depth = None

    def __init__(self, stop=None, fail=None):
        self.begun, self.ended, self.calls = [], [], []
        self.stop, self.fail = stop, fail

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata):
        self.calls.append("begin")
        names = type(estimator).__name__, context.task_name
        self.begun.append((*names, context.task_id, context.max_subtasks))
        self.told = X, y, metadata

    def on_fit_task_end(self, estimator, context):
        self.calls.append("end")
        self.ended.append((type(estimator).__name__, context.task_name, context.task_id))
        if self.fail is not None and self.ended[-1][1:] == self.fail:
            raise OSError("the disk is full")
        return self.stop == self.ended[-1][1:]


class Predictions:
    """What the estimator of each task predicts of some rows."""

    def __init__(self, method, rows):
        self.method, self.rows, self.found = method, rows, []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if fitted_estimator is not None:
            self.found.append(getattr(fitted_estimator, self.method)(self.rows))


def transformer(**params):
    return AutoencoderTransformer(2, **{"max_iter": 3, "random_state": 0} | params)


def test_each_epoch_is_a_task(iris):
    recorder, weight = Recorder(), np.arange(1.0, 151.0)
    model = transformer().set_callbacks(recorder).fit(iris, sample_weight=weight)
    name = "AutoencoderTransformer"
    epochs = [(name, "epoch", i, 0) for i in range(3)]
    assert recorder.begun == [(name, "fit", 0, 3), *epochs]
    assert recorder.ended == [(name, "epoch", i) for i in range(3)] + [(name, "fit", 0)]
    assert recorder.calls == ["setup", "begin", *["begin", "end"] * 3, "end", "teardown"]
    X, y, metadata = recorder.told
    assert X is iris
    assert y is iris
    assert metadata["sample_weight"] is weight
    plain = transformer().fit(iris, sample_weight=weight)
    assert_array_equal(model.transform(iris), plain.transform(iris))
    # what the fit needed of them is gone
    assert set(vars(model)) - set(vars(plain)) == {"_skl_callbacks"}
    assert "tasks" not in dict(model.net_.callbacks_)


def test_there_are_no_epochs_at_max_iter_0(iris):
    recorder = Recorder()
    transformer(max_iter=0).set_callbacks(recorder).fit(iris)
    assert recorder.begun == [("AutoencoderTransformer", "fit", 0, 0)]
    assert recorder.calls == ["setup", "begin", "end", "teardown"]


def test_each_net_of_a_detector_is_a_task(iris):
    recorder = Recorder()
    params = {"n_folds": 2, "max_iter": 2, "random_state": 0}
    model = AutoencoderAnomalyDetector(**params, n_jobs=2).set_callbacks(recorder).fit(iris)
    told = [entry[1:] for entry in recorder.begun]
    # The nets are trained side by side.
    epochs = [("epoch", i, 0) for i in (0, 0, 1, 1)]
    assert told == [("fit", 0, 2), ("fold", 0, 2), ("fold", 1, 2), *epochs]
    assert recorder.calls.count("end") == len(told)
    plain = AutoencoderAnomalyDetector(**params).fit(iris)
    assert_array_equal(model.score_samples(iris), plain.score_samples(iris))


def test_there_is_one_tree_through_a_search_and_a_pipeline(iris):
    recorder = Recorder()
    pipeline = make_pipeline(StandardScaler(), transformer(max_iter=1))
    grid = {"autoencodertransformer__n_components": [1, 2]}
    GridSearchCV(pipeline, grid, cv=2).set_callbacks(recorder).fit(iris)
    # two of each fold, and the refit
    tasks = [entry[:2] for entry in recorder.begun]
    assert tasks.count(("AutoencoderTransformer", "fit")) == 5
    assert tasks.count(("AutoencoderTransformer", "epoch")) == 5
    assert sorted(entry[:3] for entry in recorder.begun) == sorted(recorder.ended)
    assert recorder.calls.count("setup") == recorder.calls.count("teardown") == 1


@pytest.mark.slow
def test_a_search_in_processes_reports_to_the_one_that_began_it(iris):
    scoring = {"explained": explained_variance_scorer}
    monitor = callback.ScoringMonitor(scoring=scoring)
    model = transformer(max_iter=2).set_callbacks(monitor)
    GridSearchCV(model, {"n_components": [1, 2]}, cv=2, n_jobs=2).fit(iris)
    # two epochs and a fit, four times and once more
    logs = monitor.get_logs(select="all")
    rows = [row for log in logs for row in log.data if row["task_name"] in ("fit", "epoch")]
    assert sum(row["estimator_name"] == "AutoencoderTransformer" for row in rows) == 15


def test_the_scores_are_those_of_each_epoch(iris):
    monitor = callback.ScoringMonitor(scoring={"explained": explained_variance_scorer})
    # every epoch is kept that is the last, and the rate does not depend on how many there are
    params = {"early_stopping": False, "schedule": None, "corruption": None}
    model = transformer(**params).set_callbacks(monitor).fit(iris)
    found = {row["task_id_path"]: row["explained"] for row in monitor.get_logs().data}
    for epoch in range(3):
        shorter = transformer(**params | {"max_iter": epoch + 1}).fit(iris)
        assert_allclose(found[0, epoch], shorter.score(iris), rtol=1e-6)
    assert found[0,] == model.score(iris)


def test_a_score_may_be_weighted(iris):
    def scoring(model, X, y, sample_weight):
        return {"explained": model.score(X, y, sample_weight)}

    monitor = callback.ScoringMonitor(scoring=scoring)
    weight = np.arange(1.0, 151.0)
    model = transformer().set_callbacks(monitor).fit(iris, sample_weight=weight)
    (score,) = {row["explained"] for row in monitor.get_logs().data if row["task_name"] == "fit"}
    assert score == model.score(iris, sample_weight=weight)


def test_an_estimator_of_an_epoch_predicts_in_every_way(iris):
    ends = Predictions("inverse_transform", np.eye(2))
    params = {"penalty": "variational", "max_iter": 2}
    model = transformer(**params).set_callbacks(ends).fit(iris)
    assert len(ends.found) == 3
    assert_array_equal(ends.found[2], model.inverse_transform(np.eye(2)))
    for method, rows in [("transform", iris), ("score_samples", iris), ("sample", 3)]:
        ends = Predictions(method, rows)
        transformer(**params).set_callbacks(ends).fit(iris)
        assert all(np.isfinite(np.asarray(part, dtype=float)).all() for part in ends.found)


def test_a_detector_predicts_once_all_its_nets_do(iris):
    ends = Predictions("score_samples", iris)
    model = AutoencoderAnomalyDetector(max_iter=2, random_state=0).set_callbacks(ends).fit(iris)
    (scores,) = ends.found
    assert_array_equal(scores, model.score_samples(iris))


def test_a_pair_is_scored_on_what_is_to_be_reconstructed(iris):
    recorder = Recorder()
    clean = iris + 1
    transformer(max_iter=1).set_callbacks(recorder).fit(iris, target=clean)
    assert recorder.told[1] is clean
    labels = np.zeros(len(iris))
    transformer(max_iter=1).set_callbacks(recorder).fit(iris, labels)
    assert recorder.told[1] is labels


def test_true_ends_the_training_with_the_best_epoch(digits):
    recorder = Recorder(stop=("epoch", 4))
    model = transformer(max_iter=50).set_callbacks(recorder).fit(digits[:300])
    assert model.n_iter_ == 5
    losses = [row["valid_loss"] for row in model.history_]
    assert model.best_iter_ == np.argmin(losses) > 0
    assert len(recorder.ended) == 6
    pca = PCA(2).fit(digits[:300])
    assert model.score(digits[300:]) > explained_variance_scorer(pca, digits[300:])
    recorder = Recorder(stop=("epoch", 1))
    detector = AutoencoderAnomalyDetector(max_iter=9, random_state=0).set_callbacks(recorder)
    detector.fit(digits[:300])
    assert [fit.history[-1]["epoch"] for fit in detector.nets_] == [2, 2, 2]


@pytest.mark.parametrize("fail", [("epoch", 1), ("fit", 0)])
@pytest.mark.parametrize("model", [transformer(), AutoencoderAnomalyDetector(max_iter=2)])
def test_an_error_leaves_the_last_fit(iris, model, fail):
    model = clone(model).set_params(random_state=0).fit(iris)
    before = dict(vars(model)), model.transform(iris)
    recorder = Recorder(fail=fail)
    model.set_callbacks(recorder)
    with pytest.raises(OSError, match="the disk is full"):
        model.fit(iris[:50])
    assert recorder.calls[-1] == "teardown"
    assert vars(model) == before[0] | {"_skl_callbacks": [recorder]}
    assert_array_equal(model.transform(iris), before[1])
    # and nothing of the failed one stays for the next
    recorder.fail = None
    assert_array_equal(model.fit(iris).transform(iris), before[1])


def test_ctrl_c_in_an_epoch_ends_its_task(iris):
    class Interrupts(Recorder):
        def on_fit_task_begin(self, estimator, context, **kwargs):
            if context.task_id == 2:
                raise KeyboardInterrupt

    recorder = Interrupts()
    model = transformer(max_iter=9).set_callbacks(recorder).fit(iris)
    assert model.n_iter_ == 2
    assert recorder.ended[2:] == [
        ("AutoencoderTransformer", "epoch", 2),
        ("AutoencoderTransformer", "fit", 0),
    ]


def test_callbacks_are_copied_and_kept_as_scikit_learn_does(iris):
    monitor = callback.ScoringMonitor(scoring={"explained": explained_variance_scorer})
    model = transformer().set_callbacks(monitor).fit(iris)
    assert clone(model)._skl_callbacks == [monitor]
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.transform(iris), model.transform(iris))
    # a stream has no end
    monitor = Recorder()
    transformer().set_callbacks(monitor).partial_fit(iris)
    assert not monitor.begun
    with pytest.raises(TypeError, match="callbacks must be instances"):
        model.set_callbacks(Recorder)


def test_a_progress_bar_shows_epochs(iris, capfd):
    pytest.importorskip("rich")
    transformer().set_callbacks(callback.ProgressBar()).fit(iris)
    assert "AutoencoderTransformer" in capfd.readouterr().out


@pytest.mark.extended
def test_the_code_of_the_guide_runs(digits):
    pytest.importorskip("rich")
    blocks = python_blocks("how_to/callbacks.rst")
    [block] = [block for block in blocks if "import ProgressBar" in block]
    names = {"AutoencoderTransformer": AutoencoderTransformer, "train": digits[:200]}
    exec(block, names)
    assert len(names["monitor"].get_logs().data) == 21
    assert names["search"].best_params_ == {"n_components": 8}
