"""Autoencoders trained on a fold each; a row is scored by those that were not trained on it."""

import copy
from hashlib import blake2b

import numpy as np
import torch

from .._data.rows import row_blocks
from .._fit import Fitted, Settings, fit_autoencoder
from .._utils.registry import resolve
from .._utils.torch import limit_threads, map_blocks
from ..scorings import Residuals, Scoring
from .attribution import integrated_gradients

# Rows that are hashed at once, or scored at once by a net, whose layers then stay in the cache.
_BLOCK_ROWS = 4096
# In units of the training rows' spread: no row is taken to be farther from them, because squares
# of such distances would not fit in a float64.
_FARTHEST = 1e60


def row_keys(X):
    """Return a 64-bit key of each row's values in float64, equal for equal rows."""
    keys = np.empty(len(X), np.uint64)
    for part in row_blocks(*X.shape, _BLOCK_ROWS):
        # Adding zero turns -0.0 into 0.0. NaN has many bits, too.
        values = np.ascontiguousarray(X[part], dtype=np.float64) + 0.0
        values[np.isnan(values)] = np.nan
        digests = [blake2b(row, digest_size=8).digest() for row in values]
        keys[part] = np.frombuffer(b"".join(digests), np.uint64)
    return keys


class Folds:
    """Which fold each training row is in; rows are recognised by a hash of their values."""

    def __init__(self, n_folds):
        self.n_folds = n_folds
        self.keys = np.empty(0, np.uint64)
        self.folds = np.empty(0, np.int16)

    def find(self, X):
        """Return the fold of each row, -1 for one that was not trained on."""
        return self._look_up(row_keys(X))

    def _look_up(self, keys):
        if len(self.keys) == 0:
            return np.full(len(keys), -1, np.int16)
        at = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.folds[at], np.int16(-1))

    def add(self, X, generator):
        """Put distinct rows into folds of nearly equal size, known ones into their own."""
        keys = row_keys(X)
        folds = self._look_up(keys)
        new = folds < 0
        # Small chunks would otherwise all begin with the first fold.
        start = generator.integers(self.n_folds) if len(self.keys) else 0
        folds[new] = (generator.permutation(new.sum()) + start) % self.n_folds
        keys = np.concatenate([self.keys, keys[new]])
        order = np.argsort(keys, kind="stable")
        self.keys = keys[order]
        self.folds = np.concatenate([self.folds, folds[new]])[order]
        return folds


class CrossFit:
    """Autoencoders and their scorings, one of each a fold; the generator draws folds and seeds."""

    def __init__(self, n_folds, generator):
        self.generator = generator
        self.folds = Folds(n_folds)
        seeds = generator.integers(np.iinfo(np.int32).max, size=n_folds)
        self.seeds = [int(seed) for seed in seeds]
        self.fits = [None] * n_folds
        self.scorings = []

    def train(self, rows, weight, params, one_pass):
        """Train each net on its fold of distinct rows.

        `params` returns the parameters of a net for a number of rows. `one_pass` lets the nets go
        on with one pass over the rows.
        """
        folds = self.folds.add(rows, self.generator)
        for fold, (previous, seed) in enumerate(zip(self.fits, self.seeds, strict=True)):
            own = folds == fold
            if not own.any():
                if previous is not None:
                    continue
                # There are fewer distinct rows than folds.
                own[:] = True
            own_params = params(int(own.sum())) | {"random_state": seed}
            some, counts = rows[own], weight[own]
            if len(some) == 1:
                # One row twice, because a fit takes two.
                some, counts = some.repeat(2, axis=0), counts.repeat(2) / 2
            settings = Settings(own_params)
            if previous is not None:
                settings = previous.settings.going_on(settings, one_pass)
            self.fits[fold] = fit_autoencoder(
                some, counts, settings, previous, one_pass, keep_codes=False
            )

    def fit_scorings(self, rows, weight, scoring):
        """Fit a scoring to what each net makes of the rows of its fold."""
        self.scorings = []
        folds = self.folds.find(rows)
        for fold, fit in enumerate(self.fits):
            own = folds == fold
            if own.sum() < 2:
                # A single row has no spread.
                own[:] = True
            some = rows[own]
            with torch.no_grad():
                blocks = row_blocks(*some.shape, _BLOCK_ROWS)
                parts = [_residuals(fit.model, some[part]) for part in blocks]
            names = ("code", "residual", "loss")
            joined = [torch.cat([getattr(part, name) for part in parts]) for name in names]
            fitted = resolve(Scoring, scoring)
            fitted.fit(Residuals(*joined), weight[own])
            self.scorings.append(fitted)

    def distances(self, X):
        """Return how unusual each row is: the mean over the nets not trained on it."""
        total = np.zeros(len(X))
        for model, scoring, weight in self._weighted(X):

            def add(part, model=model, scoring=scoring, weight=weight):
                rows = np.ascontiguousarray(X[part], dtype=np.float64)
                total[part] += weight[part] * scoring.distance(_residuals(model, rows)).numpy()

            map_blocks(add, row_blocks(*X.shape, _BLOCK_ROWS), len(X) * model.n_weights)
        return total

    def contributions(self, X, centre):
        """Return what each feature adds to the distances, beside a row with nothing unusual."""
        total = np.zeros(X.shape)
        with limit_threads(1):
            for model, scoring, weight in self._weighted(X):
                baseline, _ = _completed(model, centre[None])
                for part in row_blocks(*X.shape, _BLOCK_ROWS):
                    rows = np.ascontiguousarray(X[part], dtype=np.float64)
                    found = _contributions(model, scoring, rows, baseline)
                    # the net may see an entry as several values: a token's indicators
                    entries = found.numpy().reshape(*rows.shape, -1).sum(2)
                    total[part] += weight[part, None] * entries
        return total

    def _weighted(self, X):
        """Yield each model, its scoring and its weight in the score of each row."""
        folds = self.folds.find(X)
        n_nets = len(self.fits)
        for fold, (fit, scoring) in enumerate(zip(self.fits, self.scorings, strict=True)):
            weight = np.where(folds < 0, 1 / n_nets, (folds != fold) / (n_nets - 1))
            yield fit.model, scoring, weight

    def copy(self):
        """Return a copy that can be trained without a change to this one."""
        other = CrossFit.__new__(CrossFit)
        vars(other).update(vars(self), fits=list(self.fits), folds=copy.copy(self.folds))
        other.generator = copy.deepcopy(self.generator)
        return other

    def __getstate__(self):
        return vars(self) | {"fits": [fit.to_state() for fit in self.fits]}

    def __setstate__(self, state):
        vars(self).update(state | {"fits": [Fitted.from_state(fit) for fit in state["fits"]]})


def _completed(model, rows):
    """Return rows standardized and completed, and where entries were missing."""
    with np.errstate(over="ignore"):
        x = _bounded(model.standardized(rows))
    return model.module.complete(x), torch.isnan(x)


def _bounded(values):
    return values.clamp(-_FARTHEST, _FARTHEST)


def _residuals(model, rows):
    return _bounded_residuals(model, *_completed(model, rows))


def _bounded_residuals(model, x, missing):
    found = model.residuals(x, missing)
    return Residuals(*map(_bounded, (found.code, found.residual, found.loss)))


def _contributions(model, scoring, rows, baseline):
    x, missing = _completed(model, rows)

    def distance(rows):
        return scoring.distance(_bounded_residuals(model, rows, missing))

    # What is missing does not change along the line, and so contributes nothing.
    return integrated_gradients(distance, x, torch.where(missing, x, baseline))
