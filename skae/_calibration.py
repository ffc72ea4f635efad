"""What is known of the training rows' scores: thresholds and p-values."""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_CHUNK = 4096
# Rows of a stream that are kept.
_RECENT = 4096
# Relative distance of a threshold from the scores beside it.
_APART = 1e-8


def _mix(bits):
    """Return the bits stirred, by the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return bits ^ (bits >> np.uint64(31))


def row_keys(X):
    """Return a 64-bit key of each row's values, equal for equal rows.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), float64

    Returns
    -------
    keys : ndarray of shape (n,), uint64
    """
    keys = np.empty(len(X), np.uint64)
    columns = _mix(np.arange(1, X.shape[1] + 1, dtype=np.uint64) * _GOLDEN)
    for start in range(0, len(X), _CHUNK):
        part = slice(start, start + _CHUNK)
        # Adding zero turns -0.0 into 0.0.
        bits = (np.ascontiguousarray(X[part]) + 0.0).view(np.uint64)
        keys[part] = _mix(_mix(bits ^ columns).sum(axis=1, dtype=np.uint64))
    return keys


class Folds:
    """Which fold each training row is in, known again by the row's values.

    Parameters
    ----------
    n_folds : int
    """

    def __init__(self, n_folds):
        self.n_folds = n_folds
        self.keys = np.empty(0, np.uint64)
        self.folds = np.empty(0, np.int16)

    def find(self, X):
        """Return the fold of each row, -1 for one that was not trained on."""
        if len(self.keys) == 0:
            return np.full(len(X), -1, np.int16)
        keys = row_keys(X)
        at = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.folds[at], np.int16(-1))

    def add(self, X, generator):
        """Put distinct rows into folds of nearly equal size, known ones into their own."""
        folds = self.find(X)
        new = folds < 0
        # Small chunks would otherwise all begin with the first fold.
        start = generator.integers(self.n_folds) if len(self.keys) else 0
        folds[new] = (generator.permutation(new.sum()) + start) % self.n_folds
        keys = np.concatenate([self.keys, row_keys(X[new])])
        order = np.argsort(keys, kind="stable")
        self.keys = keys[order]
        self.folds = np.concatenate([self.folds, folds[new]])[order]
        return folds


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

    def threshold(self, share):
        """Return a threshold below which at most this share of the rows lies, and nearly as much.

        Between the last row below it and the first one above, it lies where a new row from where
        these rows are from scores below it with a probability of ``share``, if the gap between the
        two is filled evenly. With fewer than ``1 / share`` rows it is at the lowest score.
        """
        last = np.searchsorted(self.reached, share * self.total * (1 + 1e-12), side="right") - 1
        if last < 0:
            return self.scores[0] - _APART * abs(self.scores[0])
        after = min(last + 1, len(self.scores) - 1)
        low, gap = self.scores[last], self.scores[after] - self.scores[last]
        # Rows at the threshold are inliers. It keeps off the scores on both sides by more than
        # their rounding, which depends on the rows that are scored together.
        apart = min(_APART * abs(low), gap / 2)
        into = share * (self.total + 1) - self.reached[last]
        return low + np.clip(into * gap, apart, gap - apart)

    def p_values(self, scores, known):
        """Return the share of rows, each judged one included, that score as low or lower.

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
