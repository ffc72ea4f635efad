"""Folds of training rows, which are recognised by their values, also after rounding."""

import numpy as np

from .._data.rows import dense_rows, mean_row, row_blocks
from .._utils.stored import Stored
from .._utils.torch import map_blocks

# Rows whose keys are computed at once.
_BLOCK_ROWS = 4096
# Rows of earlier calls whose folds are remembered.
_REMEMBERED = 2**16
# Rows that the features' scales are taken from, more or less.
_SCALE_ROWS = 4096
# Numbers in a key, and neighbours on each side that a row is compared with.
KEY_WIDTH, NEIGHBOURS = 4, 4
# How far the keys of a row and of its copy in float32 may be apart, times the root of the number of
# features: some six standard deviations of what that rounding makes of a key.
_TOLERANCE = 2e-7
# Features whose mean is more than so many standard deviations lose too much in float32.
_LARGEST_MEAN = 1e4
# Relative deviations from the mean that are rounding.
_CONSTANT = 1e-9


class RowKeys(Stored):
    """Keys of rows: a few random sums of their entries, which rounding changes next to nothing.

    Keys of rounded values would differ where rounding takes one entry across the border between two
    of them, as it does in most of the rows of a wide table. The inverse hyperbolic sine keeps what
    float32 does to large entries as small as what it does to the others.
    """

    def __init__(self, X):
        n_rows, n_features = X.shape
        X = X[:: 1 + n_rows // _SCALE_ROWS]
        size = np.zeros(n_features)
        for part in row_blocks(*X.shape):
            size = np.fmax(size, np.fmax.reduce(np.abs(dense_rows(X, part)), axis=0))
        size[size == 0] = 1.0
        weight = np.ones(X.shape[0])
        mean = mean_row(X, weight, lambda rows: rows / size)
        square = mean_row(X, weight, lambda rows: (rows / size) ** 2)
        deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
        scale = np.minimum(_LARGEST_MEAN * deviation, np.sqrt(square))
        scale[deviation <= _CONSTANT] = 1.0
        self.size, self.mean, self.scale = size, mean, scale
        self.directions = np.random.default_rng(0).normal(size=(n_features, KEY_WIDTH))
        self.tolerance = _TOLERANCE * np.sqrt(n_features)

    def __call__(self, X):
        """Return the keys of rows, an array of shape (n_samples, n_numbers)."""
        keys = np.empty((X.shape[0], KEY_WIDTH))

        def fill(part):
            with np.errstate(over="ignore"):
                x = np.arcsinh((dense_rows(X, part) / self.size - self.mean) / self.scale)
            # What overflows is far from all rows, and what is missing is like no other entry.
            keys[part] = np.nan_to_num(x, nan=-np.pi, posinf=1e3, neginf=-1e3) @ self.directions

        map_blocks(fill, row_blocks(*X.shape, _BLOCK_ROWS), keys.size * X.shape[1])
        return keys


class Folds(Stored):
    """Which fold each training row is in.

    A row is recognised after a cast to float32, too. Of the rows of earlier calls of `add` the
    latest 65,536 are remembered; those that are forgotten count as new.
    """

    def __init__(self, n_folds):
        self.n_folds = n_folds
        self.row_keys = None
        # In the order of the first number of the keys; `call` says in which call a row came last.
        self.keys = np.empty((0, KEY_WIDTH))
        self.folds = np.empty(0, np.int16)
        self.call = np.empty(0, np.int64)

    def find(self, X):
        """Return the fold of each row, -1 for one that was not trained on."""
        return self._folds_at(self._look_up(self.row_keys(X)))

    def _folds_at(self, at):
        return np.append(self.folds, np.int16(-1))[at]

    def _look_up(self, keys):
        """Return where the row is that equals each row but for rounding, -1 if there is none."""
        found = np.full(len(keys), -1)
        if len(self.keys) == 0:
            return found
        first = np.pad(self.keys[:, 0], 1, constant_values=(-np.inf, np.inf))
        start = np.searchsorted(self.keys[:, 0], keys[:, 0])
        # Few new rows are near a known one by the first number already.
        gap = np.minimum(keys[:, 0] - first[start], first[start + 1] - keys[:, 0])
        near = np.flatnonzero(gap < self.row_keys.tolerance)
        keys, start = keys[near], start[near]
        nearest = np.full(len(near), self.row_keys.tolerance)
        for step in range(-NEIGHBOURS, NEIGHBOURS):
            at = (start + step).clip(0, len(self.keys) - 1)
            distance = np.abs(self.keys[at] - keys).max(axis=1)
            closer = distance < nearest
            found[near[closer]], nearest[closer] = at[closer], distance[closer]
        return found

    def add(self, X, generator):
        """Put distinct rows into folds of nearly equal size, known ones into their own."""
        if self.row_keys is None:
            self.row_keys = RowKeys(X)
        keys = self.row_keys(X)
        at = self._look_up(keys)
        folds, new = self._folds_at(at), at < 0
        # Small chunks would otherwise all begin with the first fold.
        start = generator.integers(self.n_folds) if len(self.keys) else 0
        drawn = (generator.permutation(new.sum()) + start) % self.n_folds
        # A row and its rounded copy are neighbours, and belong together.
        added = keys[new]
        order = np.argsort(added[:, 0], kind="stable")
        repeated = np.abs(np.diff(added[order], axis=0)).max(axis=1) < self.row_keys.tolerance
        drawn[order[1:][repeated]] = drawn[order[:-1][repeated]]
        folds[new] = drawn
        # A copy of this object shares the arrays: they must stay as they are.
        call, now = self.call.copy(), self.call.max(initial=0) + 1
        call[at[~new]] = now
        call = np.append(call, np.full(len(added), now))
        kept = np.argsort(-call, kind="stable")[: X.shape[0] + _REMEMBERED]
        keys = np.concatenate([self.keys, added])[kept]
        order = np.argsort(keys[:, 0], kind="stable")
        self.keys, self.call = keys[order], call[kept][order]
        self.folds = np.append(self.folds, folds[new])[kept][order]
        return folds
