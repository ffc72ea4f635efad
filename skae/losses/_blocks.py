"""Blocks of columns that share a loss, and how they are found."""

import numpy as np
import torch

from .._data import Table
from ._base import Loss
from ._errors import SquaredError

# By how much a row of shares may miss one: what float32 makes of a hundred of them, and more.
_TOLERANCE = 1e-4


class Block:
    """Columns with one loss that is a mean over them.

    The net sees the block divided by its own scale, so that no block outweighs the others in the
    start, and centred if the loss's link is the identity.
    """

    def __init__(self, columns, loss):
        self.columns = np.asarray(columns)
        self.loss = loss

    @property
    def n_entries(self):
        return len(self.columns)

    @property
    def index(self):
        """The columns, as a slice where they stand together: a view costs nothing."""
        first, last = self.columns[0], self.columns[-1]
        together = (np.diff(self.columns) == 1).all()
        return slice(int(first), int(last) + 1) if together else self.columns

    def bind(self, X):
        self.loss.bind(X)
        if not hasattr(self, "scale"):
            self.shift, self.scale = self._units(X)

    def _units(self, X):
        mean, scale = Table(X, np.arange(len(X)), None, SquaredError()).centre()
        return (mean if self.loss.identity else np.zeros_like(mean)), scale

    def prepare(self, X):
        return (X - self.shift) / self.scale

    def restore(self, mu):
        return self.shift + self.scale * mu

    def _target(self, x):
        """Return what the net sees as the loss wants it."""
        return x if self.loss.identity else self.scale * x

    def link(self, eta):
        return eta if self.loss.identity else self.loss.link(eta) / self.scale

    def inverse_link(self, mu, mean):
        if self.loss.identity:
            return mu
        return self.loss.inverse_link(self.scale * mu, self.scale * mean)

    def per_entry(self, eta, x):
        """Return minus the log likelihood of entries whose noise is as large as their spread."""
        return self.loss.per_entry(eta, self._target(x)) / (self.loss.free_scale or 1.0)

    def observed(self, x):
        return ~torch.isnan(x)

    def noise(self, eta, x):
        observed = self.observed(x)
        entries = self.loss.per_entry(eta, self._target(torch.nan_to_num(x)))
        return (entries * observed).sum().item() / max(observed.sum().item(), 1)

    def log_likelihood(self, eta, x, noise):
        if type(self.loss).log_likelihood is Loss.log_likelihood:
            raise ValueError(
                f"{self.loss!r} is no likelihood, so rows have none under loss='mixed'."
            )
        found = self.loss.log_likelihood(eta, self._target(x), noise)
        return found - np.log(self.scale) if self.loss.identity else found


class OneHot(Block):
    """Categorical features, each as consecutive columns of indicators, with a softmax each.

    All of a table's features stand in one block: their number costs a step nothing.
    """

    def __init__(self, features, loss):
        super().__init__(np.concatenate(features), loss)
        widths = [len(columns) for columns in features]
        self.starts = np.cumsum([0, *widths[:-1]])
        self.feature = np.repeat(np.arange(len(widths)), widths)

    @property
    def n_entries(self):
        return len(self.starts)

    def bind(self, X):
        if not hasattr(self, "scale"):
            self.shift, self.scale = self._units(X)

    def _units(self, X):
        shift, scale = super()._units(X)
        # a feature's variance is the sum of its indicators'
        return shift, scale * np.sqrt(X.shape[1] / self.n_entries)

    def prepare(self, X):
        total = np.add.reduceat(X, self.starts, axis=1)
        known = (abs(total - 1) <= _TOLERANCE) | (total == 0) | np.isnan(total)
        negative = np.minimum.reduceat(X, self.starts, axis=1) < 0
        if negative.any() or not known.all():
            row, feature = np.argwhere(negative | ~known)[0]
            columns = self.columns[self.feature == feature].tolist()
            raise ValueError(
                f"loss='mixed' takes columns {columns} as one categorical feature, whose values "
                "are not negative and sum to one in each row (or are all zero, where the category "
                f"is unknown), but X has {X[row, self.feature == feature].tolist()} in row {row}. "
                "Pass loss=Mixed(blocks=...) to say which columns belong together."
            )
        return super().prepare(X)

    def _sums(self, values):
        """Return the sum over the columns of each feature."""
        feature = torch.as_tensor(self.feature, device=values.device)
        return values.new_zeros(len(values), self.n_entries).index_add(1, feature, values)

    def _log_shares(self, eta):
        feature = torch.as_tensor(self.feature, device=eta.device)
        # the largest of each feature is taken off, lest its exponential be too large
        largest = eta.new_full((len(eta), self.n_entries), -torch.inf)
        largest = largest.scatter_reduce(1, feature.expand_as(eta), eta.detach(), "amax")
        eta = eta - largest[:, feature]
        return eta - torch.log(self._sums(torch.exp(eta)))[:, feature]

    def link(self, eta):
        return torch.exp(self._log_shares(eta)) / self.scale

    def per_entry(self, eta, x):
        # a zero that was centred and back is not quite zero
        return -self._sums(self._target(x).clamp(min=0) * self._log_shares(eta))

    def observed(self, x):
        return self._sums(torch.isnan(x).to(x.dtype)) == 0

    def noise(self, eta, x):
        return 1.0  # a share has no scale

    def log_likelihood(self, eta, x, noise):
        return -self.per_entry(eta, x)


def find_blocks(X):
    """Return which columns are numbers, which are 0 or 1, and which belong to one-hot features.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        NaN is not there.

    Returns
    -------
    numeric, binary : list of int
    features : list of list of int
        Runs of at least two columns of which one is 1 in each row, from left to right; none begins
        or ends with a column of zeros.
    """
    missing = np.isnan(X)
    filled = np.where(missing, 0, X)
    is_bit = ((filled == 0) | (filled == 1)).all(0) & ~missing.all(0)
    is_zero = ~filled.any(0)
    numeric, binary, features = [], [], []
    column = 0
    while column < X.shape[1]:
        end = column
        if is_bit[column] and not is_zero[column]:
            end = _end_of_feature(filled, missing, is_bit, column)
        if end - column > 1:
            features.append(list(range(column, end)))
            column = end
        else:
            (binary if is_bit[column] else numeric).append(column)
            column += 1
    return numeric, binary, features


def _end_of_feature(filled, missing, is_bit, start):
    """Return where the one-hot feature ends that starts at a column; there, if there is none."""
    total, unknown = filled[:, start].copy(), missing[:, start].copy()
    for column in range(start + 1, len(is_bit)):
        if not is_bit[column] or (total + filled[:, column]).max() > 1:
            break
        total += filled[:, column]
        unknown |= missing[:, column]
        if ((total == 1) | unknown).all():
            return column + 1
    return start
