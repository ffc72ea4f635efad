"""Seconds of a fit to a large Parquet file with all cores, and until it shows a progress bar."""

import contextlib
import io
import tempfile
import time
from pathlib import Path

import pandas as pd

from skae import AutoencoderTransformer

from ._data import low_rank
from ._engine import SPEED, Case, all_threads, part

N_ROWS, N_FEATURES, WIDTH = 1_000_000, 50, 8


class _Screen(io.StringIO):
    """Text that notes when the first of it was written, and the first that counts epochs."""

    first = bar = None

    def write(self, text):
        now = time.perf_counter()
        if self.first is None and text.strip():
            self.first = now
        if self.bar is None and "epoch" in text:
            self.bar = now
        return super().write(text)


def _fit(path):
    screen = _Screen()
    began = time.perf_counter()
    with all_threads(), contextlib.redirect_stderr(screen):
        X = pd.read_parquet(path)
        AutoencoderTransformer(WIDTH, random_state=0, verbose=1).fit(X)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "until_text": screen.first - began,
        "until_bar": screen.bar - began,
    }


@part(SPEED, "file")
def file():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        names = [f"x{j}" for j in range(N_FEATURES)]
        pd.DataFrame(low_rank(N_ROWS, N_FEATURES), columns=names).to_parquet(path, index=False)
        peers = {"skae": lambda repeat: _fit(path)}
        yield Case(f"{N_ROWS:,} x {N_FEATURES}", peers, N_ROWS, N_FEATURES, WIDTH)
