"""A fit with `checkpoint` that was killed goes on, and ends as one that was not."""

import multiprocessing
import os
import pickle
import resource
import signal
import time

import numpy as np
import pytest
import torch
from joblib import Memory
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from skorch.callbacks import EpochTimer

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.architectures import ARCHITECTURES
from skae.corruptions import CORRUPTIONS
from skae.optimizers import OPTIMIZERS
from skae.penalties import PENALTIES
from skae.schedules import SCHEDULES
from tests.checkpoint_fits import estimator, fit, fit_in, rows

pytestmark = pytest.mark.filterwarnings("ignore:Without input_shape each row is taken")

STRATEGIES = [
    (parameter, name)
    for parameter, registry in (
        ("architecture", ARCHITECTURES),
        ("corruption", CORRUPTIONS),
        ("optimizer", OPTIMIZERS),
        ("penalty", PENALTIES),
        ("schedule", SCHEDULES),
    )
    for name in sorted(registry)
]


class Killed(BaseException):
    """Ends a fit as a signal would: nothing catches it."""


@pytest.fixture
def until(monkeypatch):
    """Return a function: all fits raise an error at the end of an epoch, and list their epochs."""
    whole = EpochTimer.on_epoch_end

    def arm(epoch, error=Killed):
        seen = []

        def on_epoch_end(self, net, **kwargs):
            whole(self, net, **kwargs)
            seen.append(net.history[-1]["epoch"])
            if seen[-1] == epoch:
                raise error

        monkeypatch.setattr(EpochTimer, "on_epoch_end", on_epoch_end)
        return seen

    return arm


def losses(fitted):
    return [row["train_loss"] for row in fitted.history_]


@pytest.mark.parametrize(("parameter", "name"), STRATEGIES)
def test_every_strategy_goes_on_to_the_same_bits(parameter, name, tmp_path, until):
    X = rows()[:60]
    params = {"max_iter": 4, parameter: name}
    if parameter != "architecture":
        params["hidden_layer_sizes"] = (6,)
    whole = AutoencoderTransformer(2, **params, random_state=0).fit(X)
    again = clone(whole).set_params(checkpoint=tmp_path / "fit")
    until(3)
    with pytest.raises(Killed):
        again.fit(X)
    seen = until(None)
    again.fit(X)
    assert seen in ([2, 3, 4], [3, 4])
    assert_array_equal(again.transform(X), whole.transform(X))
    assert losses(again) == losses(whole)
    assert list(tmp_path.iterdir()) == []


def test_the_nets_of_a_detector_go_on(tmp_path, until):
    X = rows()
    whole = AutoencoderAnomalyDetector(max_iter=4, random_state=0, checkpoint=tmp_path / "whole")
    again = clone(whole).set_params(checkpoint=tmp_path / "again")
    whole.fit(X)
    until(3)
    with pytest.raises(Killed):
        again.fit(X)
    assert [path.name for path in tmp_path.iterdir()] == ["again.0"]
    seen = until(None)
    again.fit(X)
    assert seen[0] > 1
    assert_array_equal(again.score_samples(X), whole.score_samples(X))
    assert again.offset_ == whole.offset_
    assert list(tmp_path.iterdir()) == []


def test_the_training_ends_where_patience_does(tmp_path, until):
    params = {"n_iter_no_change": 2, "tol": 0.9, "max_iter": 50, "random_state": 0}
    whole = AutoencoderTransformer(2, **params).fit(rows())
    assert whole.n_iter_ < 50
    again = clone(whole).set_params(checkpoint=tmp_path / "fit")
    until(whole.n_iter_)
    with pytest.raises(Killed):
        again.fit(rows())
    until(None)
    assert losses(again.fit(rows())) == losses(whole)


