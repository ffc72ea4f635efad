"""Rows of X as the net sees them: made dense, prepared, standardized, some at a time."""

import copy
import math
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import torch
from scipy import sparse
from torch.utils.data import Dataset

from .._utils.validation import float_type
from .selection import n_batches

# Entries and rows that are computed with at once: what keeps the memory beside X small.
_BLOCK_ENTRIES, _BLOCK_ROWS = 2**22, 4096
# The same where rows pass a few cheap steps, whose layers then stay in the cache; fewer rows would
# make products with weights slow.
_CACHED_ENTRIES, _FEWEST_ROWS = 2**18, 256
# Bytes of a float32 copy of X that is made to be read faster; a larger X is read a batch at a time.
_HELD_BYTES = 2**27
# The fraction of a device's free memory that such a copy may take there.
_DEVICE_FRACTION = 0.5
# Rows may be so many standard deviations away that float32 has no squares.
_FARTHEST = 1e15


def is_small(X, shape=None):
    """Return whether a copy of X, or rows of a shape that are made of it, may be held."""
    return not sparse.issparse(X) and _bytes_held(shape or X.shape) <= _HELD_BYTES


def _bytes_held(shape):
    return 4 * math.prod(shape)


def row_blocks(n_rows, n_features, block_rows=_BLOCK_ROWS):
    """Return slices that cut rows into blocks of bounded size."""
    step = max(1, min(block_rows, _BLOCK_ENTRIES // max(1, n_features)))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def cached_blocks(n_rows, n_features):
    """Return slices that cut rows into blocks that stay in the cache, but for very wide ones."""
    rows = max(_FEWEST_ROWS, min(_BLOCK_ROWS, _CACHED_ENTRIES // n_features))
    return row_blocks(n_rows, n_features, rows)


def dense_rows(X, part):
    """Return some rows of a dense or sparse X as a dense array of floats."""
    rows = X[part]
    rows = rows.toarray() if sparse.issparse(rows) else rows
    # Products of columns that lie apart have other last bits.
    return np.asarray(rows, dtype=float_type(X), order="C")


class Standardization:
    """Centre features by their means and divide all of them by one scale.

    Deviations from the mean up to `rounding` are zero: in a constant X they are nothing else.
    """

    def __init__(self, mean, scale, rounding=0.0):
        self.mean = mean
        self.scale = scale
        self.rounding = rounding

    def transform(self, x, columns=slice(None)):
        """Return rows, or entries of some columns, standardized, in float64."""
        x = np.subtract(x, self.mean[columns], dtype=np.float64)
        if self.rounding:
            x[np.abs(x) <= self.rounding] = 0.0
        x /= self.scale
        return x

    def inverse_transform(self, x):
        """Return standardized rows in the units of X, in their own float type."""
        return self.scaled(x) + self.mean.astype(x.dtype, copy=False)

    def scaled(self, x):
        """Return deviations from the mean in the units of X, in their own float type."""
        scale, most = np.asarray(self.scale, x.dtype), np.finfo(x.dtype).max
        if scale > most**0.5:
            # What a badly trained net makes of them need not fit in the type; neither then do sums.
            most = most / 4 / scale
            x = x.clip(-most, most)
        return x * scale


@dataclass
class Moments:
    """The counts, the means and the variances of features, these in units of `largest` squared.

    `largest` is the largest of all values, `eps` the relative error of their float type.
    """

    count: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    largest: float
    n_entries: int
    eps: float

    def standardization(self):
        """Return the features' means and the root of their mean variance."""
        scale = math.sqrt(self.variance.mean()) * (self.largest or 1.0)
        # What is left of a constant X is rounding.
        rounding = 10 * self.eps * self.largest
        if scale <= max(rounding, np.finfo(np.float64).tiny):
            return Standardization(self.mean, 1.0, rounding * math.sqrt(self.n_entries))
        return Standardization(self.mean, scale)

    def plus(self, other):
        """Return the moments of these rows and some others together."""
        largest = max(self.largest, other.largest)
        unit = largest or 1.0
        count = self.count + other.count
        fraction = other.count / np.where(count > 0, count, 1)
        shift = other.mean - self.mean
        variance = (1 - fraction) * self.variance * (self.largest / unit) ** 2
        variance += fraction * other.variance * (other.largest / unit) ** 2
        variance += fraction * (1 - fraction) * (shift / unit) ** 2
        return Moments(
            count,
            self.mean + fraction * shift,
            variance,
            largest,
            self.n_entries + other.n_entries,
            max(self.eps, other.eps),
        )


class Rows(Dataset):
    """Rows of X as the net sees them, made some at a time: X itself is never copied whole.

    Parameters
    ----------
    X : ndarray, possibly memory-mapped, or CSR matrix, of shape (n_samples, n_features)
    index : ndarray of shape (n,)
        Which rows, in which order.
    weight : ndarray of shape (n,) or None
        The attribute also has what the preparation adds to it.
    preparation : skae.losses.Preparation
        Fitted.
    standardization : Standardization or None
        None: it is fitted to these rows.
    """

    def __init__(self, X, index, weight, preparation, standardization=None):
        # Without the class of a memory map, whose every view costs some microseconds.
        self.X = X if sparse.issparse(X) else np.asarray(X)
        self.index = index
        # What is to be reconstructed of each row, as rows of their own, where it is not the row.
        self.clean = None
        self.preparation = preparation
        first, totals = preparation.transform(dense_rows(X, index[:1]))
        self.n_features = first.shape[1]
        self.dtype = first.dtype
        if totals is not None:
            parts = [preparation.transform(self._dense(part))[1] for part in self.blocks()]
            totals = np.concatenate(parts)
            weight = totals if weight is None else totals * weight
        self.weight = weight
        relative = None if weight is None else weight / weight.mean()
        self._relative = None if weight is None else torch.as_tensor(relative, dtype=torch.float32)
        self._held = None
        self._device = torch.device("cpu")
        self.standardization = standardization or self.moments.standardization()

    def __len__(self):
        return len(self.index)

    def __getitem__(self, i):
        if not -len(self) <= i < len(self):
            raise IndexError(f"There are {len(self)} rows, and none is number {i}.")
        part = slice(i, i + 1 or None)
        batch = self.batch(part)
        return {name: values[0] for name, values in batch.items()}, self.target(part)[0]

    @property
    def shape(self):
        """The number of rows, and of the features of X."""
        return len(self), self.X.shape[1]

    @property
    def small(self):
        """Whether copies of the rows may be made."""
        return is_small(self.X, (len(self), self.n_features))

    def blocks(self, block_rows=_BLOCK_ROWS):
        """Return slices that cut the rows into blocks."""
        return row_blocks(len(self), self.n_features, block_rows)

    @cached_property
    def missing(self):
        """The fraction of the entries that are NaN; counted once, as all rows are read for it."""
        rows = self._as_stored()
        count = sum(int(np.isnan(rows._dense(part)).sum()) for part in rows.blocks())
        return count / math.prod((len(self), self.X.shape[1]))

    def _as_stored(self):
        """Return the rows in the order of X, in which they are read much faster."""
        rows = copy.copy(self)
        rows.index = np.sort(self.index)
        return rows

    def _dense(self, part):
        X, rows = self.X, self.index[part]
        # `take` is quicker, but copies all of an X whose rows lie apart, such as a data frame's.
        if sparse.issparse(X) or not (X.flags.c_contiguous and X.flags.aligned):
            return dense_rows(X, rows)
        return X.take(rows, axis=0).astype(float_type(X), copy=False)

    def _prepared(self, part):
        return self.preparation.transform(self._dense(part))[0]

    # -- standardized ----------------------------------------------------------------------------

    @cached_property
    def moments(self):
        """The counts, the means and the variances of the features."""
        parts = [slice(None)] if self.small else self.blocks()
        moments = reduce(Moments.plus, map(self._moments, parts))
        if not moments.count.any():
            raise ValueError("X holds nothing but NaN.")
        return moments

    def _moments(self, part):
        x = self._prepared(part)
        largest = float(np.nan_to_num(np.fmax.reduce(np.abs(x), None)))
        # Division first: the squares of numbers above 1e154 do not fit in a float64.
        unit = largest or 1.0
        weight = None if self.weight is None else self.weight[part][:, None]
        observed = ~np.isnan(x)
        whole = observed.all()
        counted = observed if weight is None else observed * weight
        count = counted.sum(0, dtype=np.float64)

        def mean_of(values):
            values = values if whole else np.where(observed, values, 0)
            values = values if weight is None else values * weight
            return values.sum(0, dtype=np.float64) / np.where(count > 0, count, 1)

        mean = mean_of(x / unit) * unit
        variance = mean_of(((x - mean) / unit) ** 2)
        return Moments(count, mean, variance, largest, x.size, float(np.finfo(self.dtype).eps))

    def array(self, part=slice(None)):
        """Return some rows standardized, in X's own float type."""
        return self._standardized(part, self.dtype)

    def _standardized(self, part, dtype):
        # In float64, and rounded once.
        if sparse.issparse(self.X) and self.preparation.is_identity:
            return self._scattered(self.X[self.index[part]], dtype)
        return self.standardization.transform(self._prepared(part)).astype(dtype, copy=False)

    def _scattered(self, rows, dtype):
        """Return sparse rows standardized: most entries are those of a row of zeros."""
        with np.errstate(over="ignore"):  # columns that have no zeros may be far from them
            empty = self.standardization.transform(np.zeros(self.n_features)).astype(dtype)
        x = np.tile(empty, (rows.shape[0], 1))
        lines = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        x[lines, rows.indices] = self.standardization.transform(rows.data, rows.indices)
        return x

    def extremes(self):
        """Return the least and the largest standardized value of each feature."""
        low, high = np.full(self.n_features, np.inf), np.full(self.n_features, -np.inf)
        rows = self._as_stored()
        for part in rows.blocks():
            x = rows.array(part)
            low, high = np.fmin(low, np.fmin.reduce(x)), np.fmax(high, np.fmax.reduce(x))
        seen = low <= high
        # A feature that is missing everywhere is at its mean.
        return np.where(seen, low, 0), np.where(seen, high, 0)

    def check_distances(self):
        """Check that float32 has the squares of rows that the scale is not about."""
        with np.errstate(over="ignore", invalid="ignore"):
            farthest = np.abs(self.extremes()).max()
        if not farthest < _FARTHEST:
            raise ValueError(
                f"X has rows that are {farthest:.2g} times as far from the mean as the others: "
                "their sample_weight is next to nothing, or they are far from those of the first "
                "fit. Leave them out, or fit anew with warm_start=False."
            )

    # -- parts and batches -----------------------------------------------------------------------

    def take(self, index):
        """Return some of the rows as rows of their own."""
        rows = copy.copy(self)
        for name in ("missing", "moments"):
            vars(rows).pop(name, None)
        rows.index = self.index[index]
        rows._held = None if self._held is None else self._held[index]
        rows.clean = None if self.clean is None else self.clean.take(index)
        if self.weight is not None:
            rows.weight, rows._relative = self.weight[index], self._relative[index]
        return rows

    def some(self, n_rows):
        """Return at most that many rows, evenly spaced."""
        return self.take(slice(None, None, -(-len(self) // n_rows)))

    def hold(self, device):
        """Serve batches on a device, from a float32 copy of the rows where that fits."""
        self._device = torch.device(device)
        room = self.small
        if self._device.type == "cuda":
            free = torch.cuda.mem_get_info(self._device)[0]
            room = _bytes_held((len(self), self.n_features)) <= _DEVICE_FRACTION * free
        if room:
            self._held = torch.empty((len(self), self.n_features), device=self._device)
            for part in self.blocks():
                self._held[part] = self._tensor(part)
        if self.clean is not None:
            self.clean.hold(device)
        if self.weight is not None:
            self._relative = self._relative.to(self._device)
        return self

    def batch(self, part):
        """Return some rows, by a slice or a tensor of positions, as tensors on the device.

        ``"x"`` are the standardized rows, ``"sample_weight"`` their weights relative to the mean
        weight, left out where all weights are equal; ``"target"`` is what is to be reconstructed,
        left out where it is the rows themselves.
        """
        there = part.to(self._device) if isinstance(part, torch.Tensor) else part
        if self._held is not None:
            batch = {"x": _taken(self._held, there)}
        else:
            batch = {"x": self._tensor(part.numpy() if isinstance(part, torch.Tensor) else part)}
        if self._relative is not None:
            batch["sample_weight"] = _taken(self._relative, there)
        if self.clean is not None:
            batch["target"] = self.clean.batch(part)["x"]
        return batch

    def _tensor(self, part):
        return torch.from_numpy(self._standardized(part, np.float32)).to(self._device)

    def target(self, part):
        """Return what is to be reconstructed of some rows in the units of X, in float64."""
        if self.clean is not None:
            return self.clean.target(part)
        prepared = self._prepared(part.numpy() if isinstance(part, torch.Tensor) else part)
        return self.preparation.inverse_transform(prepared.astype(np.float64))


def _taken(tensor, part):
    # As tensor[part], which takes three times as long.
    return tensor.index_select(0, part) if isinstance(part, torch.Tensor) else tensor[part]


class Batches:
    """Batches of rows, as skorch iterates over them: pairs of an input and a target.

    A generator draws the order of the rows, in batches of nearly equal size; without one they come
    in their own order. The loss knows the targets from the input: only others look at them.
    """

    def __init__(self, rows, batch_size, generator=None, with_targets=False):
        self.rows = rows
        self.batch_size = batch_size
        self.generator = generator
        self.with_targets = with_targets

    def __len__(self):
        if self.generator is None:
            return len(self.rows.blocks(self.batch_size))
        return n_batches(len(self.rows), self.batch_size)

    def __iter__(self):
        if self.generator is None:
            parts = self.rows.blocks(self.batch_size)
        else:
            order = torch.randperm(len(self.rows), generator=self.generator)
            parts = order.tensor_split(n_batches(len(self.rows), self.batch_size))
        for part in parts:
            yield self.rows.batch(part), self.rows.target(part) if self.with_targets else None


def mean_row(rows, weight, transform=np.asarray):
    """Return the weighted mean of what a function makes of rows, by features.

    Entries that are NaN are left out; the mean of a feature that no row has is 0.
    """
    # Sums of fractions are not larger than the largest entry.
    weight = weight / weight.sum()
    total = count = 0.0
    for part in row_blocks(*rows.shape):
        x = transform(dense_rows(rows, part))
        observed = ~np.isnan(x)
        total += weight[part] @ np.where(observed, x, 0.0)
        count += weight[part] @ observed
    return total / np.where(count > 0, count, 1.0)
