"""What the net sees of X: rows made dense, centred and scaled, some at a time."""

import copy
import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from ._distributed import world

# Entries and rows that are computed with at once: what keeps a net's layers in the cache, and the
# memory beside X small.
_BLOCK_ENTRIES, _BLOCK_ROWS = 2**22, 4096
# The same where rows pass a few cheap steps; fewer rows would make products with weights slow.
_CACHED_ENTRIES, _FEWEST_ROWS = 2**18, 256
# Bytes of a float32 copy of X that is made to be read faster; a larger X is read a batch at a time.
_HELD_BYTES = 2**27
# The share of a device's free memory that such a copy may take there.
_DEVICE_SHARE = 0.5


def is_small(X, shape=None):
    """Return whether a copy of X, or rows of a shape that are made of it, may be held."""
    return not sparse.issparse(X) and _bytes_held(shape or X.shape) <= _HELD_BYTES


def _bytes_held(shape):
    return 4 * math.prod(shape)


class Rows(NamedTuple):
    """Rows on the device, and their weights relative to the mean weight, or None."""

    x: torch.Tensor
    weight: torch.Tensor | None


def row_blocks(n_rows, n_features, block_rows=_BLOCK_ROWS):
    """Yield slices that cut rows into blocks of bounded size."""
    step = max(1, min(block_rows, _BLOCK_ENTRIES // max(1, n_features)))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def cached_blocks(n_rows, n_features):
    """Yield slices that cut rows into blocks that stay in the cache, but for very wide ones."""
    rows = max(_FEWEST_ROWS, min(_BLOCK_ROWS, _CACHED_ENTRIES // n_features))
    return row_blocks(n_rows, n_features, rows)


def float_type(X):
    """Return the float type in which X is computed with: its own, or float64."""
    return X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)


def dense_rows(X, part):
    """Return some rows of a dense or sparse X as a dense array of floats."""
    rows = X[part]
    rows = rows.toarray() if sparse.issparse(rows) else rows
    # Products of columns that lie apart have other last bits.
    return np.asarray(rows, dtype=float_type(X), order="C")


class Table:
    """Rows of X as the net sees them, made some at a time: X itself is never copied whole.

    Parameters
    ----------
    X : ndarray, possibly memory-mapped, or CSR matrix, of shape (n_samples, n_features)
    index : ndarray of shape (n,)
        Which rows, in which order.
    weight : ndarray of shape (n,) or None
    loss : Loss
        Prepares the rows.

    Attributes
    ----------
    weight : ndarray of shape (n,) or None
        With what the loss adds to it.
    as_it_is : bool
        Whether the loss leaves the rows as they are.
    """

    def __init__(self, X, index, weight, loss):
        # Without the class of a memory map, whose every view costs some microseconds.
        self.X = X if sparse.issparse(X) else np.asarray(X)
        self.index = index
        self.loss = loss
        rows = dense_rows(X, index[:1])
        first, totals = loss.prepare(rows)
        self.as_it_is = first is rows
        self.n_features = first.shape[1]
        self.dtype = first.dtype
        if totals is not None:
            totals = np.concatenate([loss.prepare(self._dense(p))[1] for p in self.blocks()])
            weight = totals if weight is None else totals * weight
        self.weight = weight
        relative = None if weight is None else weight / weight.mean()
        self._relative = None if weight is None else torch.as_tensor(relative, dtype=torch.float32)
        self._held = None
        self._device = torch.device("cpu")

    def __len__(self):
        return len(self.index)

    @property
    def small(self):
        """Whether copies of the rows may be made."""
        return is_small(self.X, (len(self), self.n_features))

    def blocks(self, block_rows=_BLOCK_ROWS):
        """Yield slices that cut the rows into blocks."""
        return row_blocks(len(self), self.n_features, block_rows)

    @cached_property
    def missing(self):
        """The share of the entries that are NaN; counted once, because all rows are read for it."""
        count = sum(int(np.isnan(self._dense(part)).sum()) for part in self.blocks())
        return count / math.prod((len(self), self.X.shape[1]))

    def _dense(self, part):
        rows = self.index[part]
        if sparse.issparse(self.X):
            return dense_rows(self.X, rows)
        return self.X.take(rows, axis=0).astype(float_type(self.X), copy=False)

    def _prepared(self, part):
        return self.loss.prepare(self._dense(part))[0]

    # -- centred and scaled ----------------------------------------------------------------------

    def place(self, mean, scale, constant=False):
        """Centre and scale the rows from now on."""
        self.mean, self.scale, self.constant = mean, scale, constant
        self._centre = torch.as_tensor(mean, dtype=torch.float64)
        return self

    def centre(self):
        """Centre and scale the rows by their own mean and one global scale.

        Returns
        -------
        mean : ndarray of shape (n_features,)
            In float64.
        scale : float
            The root of the mean variance of the features; 1 where X is constant.
        """
        parts = [slice(None)] if self.small else list(self.blocks())
        largest = max(np.fmax.reduce(np.abs(self._prepared(part)), None) for part in parts)
        if np.isnan(largest):
            raise ValueError("X holds nothing but NaN.")
        largest = float(largest)
        # Division first: the squares of numbers above 1e154 do not fit in a float64.
        unit = largest or 1.0
        total, count = self._sums(parts, lambda x: x / unit)
        mean = total / np.where(count > 0, count, 1) * unit
        total, count = self._sums(parts, lambda x: ((x - mean) / unit) ** 2)
        variance = (total / np.where(count > 0, count, 1)).mean()
        scale = math.sqrt(variance) * unit
        # What is left of a constant X is rounding.
        constant = scale <= 10 * np.finfo(self.dtype).eps * largest
        self.place(mean, 1.0 if constant else scale, constant)
        return self.mean, self.scale

    def _sums(self, parts, function):
        """Return the weighted sums of a function of each feature's entries, and their weights."""
        total, count = np.zeros(self.n_features), np.zeros(self.n_features)
        for part in parts:
            x = self._prepared(part)
            values = function(x)
            weight = None if self.weight is None else self.weight[part][:, None]
            observed = ~np.isnan(x)
            if observed.all():
                n = len(x) if weight is None else weight.sum()
            else:
                n = (observed if weight is None else observed * weight).sum(0)
                values = np.where(observed, values, 0)
            total += (values if weight is None else values * weight).sum(0, dtype=np.float64)
            count += n
        return total, count

    def array(self, part=slice(None)):
        """Return some rows as the net sees them, in X's own float type."""
        return self._placed(part, torch.from_numpy(np.empty(0, self.dtype)).dtype).numpy()

    def _placed(self, part, dtype):
        """Return some rows centred and scaled: in float64, and rounded once."""
        if sparse.issparse(self.X) and self.as_it_is:
            return self._scattered(self.X[self.index[part]], dtype)
        x = torch.from_numpy(self._prepared(part)).double()
        return self._relative_to_mean(x, self._centre).to(dtype)

    def _relative_to_mean(self, x, mean):
        x = x.sub_(mean).div_(self.scale)
        # 0 times NaN stays NaN.
        return x.mul_(0) if self.constant else x

    def _scattered(self, rows, dtype):
        """Return sparse rows centred and scaled: most entries are those of a row of zeros."""
        zeros = torch.zeros(self.n_features, dtype=torch.float64)
        empty = self._relative_to_mean(zeros, self._centre).to(dtype)
        x = empty.expand(rows.shape[0], -1).clone()
        columns = torch.from_numpy(rows.indices.astype(np.int64))
        lines = torch.from_numpy(np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)))
        values = torch.from_numpy(rows.data.astype(np.float64))
        x[lines, columns] = self._relative_to_mean(values, self._centre[columns]).to(dtype)
        return x

    def extremes(self):
        """Return the least and the largest value of each feature, as the net sees them."""
        low, high = np.full(self.n_features, np.inf), np.full(self.n_features, -np.inf)
        for part in self.blocks():
            x = self.array(part)
            low, high = np.fmin(low, np.fmin.reduce(x)), np.fmax(high, np.fmax.reduce(x))
        seen = low <= high
        # A feature that is missing everywhere is at its mean.
        return np.where(seen, low, 0), np.where(seen, high, 0)

    # -- parts -----------------------------------------------------------------------------------

    def take(self, index):
        """Return some of the rows as a table of their own."""
        table = copy.copy(self)
        vars(table).pop("missing", None)
        table.index = self.index[index]
        table._held = None if self._held is None else self._held[index]
        if self.weight is not None:
            table.weight, table._relative = self.weight[index], self._relative[index]
        return table

    def some(self, n_rows):
        """Return at most that many rows, evenly spaced."""
        return self.take(slice(None, None, -(-len(self) // n_rows)))

    def hold(self, device):
        """Serve batches on a device, from a float32 copy of the rows where that fits."""
        self._device = torch.device(device)
        room = self.small
        if self._device.type == "cuda":
            free = torch.cuda.mem_get_info(self._device)[0]
            room = _bytes_held((len(self), self.n_features)) <= _DEVICE_SHARE * free
        if room:
            self._held = torch.empty((len(self), self.n_features), device=self._device)
            for part in self.blocks():
                self._held[part] = self._tensor(part)
        if self.weight is not None:
            self._relative = self._relative.to(self._device)
        return self

    def batch(self, part):
        """Return some rows, by a slice or a tensor of places, as `Rows`."""
        there = part.to(self._device) if isinstance(part, torch.Tensor) else part
        if self._held is not None:
            x = _taken(self._held, there)
        else:
            x = self._tensor(part.numpy() if isinstance(part, torch.Tensor) else part)
        return Rows(x, None if self._relative is None else _taken(self._relative, there))

    def _tensor(self, part):
        return self._placed(part, torch.float32).to(self._device)


def _taken(tensor, part):
    # as tensor[part], which takes three times as long
    return tensor.index_select(0, part) if isinstance(part, torch.Tensor) else tensor[part]


def batches(table, batch_size, generator):
    """Yield this process's share of batches of nearly equal size, in random order."""
    order = torch.randperm(len(table), generator=generator)
    for index in order.tensor_split(n_batches(len(table), batch_size)):
        yield table.batch(world().share(index))


def n_batches(n_rows, batch_size):
    """Return the number of batches of an epoch: full ones, so that no small one is noisy."""
    return max(1, n_rows // batch_size)
