"""Seconds of a fit beside a process that keeps one core busy, with all the threads that are there.

A loop with torch's own number of threads shows what skae leaves out: threads that wait for one that
has no core.
"""

import os
import subprocess
import sys
from contextlib import contextmanager

from skae import AutoencoderTransformer

from ..datasets import Unavailable
from ._data import images
from ._engine import SPEED, Case, all_threads, part, seconds
from ._reference import net_rows, start_module, torch_loop

_SPIN = """
import torch
torch.set_num_threads(1)
a = torch.randn(500, 500)
a @ a
print("spinning", flush=True)
while True:
    a @ a
"""
N_ROWS, N_EPOCHS = 20_000, 2
# The loop beside a busy core takes forty times as long.
LOOP_ROWS = 4_000


@contextmanager
def busy_core():
    """Keep one core busy with matrix products of another process."""
    with subprocess.Popen([sys.executable, "-c", _SPIN], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def _quiet(work):
    def measured(repeat):
        with all_threads():
            return {"seconds": seconds(work)}

    return measured


def _busy(work):
    def measured(repeat):
        with busy_core():
            return _quiet(work)(repeat)

    return measured


@part(SPEED, "busy")
def busy():
    if os.cpu_count() < 2:
        raise Unavailable("there is only one core")
    X = images(N_ROWS)
    x = net_rows(X[:LOOP_ROWS])
    module = start_module(X[:LOOP_ROWS], 32, (256, 128))

    def fit():
        AutoencoderTransformer(32, max_iter=N_EPOCHS, random_state=0).fit(X)

    def loop():
        torch_loop(module, x, 64, 1)

    peers = {}
    for title, work in (("skae", fit), ("torch loop, all threads", loop)):
        peers[title] = _quiet(work)
        peers[f"{title}, beside a busy core"] = _busy(work)
    yield Case(f"{N_ROWS:,} x 784", peers, N_ROWS, 784, 32)