def test_an_interrupted_fit_changes_nothing_and_goes_on(tmp_path, until):
    again = estimator(tmp_path / "fit").set_params(max_iter=6)
    until(4, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        again.fit(rows())
    assert not hasattr(again, "components_")
    seen = until(None)
    again.fit(rows())
    assert seen[0] > 1
    whole = estimator().set_params(max_iter=6).fit(rows())
    assert_array_equal(again.transform(rows()), whole.transform(rows()))


@pytest.fixture
def processes(monkeypatch):
    """Processes that have imported what they need, so that each starts at once."""
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.checkpoint_fits"])
    return context


@pytest.mark.parametrize("n_times", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(n_times, tmp_path, processes):
    path, out = tmp_path / "fit", tmp_path / "out.npz"
    rng, n_killed = np.random.default_rng(), 0
    for _ in range(n_times):
        before = path.stat().st_mtime_ns if path.exists() else None
        process = processes.Process(target=fit, args=(path, out))
        process.start()
        while process.is_alive() and not (path.exists() and path.stat().st_mtime_ns != before):
            time.sleep(0.001)
        # a moment between two writings, or in the middle of one
        process.join(rng.uniform(0, 0.05))
        process.kill()
        process.join()
        n_killed += process.exitcode == -signal.SIGKILL
    process = processes.Process(target=fit, args=(path, out))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert n_killed >= n_times / 4
    whole, found = estimator().fit(rows()), np.load(out)
    assert_array_equal(found["codes"], whole.transform(rows()))
    assert found["losses"].tolist() == losses(whole)
    # a process that was killed in the middle of writing may leave a part of a file
    assert {path.name for path in tmp_path.iterdir()} <= {"out.npz", "fit.unfinished"}


def test_a_plain_fit_that_is_killed_leaves_no_files(tmp_path, processes, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begun = processes.Event()
    process = processes.Process(target=fit_in, args=(tmp_path, begun))
    process.start()
    assert begun.wait(120)
    process.join(1)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def begun(tmp_path, until):
    """The file of a fit that was killed."""
    until(3)
    with pytest.raises(Killed):
        estimator(tmp_path / "fit").fit(rows())
    until(None)
    return tmp_path / "fit"


def test_another_fit_is_refused_and_the_file_stays(begun):
    before = begun.read_bytes()
    with pytest.raises(ValueError, match=r"belongs to a fit with other data\. Pass another file"):
        estimator(begun).fit(rows()[1:])
    with pytest.raises(ValueError, match="belongs to a fit with other data"):
        estimator(begun).fit(rows(), sample_weight=np.arange(1, 201))
    with pytest.raises(ValueError, match="belongs to a fit with other parameters"):
        estimator(begun).set_params(alpha=0.1).fit(rows())
    assert begun.read_bytes() == before
    # what is printed changes nothing
    estimator(begun).set_params(verbose=2).fit(rows())
    assert not begun.exists()


class Run:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_damaged_file_is_an_error_and_runs_no_code(begun, tmp_path):
    whole, marker = begun.read_bytes(), tmp_path / "marker"
    hidden = Run(f"touch {marker}")
    state = torch.load(begun, weights_only=True)
    for number, damaged in enumerate(
        (b"", whole[: len(whole) // 2], whole[:500] + whole[600:], pickle.dumps(hidden), None)
    ):
        path = tmp_path / f"damaged{number}"
        path.write_bytes(damaged or b"")
        if damaged is None:
            torch.save(state | {"callbacks": hidden}, path)
        with pytest.raises(ValueError, match="is no checkpoint of skae, or is damaged"):
            estimator(path).fit(rows())
        assert not marker.exists()
    # that it would have been made
    with pytest.raises(TypeError, match="not subscriptable"):
        pickle.loads(pickle.dumps(hidden))["made_of"]
    assert marker.exists()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"random_state": None}, "needs random_state to be an int, got None"),
        ({"callbacks": [EpochTimer()]}, "needs callbacks=None"),
        ({"distributed": True}, "needs distributed=False"),
    ],
)
@pytest.mark.parametrize("kind", [AutoencoderTransformer, AutoencoderAnomalyDetector])
def test_what_cannot_be_resumed_is_refused(kind, params, message, tmp_path):
    params = {"checkpoint": tmp_path / "fit", "random_state": 0} | params
    with pytest.raises(ValueError, match=message):
        kind(**params).fit(rows())


def test_a_warm_start_is_refused_and_a_pass_writes_nothing(tmp_path):
    fitted = estimator(tmp_path / "fit").set_params(max_iter=1, warm_start=True).fit(rows())
    with pytest.raises(ValueError, match="warm_start=False, or an estimator that is not fitted"):
        fitted.fit(rows())
    fitted.partial_fit(rows())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_or_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere" / "fit"):
        with pytest.raises(ValueError, match="must be a file in a folder that can be written to"):
            estimator(path).fit(rows())


def test_a_full_disk_leaves_the_last_file_and_the_fit_goes_on(begun, until):
    before = begun.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    until(30)
    # no file may be longer: the system itself refuses to write
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with (
            pytest.warns(UserWarning, match="was not written: File too large"),
            pytest.raises(Killed),
        ):
            estimator(begun).fit(rows())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert begun.read_bytes() == before
    assert {path.name for path in begun.parent.iterdir()} == {"fit"}


def test_a_search_computes_only_what_is_missing(tmp_path, until):
    def search():
        # as in docs/checkpoints.rst
        score = Memory(tmp_path, verbose=0).cache(cross_val_score)
        return [
            score(estimator().set_params(max_iter=2, n_components=k), rows(), cv=2).mean()
            for k in (1, 2, 3)
        ]

    whole = [
        cross_val_score(estimator().set_params(max_iter=2, n_components=k), rows(), cv=2).mean()
        for k in (1, 2, 3)
    ]
    seen = until(None)
    assert search() == whole
    assert len(seen) == 3 * 2 * 2
    # another search finds what this one has found
    seen = until(1)
    assert search() == whole
    assert seen == []
