"""Parts of the training rows, known again by the rows' values."""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
# Rows whose bits are stirred at once.
_CHUNK = 4096


def _mix(bits):
    """Return the bits stirred, by the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return bits ^ (bits >> np.uint64(31))


def row_keys(X):
    """Return a 64-bit key of each row's values, equal for equal rows.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Compared as float64.

    Returns
    -------
    keys : ndarray of shape (n,), uint64
    """
    keys = np.empty(len(X), np.uint64)
    columns = _mix(np.arange(1, X.shape[1] + 1, dtype=np.uint64) * _GOLDEN)
    for start in range(0, len(X), _CHUNK):
        part = slice(start, start + _CHUNK)
        # Adding zero turns -0.0 into 0.0. NaN has many bits, too.
        values = np.ascontiguousarray(X[part], dtype=np.float64) + 0.0
        values[np.isnan(values)] = np.nan
        bits = values.view(np.uint64)
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
