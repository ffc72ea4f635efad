"""What is known of the training rows' scores: thresholds and p-values."""

from typing import NamedTuple

import numpy as np

# Rows of a stream that are kept.
_RECENT = 4096
# Relative distance of a threshold from the scores beside it.
_APART = 1e-8


class RecentRows(NamedTuple):
    """The last distinct rows of a stream, to calibrate on, and how often each counts."""

    rows: np.ndarray
    weight: np.ndarray

    @classmethod
    def after(cls, previous, rows, weight, generator):
        """Return what is kept where new rows follow the previous ones, which may be None."""
        # They come sorted by value; what is cut off must be any of the oldest.
        order = generator.permutation(len(rows))
        rows, weight = rows[order], weight[order]
        if previous is not None:
            rows = np.concatenate([previous.rows, rows])
            weight = np.concatenate([previous.weight, weight])
        return cls(rows[-_RECENT:], weight[-_RECENT:])


class Calibration:
    """Scores of rows that were not trained on, higher being more normal, and their weights."""

    def __init__(self, scores, weight):
        order = np.argsort(scores, kind="stable")
        self.scores = scores[order]
        self.reached = np.cumsum(weight[order])
        self.total = self.reached[-1]

    def threshold(self, fraction):
        """Return a threshold below which this fraction of the rows lies, or a little less.

        Between the last row below it and the first one above, it lies where a new row from the
        same distribution scores below it with a probability of ``fraction``, if the gap between the
        two is filled evenly. With fewer than ``1 / fraction`` rows it is at the lowest score.
        """
        last = np.searchsorted(self.reached, fraction * self.total * (1 + 1e-12), side="right") - 1
        if last < 0:
            return self.scores[0] - _APART * abs(self.scores[0])
        after = min(last + 1, len(self.scores) - 1)
        low, gap = self.scores[last], self.scores[after] - self.scores[last]
        # Rows at the threshold are inliers. It keeps off the scores on both sides by more than
        # their rounding, which depends on the rows that are scored together.
        apart = min(_APART * abs(low), gap / 2)
        into = fraction * (self.total + 1) - self.reached[last]
        return low + np.clip(into * gap, apart, gap - apart)

    def p_values(self, scores, known):
        """Return the fraction of rows, each judged one included, that score as low or lower.

        `known` says of each judged row whether it is one of these rows, and so counted already.
        """
        # A training row is one of these rows, whatever the rounding of its score.
        at = np.searchsorted(self.scores, scores + _APART * np.abs(scores), side="right")
        lower = np.concatenate([[0.0], self.reached])[at]
        extra = np.where(known & (lower > 0), 0, 1)
        return (lower + extra) / (self.total + extra)
