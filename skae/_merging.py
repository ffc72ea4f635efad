"""Which rows a fit is about: distinct ones in a canonical order, and those held out of it."""

import math

import numpy as np
from scipy import sparse

# A dozen rows cannot tell a good epoch from a lucky one.
_FEWEST_VALID = 30
# Bytes of X that are compared at once.
_KEY_BYTES = 2**24
# Seed of the directions that put sparse rows in order.
_DIRECTIONS_SEED = 0


def merge_rows(X, sample_weight):
    """Return where the distinct rows are, in an order of their content alone, and their weights.

    A row with weight two is then the same as the row twice and one with weight zero the same as
    none, to the last bit, whatever the order; and no row is at once trained on and held out.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    index : ndarray of shape (n,)
        The first of the equal rows each.
    weight : ndarray of shape (n,) or None
        None where all weights are equal.
    """
    n_rows = X.shape[0]
    kept = np.arange(n_rows) if sample_weight is None else np.flatnonzero(sample_weight > 0)
    order, starts = (_sparse_order if sparse.issparse(X) else _order)(X, kept)
    rank = np.empty(len(kept), np.intp)
    rank[order] = np.cumsum(starts) - 1
    weight = np.bincount(rank, weights=None if sample_weight is None else sample_weight[kept])
    return kept[order[starts]], None if np.ptp(weight) == 0 else weight


def _order(X, kept):
    """Return the rows' order, from their first column to the last, and where new ones begin.

    The order of the values does not depend on their unit, as that of their bytes would: X and
    1000 X are split alike. Columns are read only as long as there are rows that they can tell
    apart, because X may be larger than the memory.
    """
    order = np.arange(len(kept))
    starts = np.zeros(len(kept), bool)
    starts[:1] = True
    tied, column = np.arange(len(kept)), 0
    while column < X.shape[1] and len(tied):
        width = max(1, _KEY_BYTES // (X.itemsize * len(tied)))
        keys = _sortable(X[kept[order[tied]], column : column + width])
        keys = np.unique(keys, return_inverse=True)[1]
        group = np.cumsum(starts)[tied]
        within = np.lexsort((keys, group))
        order[tied] = order[tied][within]
        keys = keys[within]
        starts[tied[1:]] |= (np.diff(keys) != 0) | (np.diff(group) != 0)
        column += width
        ends = np.append(starts[1:], True)
        tied = np.flatnonzero(~(starts & ends))
    return order, starts


def _sortable(X):
    """Return a key for each row; keys sort as the rows do, from their first column to the last."""
    if X.dtype.kind != "f":
        X = X.astype(np.float64)
    # Adding zero turns -0.0 into 0.0: equal numbers, and from here on equal bytes. NaN has many.
    values = np.ascontiguousarray(X) + X.dtype.type(0)
    values[np.isnan(values)] = np.nan
    bits = values.view(f"u{X.itemsize}")
    top = bits.dtype.type(1) << bits.dtype.type(8 * X.itemsize - 1)
    # As whole numbers, positive floats sort by value and negative ones the other way round.
    bits = np.where(bits & top, ~bits, bits | top).astype(bits.dtype.newbyteorder(">"))
    return bits.view(np.dtype((np.void, X.itemsize * X.shape[1]))).ravel()


def _sparse_order(X, kept):
    """Return the same for sparse rows, whose order is that of their products with directions.

    Two products of 53 bits each tell any rows apart in practice, and one pass makes them.
    """
    directions = np.random.default_rng(_DIRECTIONS_SEED).normal(size=(X.shape[1], 2))
    filled = X.astype(np.float64)
    missing = np.isnan(filled.data)
    filled.data[missing] = 0
    keys = [filled @ directions]
    if missing.any():
        # Where entries are missing tells rows apart, too.
        where = filled.copy()
        where.data = missing.astype(np.float64)
        keys.append(where @ directions)
    keys = np.hstack(keys)[kept]
    order = np.lexsort(keys.T[::-1])
    starts = np.ones(len(kept), bool)
    starts[1:] = (np.diff(keys[order], axis=0) != 0).any(1)
    return order, starts


def split_rows(n_rows, fraction, generator):
    """Return the indices of the rows to train on and of those held out.

    Parameters
    ----------
    n_rows : int
    fraction : float
        The share of the rows to hold out, rounded up; 30 rows at least, or a quarter of all.
    generator : numpy.random.Generator

    Returns
    -------
    train, valid : ndarray of int
    """
    order = generator.permutation(n_rows)
    n_valid = max(math.ceil(fraction * n_rows), min(_FEWEST_VALID, n_rows // 4))
    return np.sort(order[n_valid:]), np.sort(order[:n_valid])
