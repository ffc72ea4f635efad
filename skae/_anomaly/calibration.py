"""What is known of the training rows' scores: thresholds and p-values."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.isotonic import isotonic_regression

from .._utils.stored import Stored
from .._utils.validation import vstack

# Rows of a stream that are kept.
_RECENT = 4096
# By how much rounding may change a score: relative to it, and in itself.
ROUNDING, SMALLEST = 1e-8, 1e-12
# How much closer together distances may be taken.
_LEAST_SLOPE = 0.1
# The least weight, as a multiple of the largest one.
_LEAST_WEIGHT = 1e-30


@dataclass
class RecentRows(Stored):
    """The last distinct rows of a stream, to calibrate on, and how often each counts."""

    rows: np.ndarray | sparse.csr_array
    weight: np.ndarray

    @classmethod
    def after(cls, previous, rows, weight, generator):
        """Return what is kept where new rows follow the previous ones, which may be None."""
        # They come sorted by value; what is cut off must be any of the oldest.
        order = generator.permutation(len(weight))
        rows, weight = rows[order], weight[order]
        if previous is not None:
            rows = vstack(previous.rows, rows)
            weight = np.concatenate([previous.weight, weight])
        return cls(rows[-_RECENT:], weight[-_RECENT:])

    def __getstate__(self):
        # arrays, as skops does not trust sparse matrices
        state = dict(vars(self))
        if sparse.issparse(self.rows):
            names = ("data", "indices", "indptr")
            state["rows"] = [getattr(self.rows, name) for name in names], self.rows.shape
        return state

    def __setstate__(self, state):
        vars(self).update(state)
        if isinstance(self.rows, tuple):
            self.rows = sparse.csr_array(tuple(self.rows[0]), shape=self.rows[1])


def _rounding(scores):
    return ROUNDING * np.abs(scores) + SMALLEST


def proportions(weight):
    """Return weights as multiples of the least of them, the same bits whatever their unit."""
    weight = np.maximum(weight, _LEAST_WEIGHT * weight.max())
    return (weight / weight.min()).astype(np.float32).astype(np.float64)


def narrowing(distances, folds, weight):
    """Return what takes means over all nets but one to the quantiles of means over all.

    The result has some of the former, sorted, and what is to be added to each. A training row is
    scored by one net less than a new row, and the tail of its distance is heavier for it. To first
    order in the variance between nets, a quantile of the means over m nets is linear in 1 / m:
    single nets and the means over all but one show how it goes on. `distances` are those of all
    training rows by each net, of shape (n_nets, n_rows).
    """
    n_nets = len(distances)
    if n_nets == 2 or not np.isfinite(distances).all():
        return np.zeros((2, 1))
    others = (folds + np.arange(1, n_nets)[:, None]) % n_nets
    single = np.take_along_axis(distances, others, axis=0)
    mean, level, weight_of = _quantiles(single.mean(axis=0), weight)
    alone = 0.0
    for values, its_level, _ in (_quantiles(net, weight) for net in single):
        alone += np.interp(level, its_level, values) / len(single)
    narrowed = mean + (mean - alone) / (n_nets * (n_nets - 2))
    # Sampling errors must neither change the order nor make two distances one.
    least = _LEAST_SLOPE * mean
    shift = isotonic_regression(narrowed - least, sample_weight=weight_of) + least - mean
    # Equal distances have one shift, whatever their rounding.
    first = np.flatnonzero(np.diff(mean, prepend=-np.inf) > _rounding(mean))
    shift = np.add.reduceat(shift * weight_of, first) / np.add.reduceat(weight_of, first)
    return np.stack([mean[first], shift])


def _quantiles(values, weight):
    """Return sorted values, the levels that they are quantiles of, and their weights."""
    order = np.argsort(values, kind="stable")
    weight = weight[order]
    return values[order], (np.cumsum(weight) - weight / 2) / weight.sum(), weight


class Calibration(Stored):
    """Scores of rows that were not trained on, higher being more normal, and their weights.

    Only the proportions of the weights count. They are made to add up to the effective number of
    rows, the exponential of the entropy of their proportions: the number of rows where all are
    equal, and a single row that was there very often does not make the others count for nothing, as
    it would in (sum w)^2 / sum(w^2).
    """

    def __init__(self, scores, weight):
        order = np.argsort(scores, kind="stable")
        self.scores = scores[order]
        relative = weight / weight.mean()
        effective = len(weight) * np.exp(-np.mean(relative * np.log(relative)))
        self.reached = np.cumsum(weight[order] * (effective / weight.sum()))
        self.total = self.reached[-1]

    def threshold(self, fraction):
        """Return a threshold below which this fraction of the rows lies, or a little less.

        Between the last row below it and the first one above, it lies where a new row from the
        same distribution scores below it with a probability of ``fraction``, if the gap between the
        two is filled evenly. With fewer than ``1 / fraction`` rows it is at the lowest score.
        """
        last = np.searchsorted(self.reached, fraction * self.total * (1 + 1e-12), side="right") - 1
        if last < 0:
            return self.scores[0] - _rounding(self.scores[0])
        after = min(last + 1, len(self.scores) - 1)
        low, gap = self.scores[last], self.scores[after] - self.scores[last]
        # It keeps off the scores on both sides by more than their rounding, which depends on the
        # rows that are scored together. Rows with equal scores are inliers together.
        apart = _rounding(low)
        if gap <= 2 * apart:
            return low - apart
        into = fraction * (self.total + 1) - self.reached[last]
        return low + np.clip(into * gap, apart, gap - apart)

    def counts(self, scores):
        """Return how many of these rows score as low as each score or lower, and all of them.

        They are whole numbers, rounded to the side of fewer anomalies.
        """
        at = np.searchsorted(self.scores, scores + _rounding(scores), side="right")
        total = int(self.total + ROUNDING)
        reached = np.ceil(np.append(0.0, self.reached)[at] - ROUNDING)
        return np.minimum(reached, total).astype(int), total

    def p_values(self, scores, known):
        """Return the fraction of rows, each judged one included, that score as low or lower.

        `known` says of each judged row whether it is one of these rows, and so counted already.
        Between two of these rows the fraction grows evenly, as for `threshold`.
        """
        # A training row is one of these rows, whatever the rounding of its score.
        at = np.searchsorted(self.scores, scores + _rounding(scores), side="right")
        lower = np.append(0.0, self.reached)[at]
        inside = (at > 0) & (at < len(self.scores))
        low, high = self.scores[at[inside] - 1], self.scores[at[inside]]
        part = np.ones(len(scores))
        part[inside] = np.clip((scores[inside] - low) / (high - low), 0, 1)
        known = known & (lower > 0)
        return np.where(known, lower / self.total, (lower + part) / (self.total + 1))
