"""Seconds of a grid search with one process and with two."""

import os

from sklearn.model_selection import GridSearchCV

from skae import AutoencoderTransformer

from ..datasets import Unavailable
from ._data import low_rank
from ._engine import SPEED, Case, part, seconds

N_ROWS, N_FEATURES, N_EPOCHS = 5_000, 30, 20
WIDTHS = [2, 4, 6, 8]


def _search(X, n_jobs, max_iter=N_EPOCHS):
    estimator = AutoencoderTransformer(max_iter=max_iter, random_state=0)
    grid = {"n_components": WIDTHS}
    return GridSearchCV(estimator, grid, cv=2, n_jobs=n_jobs, refit=False).fit(X)


def _timed(X, n_jobs):
    return lambda repeat: {"seconds": seconds(lambda: _search(X, n_jobs))}


@part(SPEED, "search")
def search():
    if os.cpu_count() < 2:
        raise Unavailable("there is only one core")
    X = low_rank(N_ROWS, N_FEATURES)
    # Starting processes and importing torch in them is joblib's cost, once a session.
    _search(X, 2, max_iter=1)
    peers = {f"n_jobs={n}": _timed(X, n) for n in (1, 2)}
    yield Case(f"{len(WIDTHS) * 2} fits of {N_ROWS // 2:,} x {N_FEATURES}", peers, N_ROWS, 30)
