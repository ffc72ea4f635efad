"""Which rows a fit is about: distinct ones in a canonical order, and those held out of it."""

import math

import numpy as np
from scipy import sparse

# A dozen rows cannot tell a good epoch from a lucky one.
_FEWEST_VALID = 30
# With fewer steps of 64 rows, twice as many of 32 rows end with a lower error.
_FEWEST_STEPS = 400
# What max_iter="auto" aims at: more steps gain little on the benchmark's sets.
_STEPS, _MIN_EPOCHS, _MAX_EPOCHS = 16_000, 10, 200
# Bytes of X that are compared at once.
_KEY_BYTES = 2**24


def merge_rows(X, sample_weight):
    """Return where the distinct rows are, in an order of their content alone, and their weights.

    A row with weight two is then the same as the row twice and one with weight zero the same as
    none, to the last bit, whatever the order; and no row is at once trained on and held out. The
    weights are None where all are equal.
    """
    n_rows = X.shape[0]
    kept = np.arange(n_rows) if sample_weight is None else np.flatnonzero(sample_weight > 0)
    order, starts = _order(_Stored(X) if sparse.issparse(X) else _Columns(X), kept)
    rank = np.empty(len(kept), np.intp)
    rank[order] = np.cumsum(starts) - 1
    weight = np.bincount(rank, weights=None if sample_weight is None else sample_weight[kept])
    return kept[order[starts]], None if np.ptp(weight) == 0 else weight


def _order(rows, kept):
    """Return the rows' order, from their first column to the last, and where new ones begin.

    The order of the values does not depend on their unit, as that of their bytes would: X and
    1000 X are split alike. Columns are read only as long as there are rows that they can tell
    apart, because X may be larger than the memory.
    """
    order = np.arange(len(kept))
    starts = np.zeros(len(kept), bool)
    starts[:1] = True
    tied, start = np.arange(len(kept)), 0
    while start < rows.n_columns and len(tied):
        width = max(1, _KEY_BYTES // (rows.itemsize * len(tied)))
        keys = rows.keys(kept[order[tied]], start, min(start + width, rows.n_columns))
        keys = np.unique(keys, return_inverse=True)[1]
        group = np.cumsum(starts)[tied]
        within = np.lexsort((keys, group))
        order[tied] = order[tied][within]
        keys = keys[within]
        starts[tied[1:]] |= (np.diff(keys) != 0) | (np.diff(group) != 0)
        start += width
        ends = np.append(starts[1:], True)
        tied = np.flatnonzero(~(starts & ends))
    return order, starts


class _Columns:
    """Dense rows, to be compared column by column."""

    def __init__(self, X):
        self.X = X
        self.n_columns = X.shape[1]
        self.itemsize = X.itemsize if X.dtype.kind == "f" else 8

    def keys(self, index, start, stop):
        """Return a key of some columns for each of some rows; keys sort as the rows do."""
        X = self.X[index, start:stop]
        return _joined(_sortable(X if X.dtype.kind == "f" else X.astype(np.float64)))


class _Stored:
    """Sparse rows, to be compared entry by stored entry; they sort as dense ones would.

    The first entry in which two rows differ decides. A positive one makes its row the larger, the
    more the further to the left it stands, for there the other row has a zero; a negative one makes
    it the smaller in the same way.
    """

    def __init__(self, X):
        if not X.data.all():
            X = X.copy()
            X.eliminate_zeros()
        self.X = X
        self.counts = np.diff(X.indptr)
        self.n_columns = int(self.counts.max(initial=0))
        self.itemsize = 16

    def keys(self, index, start, stop):
        """Return a key of some stored entries for each of some rows; keys sort as the rows do."""
        positions = np.arange(start, stop)
        there = positions < self.counts[index][:, None]
        at = np.where(there, self.X.indptr[index].astype(np.int64)[:, None] + positions, 0)
        value = np.where(there, self.X.data[at], 0).astype(np.float64)
        left = np.where(there, float(self.X.shape[1]) - self.X.indices[at], 0)
        # NaN comes last, as among dense rows
        left = np.where(value < 0, -left, left)
        pairs = np.stack([left, value], axis=2)
        return _joined(_sortable(pairs.reshape(len(index), -1)))


def _sortable(X):
    """Return floats as big-endian whole numbers whose bytes sort as the floats do."""
    # Adding zero turns -0.0 into 0.0: equal numbers, and from here on equal bytes. NaN has many.
    values = np.ascontiguousarray(X) + X.dtype.type(0)
    values[np.isnan(values)] = np.nan
    bits = values.view(f"u{X.itemsize}")
    top = bits.dtype.type(1) << bits.dtype.type(8 * X.itemsize - 1)
    # As whole numbers, positive floats sort by value and negative ones the other way round.
    return np.where(bits & top, ~bits, bits | top).astype(bits.dtype.newbyteorder(">"))


def _joined(bits):
    """Return the bytes of each row as one key, which sorts from its first byte to the last."""
    return bits.view(np.dtype((np.void, bits.itemsize * bits.shape[1]))).ravel()


def n_held_out(n_rows, fraction):
    """Return the number of rows that `split_rows` holds out."""
    return max(math.ceil(fraction * n_rows), min(_FEWEST_VALID, n_rows // 4))


def split_rows(n_rows, fraction, generator):
    """Return the indices of the rows to train on and of those held out.

    Of the rows a fraction is held out, rounded up; 30 at least, or a quarter of all.
    """
    order = generator.permutation(n_rows)
    n_valid = n_held_out(n_rows, fraction)
    return np.sort(order[n_valid:]), np.sort(order[:n_valid])


def n_batches(n_rows, batch_size):
    """Return the number of batches of an epoch: full ones, so that no small one is noisy."""
    return max(1, n_rows // batch_size)


def resolve_batch_size(batch_size, n_rows, max_iter):
    """Return the number of rows of a batch; "auto" grows with the number of rows.

    It is 64 at least where this leaves enough steps to learn in, and else 32.
    """
    if batch_size is None:
        return n_rows
    if batch_size == "auto":
        n = n_batches(n_rows, 64)
        smallest = 64 if n * resolve_max_iter(max_iter, n) >= _FEWEST_STEPS else 32
        return min(n_rows, 256, max(smallest, 2 ** math.ceil(math.log2(n_rows / 400))))
    return min(batch_size, n_rows)


def resolve_max_iter(max_iter, n_batches):
    """Return the number of epochs; "auto" stops at as many steps for any number of rows."""
    if max_iter == "auto":
        return max(_MIN_EPOCHS, min(_MAX_EPOCHS, math.ceil(_STEPS / n_batches)))
    return max_iter
