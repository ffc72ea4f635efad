"""Autoencoders trained on a fold each; a row is scored by those that were not trained on it."""

import copy

import numpy as np
import torch

from .._data.rows import dense_rows, mean_row, row_blocks
from .._fit import Fitted, Settings, fit_autoencoders
from .._training.checkpoint import fold_checkpoint
from .._utils.registry import resolve
from .._utils.stored import Stored
from .._utils.torch import limit_threads, map_blocks
from ..scorings import Residuals, Scoring
from .attribution import integrated_gradients, spread
from .calibration import narrowing
from .folds import Folds
from .hiding import Hiding

# Entries of the rows that are scored at once, and such rows at least and at most. With more, what
# is made of them leaves the cache, and the system is asked for its memory again and again.
_BLOCK_ENTRIES, _FEWEST_ROWS, _MOST_ROWS = 2**15, 512, 1024
# Multiply-adds for each entry that a scoring is fitted to, more or less.
_FITTING = 1000
# Entries of the rows that a scoring learns from, more or less: fewer where features are hidden, as
# each row then takes a pass for each group of them.
_MOST_ENTRIES, _MOST_HIDDEN = 2**26, 2**22
# The standard deviation of normal residuals, as a multiple of the median of their sizes.
_NORMAL = 1.4826
# Standardized entries are clipped here, and distances, with room for sums and squares.
LARGEST, FARTHEST = 1e140, 1e300


