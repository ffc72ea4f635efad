"""The largest memory of a fit, in a process of its own, on rows read from a file.

Two figures of the kernel are read. RssAnon is what the process has made itself: pages of a mapped
file do not count, which the kernel drops when it needs the room. There is no record of its peak, so
it is read all the time, from outside: within the process one would wait for Python's lock while
another thread computes. VmHWM is the record of the peak of everything, mapped files and libraries
too, so it can only be larger.
"""

import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ..datasets import Unavailable
from ._data import patches, tfidf_like, write_sparse_file
from ._engine import MEMORY, Case, part

# Seconds between two readings.
_PAUSE = 0.005


@dataclass(frozen=True)
class Fit:
    """What is fitted, on which file, and how it is read."""

    write: Callable[[Path], None]
    suffix: str
    n_rows: int
    n_features: int
    k: int
    params: dict = field(default_factory=dict)
    mapped: bool = False
    peers: tuple[str, ...] = ("skae",)


def _save(make, *sizes):
    def write(path):
        X = make(*sizes)
        (sp.save_npz if sp.issparse(X) else np.save)(path, X)

    return write


FITS = {
    "patches": Fit(
        _save(patches, 1_000_000),
        ".npy",
        1_000_000,
        64,
        8,
        {"max_iter": 1},
        peers=("skae", "PCA"),
    ),
    "sparse": Fit(
        _save(tfidf_like, 20_000, 50_000, 0.002), ".npz", 20_000, 50_000, 16, {"max_iter": 1}
    ),
    "memory_map": Fit(
        lambda path: write_sparse_file(path, 10_000_000, 256, 0.05),
        ".npy",
        10_000_000,
        256,
        8,
        {"max_iter": 1, "batch_size": 4096, "hidden_layer_sizes": [32]},
        mapped=True,
    ),
}


def _part(name, fit):
    @part(MEMORY, name)
    def cases():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"X{fit.suffix}"
            fit.write(path)
            title = f"{fit.n_rows:,} x {fit.n_features:,}"
            peers = {peer: _measured(peer, fit, path) for peer in fit.peers}
            yield Case(title, peers, fit.n_rows, fit.n_features, fit.k)


def _measured(peer, fit, path):
    task = {"peer": peer, "path": str(path), "k": fit.k, "mapped": fit.mapped}
    task["params"] = fit.params
    return lambda repeat: fit_in_a_process(task)


for _name, _fit in FITS.items():
    _part(_name, _fit)


def status(pid):
    """Return the kernel's figures of a process' memory, in MB of a million bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {entry[0].rstrip(":"): int(entry[1]) * 1024 / 1e6 for entry in fields}


def fit_in_a_process(task):
    """Run `_fit_once` and return what it needs: MB of a million bytes, and seconds.

    Returns
    -------
    figures : dict
        beyond_mb: the largest RssAnon, less what it was when X and the packages were there;
        peak_mb: VmHWM, in all.
    """
    if not Path("/proc/self/status").exists():
        raise Unavailable("the figures are those of Linux")
    command = [sys.executable, "-m", "benchmarks.costs._fit_once", json.dumps(task)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            _answer(process)
            before = peak = status(process.pid)["RssAnon"]
            print("fit", file=process.stdin)
            while not select.select([process.stdout], [], [], _PAUSE)[0]:
                peak = max(peak, status(process.pid)["RssAnon"])
            answer = _answer(process)
            highest = status(process.pid)["VmHWM"]
        finally:
            process.kill()
    return {"beyond_mb": peak - before, "peak_mb": highest, "seconds": answer["seconds"]}


def _answer(process):
    line = process.stdout.readline()
    answer = json.loads(line) if line else {"error": "the process ended: out of memory?"}
    if "error" in answer:
        raise Unavailable(answer["error"])
    return answer
