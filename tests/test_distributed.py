"""One fit over several processes, beside the same fit in one."""

import os
import pickle
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed_fits import CASES, REFUSED, SETTINGS, WEIGHT, X, fit, fit_all
from filelock import FileLock
from sklearn.base import clone

from skae import AutoencoderTransformer
from tests.pages import python_blocks

pytestmark = pytest.mark.extended

pytest.importorskip("accelerate")

SCRIPT = Path(__file__).parent / "distributed_fits.py"
ROOT = SCRIPT.parents[1]
# Two processes that wait for each other on a busy machine, not how long a failure may take.
PATIENCE = 120


def start(*command, cwd=None, **variables):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | variables
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process):
    """Return the exit status and what was printed of a process that must end by itself."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return process.returncode, out + err


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def start_pair(*arguments):
    """Start two processes that no launcher looks after."""
    port = free_port()
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    both = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    return [
        start("-W", "error", str(SCRIPT), *arguments, **rank, **both, MASTER_PORT=port)
        for rank in ranks
    ]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Return what two processes under ``accelerate launch`` have found."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # The first of pytest's workers starts the two, and the others wait for what they find.
        folder = folder.parent
    with FileLock(folder / "pair.lock"):
        if not (folder / "1.pkl").exists():
            # With --cpu instead, it starts several processes by MPI only.
            launcher = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
            launcher += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
            launcher += [f"--main_process_port={free_port()}"]
            status, printed = end(start(*launcher, str(SCRIPT), str(folder)))
            assert status == 0, printed
    return [pickle.loads((folder / f"{rank}.pkl").read_bytes()) for rank in range(2)]


@pytest.fixture(scope="module")
def alone():
    """Return what one process has found."""
    return fit_all(False)


def fits_of(estimator):
    """Return the weights, the history and the best epoch of each net."""
    if isinstance(estimator, AutoencoderTransformer):
        return [(estimator.module_.state_dict(), estimator.history_, estimator.best_iter_)]
    crossfit = estimator._crossfit.fits
    return [(fit.model.module.state_dict(), fit.history, fit.best) for fit in crossfit]


def assert_same(one, other, atol):
    """Assert that weights and losses agree."""
    for a, b in zip(fits_of(one), fits_of(other), strict=True):
        (weights, history, best), (others, its_history, its_best) = a, b
        for name, weight in weights.items():
            torch.testing.assert_close(weight, others[name], rtol=0, atol=atol)
        assert best == its_best
        for row, its in zip(history, its_history, strict=True):
            row, its = ({k: v for k, v in r.items() if k != "duration"} for r in (row, its))
            assert row == pytest.approx(its, rel=0, abs=atol)


FITS = [*CASES, "warm start", "chunks", "detector"]


@pytest.mark.parametrize("name", [*FITS, "unseeded", "unseeded detector"])
def test_processes_agree(pair, name):
    assert_same(pair[0]["fits"][name], pair[1]["fits"][name], 1e-6)


@pytest.mark.parametrize("name", FITS)
def test_as_one_process(pair, alone, name):
    fits, _ = alone
    assert_same(pair[0]["fits"][name], fits[name], 1e-5)
    for _, history, _ in fits_of(fits[name]):
        assert history[-1]["train_loss"] != history[0]["train_loss"]


def test_gradients_are_those_of_the_whole_batch(pair, alone):
    _, watched = alone
    for found in pair:
        gradient = found["watched"]["gradient"]
        np.testing.assert_allclose(gradient, watched["gradient"], rtol=0, atol=1e-6)


def test_each_process_takes_its_part_of_each_batch(pair, alone):
    _, watched = alone
    for found in pair:
        for batch, whole in zip(found["watched"]["batches"], watched["batches"], strict=True):
            np.testing.assert_array_equal(batch, whole)
    parts = [found["watched"]["made"] for found in pair]
    for whole, first, second in zip(watched["made"], *parts, strict=True):
        assert abs(len(first) - len(second)) <= 1
        np.testing.assert_allclose(np.vstack([first, second]), whole, rtol=0, atol=1e-5)


def test_what_was_fitted_predicts_in_another_process(pair):
    for found in pair:
        fitted = found["fits"]["default"]
        np.testing.assert_array_equal(fitted.transform(X), found["codes"])
        np.testing.assert_allclose(fitted.net_.predict(X), found["predicted"], atol=1e-6)


def test_only_the_first_process_prints(pair):
    assert pair[0]["printed"].startswith("epoch 1/")
    assert pair[1]["printed"] == ""


def test_a_callback_of_one_process_ends_the_fit_of_all(pair):
    n_iter, other = (found["fits"]["unseeded"].n_iter_ for found in pair)
    assert n_iter == other < SETTINGS["max_iter"]


def test_threads_stay_as_they_were(pair):
    assert [found["threads"] for found in pair] == [1, 1]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_divided_is_refused_by_all(pair, name):
    for found in pair:
        kind, text = found["failures"][name]
        assert (kind, REFUSED[name][1] in text) == ("ValueError", True), text


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("other values", "X"),
        ("other rows", "X"),
        ("other alpha", "alpha"),
        ("other weights", "sample_weight"),
        ("other last fit", "last fit"),
    ],
)
def test_what_differs_is_told_by_all(pair, name, parameter):
    for found in pair:
        kind, text = found["failures"][name]
        assert kind == "ValueError"
        assert text.startswith(f"distributed=True needs the same {parameter} in every process")


def test_an_error_in_one_process_ends_the_fit_of_all(pair):
    first, second = (found["failures"]["callback"] for found in pair)
    assert second == ("OSError", "the disk is full")
    assert first[0] == "RuntimeError"
    assert "process 1 ended by OSError: the disk is full" in first[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "status", "text"),
    [
        ("exits", 7, ""),
        ("raises", 1, "OSError: the disk is full"),
        ("refuses", 1, "Input X contains infinity"),
        ("freezes", -signal.SIGKILL, ""),
    ],
)
def test_a_process_that_fails_ends_the_others(how, status, text):
    first, second = start_pair("fails", how)
    try:
        first_status, printed = end(first)
    finally:
        if how == "freezes":
            second.kill()
    second_status, its = end(second)
    assert (first_status, second_status) == (1, status)
    assert text in its
    assert "RuntimeError: The distributed fit failed: another process has failed" in printed
    [seconds] = re.findall(r"took (.*) s", printed)
    assert float(seconds) < 60


@pytest.mark.slow
def test_script_of_the_docs_under_torchrun(tmp_path):
    [script] = python_blocks("distributed.rst")
    (tmp_path / "fit.py").write_text(script)
    np.save(tmp_path / "X.npy", X)
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    launcher += [f"--master-port={free_port()}"]
    status, printed = end(start(*launcher, "fit.py", cwd=tmp_path))
    assert status == 0, printed
    found = pickle.loads((tmp_path / "autoencoder.pkl").read_bytes())
    alone = clone(found).set_params(distributed=False).fit(X)
    assert found.n_iter_ == alone.n_iter_
    assert found.score(X) == pytest.approx(alone.score(X), rel=1e-3)


def test_a_lone_process_fits_as_ever():
    assert_same(fit(True, sample_weight=WEIGHT), fit(False, sample_weight=WEIGHT), 0)


def test_without_accelerate_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r"pip install 'skae\[distributed\]'"):
        AutoencoderTransformer(**SETTINGS, distributed=True).fit(X)
