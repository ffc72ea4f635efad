"""What is known of the training rows' scores: thresholds and p-values."""

import numpy as np

# Rows of a stream that are kept.
_RECENT = 4096
# Relative distance of a threshold from the scores beside it.
_APART = 1e-8


class RecentRows:
    """The last rows of a stream, to calibrate on."""

    def __init__(self):
        self.rows, self.weight = None, None

    def add(self, rows, weight, generator):
        """Add distinct rows and return those that are kept, with their weights."""
        # They come sorted by value; what is cut off must be any of the oldest.
        order = generator.permutation(len(rows))
        rows, weight = rows[order], weight[order]
        if self.rows is not None:
            rows = np.concatenate([self.rows, rows])
            weight = np.concatenate([self.weight, weight])
        self.rows, self.weight = rows[-_RECENT:], weight[-_RECENT:]
        return self.rows, self.weight


class Calibration:
    """Scores of rows that were not trained on, and how often each counts.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Higher is more normal.
    weight : ndarray of shape (n,)
    """

    def __init__(self, scores, weight):
        order = np.argsort(scores, kind="stable")
        self.scores = scores[order]
        self.reached = np.cumsum(weight[order])

    @property
    def total(self):
        """The weight of all rows."""
        return self.reached[-1]

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

        Parameters
        ----------
        scores : ndarray of shape (n,)
        known : ndarray of shape (n,), bool
            Whether a judged row is one of these rows, and so counted already.
        """
        # A training row is one of these rows, whatever the rounding of its score.
        at = np.searchsorted(self.scores, scores + _APART * np.abs(scores), side="right")
        lower = np.concatenate([[0.0], self.reached])[at]
        extra = np.where(known & (lower > 0), 0, 1)
        return (lower + extra) / (self.total + extra)
