"""The page on trackers: what TensorBoard, MLflow and W&B have logged, read from their files.

The slow tests were last run with MLflow 3.17.2, which needs pyarrow < 26.
"""

import pickle
import struct
import warnings
from pathlib import Path

import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skae.io import load, save
from tests.pages import python_blocks

REASON = "a tracker that the other tests do without"
PAGE = python_blocks("how_to/tracking.rst")


@pytest.fixture
def page(tmp_path, monkeypatch, short_fits):
    """Return a function that runs the page's blocks with some marks, without a network."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
    }.items():
        monkeypatch.setenv(name, value)
    names = {}

    def run(*marks):
        for mark in ("AutoencoderTransformer\n\n", *marks):
            (block,) = (block for block in PAGE if mark in block)
            exec(block, names)
        return names

    return run


def assert_logged(logged, page):
    """Check the losses of all epochs, and that the estimator is saved without its callback."""
    autoencoder = page("callbacks=None")["autoencoder"]
    save(autoencoder, "model.skops")
    load("model.skops")
    pickle.dumps(autoencoder)
    history = autoencoder.history_[1:]
    assert len(history) == 2
    for name in ("train_loss", "valid_loss"):
        assert_allclose(logged[name], [row[name] for row in history], rtol=1e-6)


@pytest.mark.extended
def test_tensorboard(page):
    pytest.importorskip("tensorboard", reason=REASON)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    page("SummaryWriter")
    events = EventAccumulator("runs/iris").Reload()
    names = ("train_loss", "valid_loss")
    logged = {name: [event.value for event in events.Scalars(f"Loss/{name}")] for name in names}
    assert_logged(logged, page)
    assert "learning_rate" in str(events.Tags()["scalars"])


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    """MLflow with a store in the test's folder."""
    with warnings.catch_warnings():
        # the only one of MLflow's own: its tables use what SQLAlchemy 2.1 deprecates
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy is deprecated")
        mlflow = pytest.importorskip("mlflow", reason=REASON)
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        mlflow.set_tracking_uri(uri)
        yield mlflow
        if mlflow.active_run():
            mlflow.end_run()
        mlflow.sklearn.autolog(disable=True)
        mlflow.set_tracking_uri(None)


@pytest.mark.slow
def test_mlflow(page, mlflow):
    page("MlflowLogger")
    client = mlflow.MlflowClient()
    (run,) = client.search_runs(["0"])
    names = ("train_loss", "valid_loss")
    logged = {
        name: [point.value for point in client.get_metric_history(run.info.run_id, name)]
        for name in names
    }
    assert_logged(logged, page)
    assert run.data.params["n_components"] == "2"
    assert run.data.params["random_state"] == "0"


@pytest.mark.slow
def test_mlflow_logs_by_itself_and_keeps_a_model_without_pickles(page, mlflow):
    names = page("MlflowLogger", "autolog", "log_model(")
    client = mlflow.MlflowClient()
    runs = {run.info.run_id: run for run in client.search_runs(["0"])}
    prefix = "autoencodertransformer__"
    children = [run for run in runs.values() if "mlflow.parentRunId" in run.data.tags]
    search = names["search"]
    found = {
        run.data.params[f"{prefix}n_components"]: run.data.metrics["mean_test_score"]
        for run in children
    }
    scores = search.cv_results_["mean_test_score"]
    assert found == pytest.approx({"1": scores[0], "2": scores[1]})
    (parent,) = {run.data.tags["mlflow.parentRunId"] for run in children}
    assert runs[parent].data.metrics["best_cv_score"] == pytest.approx(search.best_score_)
    (fit,) = (
        run for run in runs.values() if run.data.params.get(f"{prefix}loss") and run not in children
    )
    assert fit.data.params[f"{prefix}random_state"] == "0"
    X = names["X"]
    assert_array_equal(names["again"].transform(X), names["pipeline"].transform(X))
    stored = [path.name for path in Path("mlruns").rglob("*") if path.is_file()]
    assert "model.skops" in stored
    assert not any(name.endswith((".pkl", ".pickle")) for name in stored)
    # An estimator alone is none of those that MLflow knows, as the page says.
    before = len(client.search_runs(["0"]))
    names["AutoencoderTransformer"](2).fit(X)
    assert len(client.search_runs(["0"])) == before


def wandb_records(path):
    """Return the records of a file of W&B's: blocks of 32 KiB that hold parts of records."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, records, part, at = path.read_bytes(), [], b"", 7
    while at + 7 <= len(data):
        left = 2**15 - at % 2**15
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        part += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole one, or the last part
            records.append(Record.FromString(part))
            part = b""
    return records


@pytest.mark.extended
def test_wandb(page):
    pytest.importorskip("wandb", reason=REASON)
    page("WandbLogger")
    (path,) = Path("wandb").glob("offline-run-*/*.wandb")
    logged = {}
    for record in wandb_records(path):
        for item in record.history.item:
            name = item.key or ".".join(item.nested_key)
            logged.setdefault(name, []).append(float(item.value_json))
    assert_logged(logged, page)
    assert "learning_rate" in logged