class CrossFit(Stored):
    """Autoencoders and their scorings, one of each a fold; the generator draws folds and seeds."""

    def __init__(self, n_folds, generator):
        self.generator = generator
        self.folds = Folds(n_folds)
        seeds = generator.integers(np.iinfo(np.int32).max, size=n_folds)
        self.seeds = [int(seed) for seed in seeds]
        self.fits = [None] * n_folds
        self.scorings = []
        self.deviations = []
        self.baselines = []
        self.narrowing = np.zeros((2, 1))

    def train(self, rows, weight, params, one_pass, n_jobs, tasks=None):
        """Train each net on its fold of distinct rows, `n_jobs` of them at a time.

        `params` returns the parameters of a net for a number of rows. `one_pass` lets the nets go
        on with one pass over the rows. `tasks` are those of the detector's fit, if it has any.
        """
        folds, calls = self.folds.add(rows, self.generator), {}
        for fold, (previous, seed) in enumerate(zip(self.fits, self.seeds, strict=True)):
            own = folds == fold
            if not own.any():
                if previous is not None:
                    continue
                # There are fewer distinct rows than folds.
                own[:] = True
            own_params = params(int(own.sum())) | {"random_state": seed}
            if own_params["checkpoint"] is not None:
                own_params["checkpoint"] = fold_checkpoint(own_params["checkpoint"], fold)
            some, counts = rows[own], weight[own]
            if len(counts) == 1:
                # One row twice, because a fit takes two.
                some, counts = some[[0, 0]], counts.repeat(2) / 2
            settings = Settings(own_params)
            if previous is not None:
                settings = previous.settings.going_on(settings, one_pass)
            calls[fold] = {
                "X": some,
                "sample_weight": counts,
                "settings": settings,
                "previous": previous,
                "one_pass": one_pass,
                "keep_codes": False,
                "tasks": None if tasks is None else tasks.fold(),
            }
        for fold, fit in zip(calls, fit_autoencoders(calls.values(), n_jobs), strict=True):
            self.fits[fold] = fit

    def fit_scorings(self, rows, weight, scoring):
        """Fit a scoring to what each net makes of the rows of its fold.

        One that hides features learns from the other rows, because it is to say how far those are
        from what the net expects of them.

        Returns the distances of the rows, where it is known how they compare with those of others.
        """
        folds = self.folds.find(rows)
        self.scorings = [resolve(Scoring, scoring) for _ in self.fits]
        self.deviations = [None] * len(self.fits)

        def fit(fold):
            own = np.flatnonzero((folds == fold) == (self.scorings[fold].hidden is None))
            if len(own) < 2:
                # A single row has no spread.
                own = np.arange(len(folds))
            most = _MOST_ENTRIES if self.scorings[fold].hidden is None else _MOST_HIDDEN
            own = own[:: 1 + len(own) * rows.shape[1] // most]
            some, model = rows[own], self._model(fold)
            parts = [_residuals(model, _dense(some, part)) for part in _blocks(some)]
            names = ("code", "residual", "loss", "row")
            joined = [torch.cat([getattr(part, name) for part in parts]) for name in names]
            self.scorings[fold].fit(Residuals(*joined), weight[own])
            typical = _typical(joined[1].numpy())
            self.deviations[fold] = model.standardization.scaled(typical)

        map_blocks(fit, range(len(self.fits)), rows.size * _FITTING)
        by_net = self._by_net(rows, folds)
        self.narrowing = narrowing(by_net, folds, weight)
        return self._combined(by_net, folds)

    def fit_baselines(self, rows, weight):
        """Learn what contributions are measured from: the mean of rows, as each net sees them.

        The mean of categories or tokens is no category or token: it is no row of X.
        """
        self.baselines = [
            mean_row(rows, weight, lambda part, model=fit.model: _standardized(model, part).numpy())
            for fit in self.fits
        ]

    def distances(self, X):
        """Return how unusual each row is: the mean over the nets not trained on it.

        That of a training row is moved to what a mean over all nets would be: see `narrowing`.
        """
        folds = self.folds.find(X)
        return self._combined(self._by_net(X, folds), folds)

    def _by_net(self, X, folds):
        """Return the distances of rows by each net, a line for each; 0 where it has seen a row."""
        out = np.zeros((len(self.fits), X.shape[0]))

        def score(part):
            rows = _dense(X, part)
            for fold, (line, scoring) in enumerate(zip(out, self.scorings, strict=True)):
                unseen = folds[part] != fold
                if unseen.any():
                    residuals = _residuals(self._model(fold), rows[unseen])
                    line[part][unseen] = _distance(scoring, residuals).numpy()

        work = sum(map(_work, self.fits, self.scorings))
        map_blocks(score, _blocks(X), X.shape[0] * work)
        return out

    def _model(self, fold):
        """Return a net as its scoring wants it."""
        model, hidden = self.fits[fold].model, self.scorings[fold].hidden
        return model if hidden is None else Hiding(model, hidden)

    def _combined(self, by_net, folds):
        total = np.zeros(len(folds))
        for fold, values in enumerate(by_net):
            total += self._weight(fold, folds) * values
        return total + self._shift(total, folds)

    def _weight(self, fold, folds):
        """Return the weight of a net in the score of each row."""
        n_nets = len(self.fits)
        return np.where(folds < 0, 1 / n_nets, (folds != fold) / (n_nets - 1))

    def _shift(self, distances, folds):
        return np.where(folds < 0, 0.0, np.interp(distances, *self.narrowing))

    def contributions(self, X):
        """Return what each feature adds to the distances, beside a row with nothing unusual."""
        folds = self.folds.find(X)
        total = np.zeros(X.shape)
        with limit_threads(1):
            for fold, scoring in enumerate(self.scorings):
                weight, model = self._weight(fold, folds), self._model(fold)
                for part in _blocks(X):
                    unseen = part.start + np.flatnonzero(weight[part])
                    if not len(unseen):
                        continue
                    rows = _dense(X, unseen)
                    found = _contributions(model, scoring, rows, self.baselines[fold])
                    # the net may see an entry as several values: a token's indicators
                    entries = found.numpy().reshape(*rows.shape, -1).sum(2)
                    total[unseen] += weight[unseen, None] * entries
        return total + spread(self._shift(total.sum(axis=1), folds), total)

    def expected(self, X):
        """Return the reconstructions of rows, and how far features typically are from them.

        Both are means over the nets that were not trained on a row. The latter is 0 where a loss
        prepares rows, so that the nets see something else than the features.
        """
        folds = self.folds.find(X)
        expected, typical = np.zeros(X.shape), np.zeros(X.shape)
        for fold, (fit, deviation) in enumerate(zip(self.fits, self.deviations, strict=True)):
            weight = self._weight(fold, folds)[:, None]
            unseen = np.flatnonzero(weight)
            expected[unseen] += weight[unseen] * self._model(fold).reconstruct(X[unseen])
            if fit.model.loss.preparation.is_identity:
                typical += weight * deviation
        return expected, typical

    def copy(self):
        """Return a copy that can be trained without a change to this one."""
        other = CrossFit.__new__(CrossFit)
        vars(other).update(vars(self), fits=list(self.fits), folds=copy.copy(self.folds))
        other.generator = copy.deepcopy(self.generator)
        return other

    def stored_with(self, callbacks):
        """Return what is stored of this: without callbacks where the detector has none now."""
        other = CrossFit.__new__(CrossFit)
        fits = [fit.stored_with(callbacks) for fit in self.fits]
        vars(other).update(vars(self), fits=fits)
        return other

    def __getstate__(self):
        return vars(self) | {"fits": [fit.to_state() for fit in self.fits]}

    def __setstate__(self, state):
        vars(self).update(state | {"fits": [Fitted.from_state(fit) for fit in state["fits"]]})


def _typical(residuals):
    """Return the typical size of each feature's residuals: 1.48 times the median, or the mean."""
    sizes = np.abs(residuals)
    median = _NORMAL * np.median(sizes, axis=0)
    return np.where(median > 0, median, sizes.mean(axis=0))


def _work(fit, scoring):
    """Return about how many multiply-adds it takes to score a row."""
    parts = [vars(part).values() for part in getattr(scoring, "scorings_", [scoring])]
    arrays = [value for values in parts for value in values if isinstance(value, np.ndarray)]
    n_passes = 1 if scoring.hidden is None else len(scoring.hidden)
    return n_passes * fit.model.n_weights + sum(array.size for array in arrays)


def _blocks(X):
    rows = max(_FEWEST_ROWS, min(_MOST_ROWS, _BLOCK_ENTRIES // X.shape[1]))
    return row_blocks(*X.shape, rows)


def _dense(X, part):
    return np.ascontiguousarray(dense_rows(X, part), dtype=np.float64)


def _standardized(model, rows):
    """Return rows as the net takes them, but none so large that a distance would overflow."""
    with np.errstate(over="ignore"):
        return model.standardized(rows).clamp(-LARGEST, LARGEST)


def _residuals(model, rows):
    x = _standardized(model, rows)
    return model.residuals(model.module.complete(x), torch.isnan(x))


def _distance(scoring, residuals):
    return scoring.distance(residuals).nan_to_num(FARTHEST, FARTHEST, -FARTHEST)


def _contributions(model, scoring, rows, baseline):
    x = _standardized(model, rows)
    missing = torch.isnan(x)
    x = model.module.complete(x)
    if scoring.hidden is not None:
        residuals = model.residuals(x, missing)
        by_group = scoring.by_group(residuals, lambda groups: model.losses(x, missing, groups))
        parts = np.zeros(rows.shape)
        for group, own in zip(scoring.hidden, by_group.numpy().T, strict=True):
            parts[:, group] = own[:, None] / len(group)
        return torch.from_numpy(spread(_distance(scoring, residuals).numpy(), parts))
    baseline = model.module.complete(torch.from_numpy(baseline[None]))

    def distance(rows):
        return _distance(scoring, model.residuals(rows, missing))

    # What is missing does not change along the line, and so contributes nothing.
    return integrated_gradients(distance, x, torch.where(missing, x, baseline))
