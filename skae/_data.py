"""What the net sees of X: distinct rows in a canonical order, scaled, split, in batches."""

import math
from typing import NamedTuple

import numpy as np
import torch

from ._distributed import world

# A dozen rows cannot tell a good epoch from a lucky one.
_FEWEST_VALID = 30


class Rows(NamedTuple):
    """Rows on the device, and their weights relative to the mean weight, or None."""

    x: torch.Tensor
    weight: torch.Tensor | None

    def take(self, index):
        """Return some of the rows."""
        return Rows(self.x[index], None if self.weight is None else self.weight[index])


def merge_rows(X, sample_weight):
    """Return the distinct rows in an order that depends on their content alone, and their weights.

    A row with weight two is then the same as the row twice and one with weight zero the same as
    none, to the last bit, whatever the order; and no row is at once trained on and held out.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    X : ndarray of shape (n, n_features)
    weight : ndarray of shape (n,) or None
        None where all weights are equal.
    """
    if sample_weight is not None:
        kept = sample_weight > 0
        X, sample_weight = X[kept], sample_weight[kept]
    keys = _sortable(X)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    weight = np.bincount(inverse, weights=sample_weight, minlength=len(first))
    return X[first], None if np.ptp(weight) == 0 else weight


def _sortable(X):
    """Return a key for each row; keys sort as the rows do, from their first column to the last.

    The order of the values does not depend on their unit, as that of their bytes would: X and
    1000 X are split alike.
    """
    # Adding zero turns -0.0 into 0.0: equal numbers, and from here on equal bytes.
    bits = (np.ascontiguousarray(X) + X.dtype.type(0)).view(f"u{X.itemsize}")
    top = bits.dtype.type(1) << bits.dtype.type(8 * X.itemsize - 1)
    # As whole numbers, positive floats sort by value and negative ones the other way round.
    bits = np.where(bits & top, ~bits, bits | top).astype(bits.dtype.newbyteorder(">"))
    return bits.view(np.dtype((np.void, X.itemsize * X.shape[1]))).ravel()


def centre_and_scale(X, weight):
    """Return the mean, one global scale, and the rows centred and divided by it.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        NaN is not there, and stays NaN.
    weight : ndarray of shape (n,) or None

    Returns
    -------
    mean : ndarray of shape (n_features,)
        In float64.
    scale : float
        The root of the mean variance of the features; 1 where X is constant.
    x : ndarray of shape (n, n_features)
    """
    missing = np.isnan(X)
    if missing.any():
        return _centre_and_scale_observed(X, weight, ~missing)
    largest = max(abs(float(X.max())), abs(float(X.min())))
    # Division first: the squares of numbers above 1e154 do not fit in a float64.
    unit = largest or 1.0
    mean = np.average(X / unit, axis=0, weights=weight) * unit
    x = X - mean
    variance = np.average((x / unit) ** 2, axis=0, weights=weight).mean()
    return _scale(x, mean, math.sqrt(variance) * unit, largest, X.dtype)


def _centre_and_scale_observed(X, weight, observed):
    """Do the same with entries that are not there, which stay NaN and count for nothing."""
    counts = observed * (np.ones(len(X)) if weight is None else weight)[:, None]
    largest = float(np.nanmax(np.abs(X)))
    unit = largest or 1.0
    total = counts.sum(0)
    filled = np.where(observed, X, 0)
    mean = ((filled / unit) * counts).sum(0) / np.where(total > 0, total, 1) * unit
    x = X - mean
    variance = (np.nan_to_num(x / unit) ** 2 * counts).sum() / total.sum()
    return _scale(x, mean, math.sqrt(variance) * unit, largest, X.dtype)


def _scale(x, mean, scale, largest, dtype):
    if scale <= 10 * np.finfo(dtype).eps * largest:
        # What is left of a constant X is rounding; NaN stays.
        return mean, 1.0, (0 * x).astype(dtype)
    return mean, scale, (x / scale).astype(dtype)


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


def some_rows(x, n_rows):
    """Return at most that many rows, evenly spaced."""
    return x[:: -(-len(x) // n_rows)]


def to_device(x, weight, device):
    """Return rows and weights as `Rows` in float32."""
    if weight is not None:
        weight = torch.as_tensor(weight / weight.mean(), dtype=torch.float32, device=device)
    return Rows(torch.as_tensor(x, dtype=torch.float32, device=device), weight)


def batches(rows, batch_size, generator):
    """Yield this process's share of batches of nearly equal size, in random order."""
    n_rows = len(rows.x)
    order = torch.randperm(n_rows, generator=generator)
    for index in order.tensor_split(n_batches(n_rows, batch_size)):
        yield rows.take(world().share(index).to(rows.x.device))


def n_batches(n_rows, batch_size):
    """Return the number of batches of an epoch: full ones, so that no small one is noisy."""
    return max(1, n_rows // batch_size)
