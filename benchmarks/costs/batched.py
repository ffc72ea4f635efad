"""Seconds of a search of 12 candidates and 5 folds, with the nets fitted one by one and at once."""

import time

import numpy as np
from sklearn.model_selection import GridSearchCV

from skae import AutoencoderTransformer
from skae.model_selection import BatchedGridSearchCV

from ._engine import SPEED, Case, part

# For each number of rows and features the width of the hidden layer and the number of epochs: few,
# so that all of it is measured in minutes. With more the batched search gains a little more.
SIZES = {
    (500, 10): (32, 60),
    (1_000, 30): (64, 50),
    (2_000, 30): (128, 20),
    (5_000, 30): (128, 8),
}
GRID = {"learning_rate": [1e-3, 3e-3, 5e-3, 1e-2], "alpha": [0.0, 1e-4, 1e-3]}
N_FOLDS = 5
_SCORES = [f"split{fold}_test_score" for fold in range(N_FOLDS)]


def curved(n_rows, n_features, seed=0):
    """Return rows near a curved surface of two dimensions, of which nets learn in a few epochs."""
    rng = np.random.default_rng(seed)
    factors = rng.uniform(-2, 2, size=(n_rows, 2))
    waves = np.sin(factors @ rng.normal(size=(2, n_features)) + rng.normal(size=n_features))
    return waves + 0.1 * rng.normal(size=waves.shape)


def _timed(kind, X, width, n_epochs, results):
    estimator = AutoencoderTransformer(
        2, hidden_layer_sizes=(width,), max_iter=n_epochs, random_state=0
    )

    def measured(repeat):
        # Of the processor: both searches run on one thread and wait for nothing.
        started = time.process_time()
        search = kind(estimator, GRID, cv=N_FOLDS, refit=False).fit(X)
        figures = {"seconds": time.process_time() - started}
        results[kind] = search
        if kind is BatchedGridSearchCV and GridSearchCV in results:
            plain = results[GridSearchCV]
            figures["largest_difference"] = max(
                float(np.abs(plain.cv_results_[key] - search.cv_results_[key]).max())
                for key in _SCORES
            )
            figures["same_best"] = float(plain.best_params_ == search.best_params_)
        return figures

    return measured


@part(SPEED, "batched")
def batched():
    for (n_rows, n_features), (width, n_epochs) in SIZES.items():
        X, results = curved(n_rows, n_features), {}
        peers = {
            kind.__name__: _timed(kind, X, width, n_epochs, results)
            for kind in (GridSearchCV, BatchedGridSearchCV)
        }
        name = f"{n_rows:,} x {n_features}, {n_epochs} epochs, {width} wide"
        yield Case(name, peers, n_rows, n_features, 2)
