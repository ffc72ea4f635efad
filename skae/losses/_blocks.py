"""Blocks of columns with a loss each: how they are found, centred, scaled and compared."""

import numpy as np
import torch

from .._data.rows import Rows
from .._utils.stored import Stored
from ._base import Preparation
from ._links import Multinomial
from .likelihood import Likelihood

# By how much the sum of fractions may miss one: more than the rounding of a hundred in float32.
_TOLERANCE = 1e-4


class Block(Stored):
    """Columns of X with a loss, divided by one scale, and centred if the net's output is X itself.

    No block has more weight than the others in the start, whatever its units. All methods take the
    block's own columns, which are ``X[:, index]``. The loss has `n_entries` entries a row.
    """

    def __init__(self, columns, loss):
        self.columns = np.asarray(columns)
        self.loss = loss
        # A slice where it is one, because a view needs no copy.
        consecutive = (np.diff(self.columns) == 1).all()
        first, last = int(self.columns[0]), int(self.columns[-1])
        self.index = slice(first, last + 1) if consecutive else self.columns
        self.n_entries = len(self.columns)

    def fit(self, X):
        self.loss.fit(X)
        self._measure(X)

    def _measure(self, X):
        """Learn the scale, and what is subtracted."""
        measured = Rows(X, np.arange(len(X)), None, Preparation()).standardization
        mean, self.scale_ = measured.mean, measured.scale
        self.shift_ = mean if self.loss.identity else np.zeros_like(mean)

    def check(self, X):
        self.loss.check(X)

    def transform(self, X):
        return (X - self.shift_) / self.scale_

    def inverse_transform(self, mu):
        return self.shift_ + self.scale_ * mu

    def transform_tensor(self, x):
        return ((x - torch.from_numpy(self.shift_)) / self.scale_).to(x.dtype)

    def inverse_transform_tensor(self, mu):
        return (torch.from_numpy(self.shift_) + self.scale_ * mu).to(mu.dtype)

    @property
    def unit(self):
        """What the net sees is multiplied by it for the loss."""
        return 1.0 if self.loss.identity else self.scale_

    def link(self, eta):
        return self.loss.link(eta) / self.unit

    def inverse_link(self, mu, mean):
        return self.loss.inverse_link(self.unit * mu, self.unit * mean)

    def inverse_slope(self, mu, mean):
        return self.unit * self.loss.inverse_slope(self.unit * mu, self.unit * mean)

    def residual(self, eta, x):
        return self.loss.residual(eta, self.unit * x)

    def curvature(self, eta, x, d):
        return self.loss.curvature(eta, self.unit * x, d)

    def per_entry(self, eta, x):
        """Return minus the log likelihood of entries whose noise is as large as their spread."""
        return self.loss.per_entry(eta, self.unit * x) / (self.loss.free_scale or 1.0)

    def observed(self, x):
        return ~torch.isnan(x)

    def noise(self, eta, x):
        observed = self.observed(x)
        entries = self.loss.per_entry(eta, self.unit * torch.nan_to_num(x))
        return (entries * observed).sum().item() / max(observed.sum().item(), 1)

    def log_likelihood(self, eta, x, noise):
        if not isinstance(self.loss, Likelihood):
            raise ValueError(
                f"{self.loss!r} is no likelihood, so rows have none under loss='mixed'."
            )
        # As a density, if it is one, in the units of X.
        return self.loss.log_likelihood(eta, self.unit * x, noise) - np.log(self.scale_ / self.unit)


class OneHotBlock(Block):
    """The one-hot columns of all categorical features, with a softmax over those of each.

    They are one block, because a step then takes no longer for each more.
    """

    def __init__(self, features):
        super().__init__(np.concatenate(features), Multinomial())
        widths = [len(columns) for columns in features]
        self.starts = np.cumsum([0, *widths[:-1]])
        # To which feature each of the block's columns belongs.
        self.feature = np.repeat(np.arange(len(widths)), widths)
        self.n_entries = len(features)

    def fit(self, X):
        self._measure(X)
        # The variance of a feature is the sum of those of its columns.
        self.scale_ = self.scale_ * np.sqrt(X.shape[1] / self.n_entries)

    def check(self, X):
        pass  # `transform` refuses what is not one-hot.

    def transform(self, X):
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
                "Pass loss=Mixed(blocks=...) to set which columns belong together."
            )
        return super().transform(X)

    def _known(self, x):
        # A zero that was centred and back is not quite zero.
        return (self.unit * x).clamp(min=0)

    def _sums(self, values):
        """Return the sum over the columns of each feature."""
        feature = torch.as_tensor(self.feature, device=values.device)
        return values.new_zeros(values.shape[0], self.n_entries).index_add(1, feature, values)

    def _of_feature(self, values):
        """Return for each column what belongs to its feature."""
        return values[:, torch.as_tensor(self.feature, device=values.device)]

    def _log_fractions(self, eta):
        feature = torch.as_tensor(self.feature, device=eta.device)
        # The largest of each feature is subtracted, lest its exponential be too large.
        largest = eta.new_full((eta.shape[0], self.n_entries), -torch.inf)
        largest = largest.scatter_reduce(1, feature.expand_as(eta), eta.detach(), "amax")
        eta = eta - self._of_feature(largest)
        return eta - self._of_feature(torch.log(self._sums(torch.exp(eta))))

    def link(self, eta):
        return torch.exp(self._log_fractions(eta)) / self.scale_

    def per_entry(self, eta, x):
        return -self._sums(self._known(x) * self._log_fractions(eta))

    def residual(self, eta, x):
        known = self._known(x)
        return known - self._of_feature(self._sums(known)) * torch.exp(self._log_fractions(eta))

    def curvature(self, eta, x, d):
        p = torch.exp(self._log_fractions(eta))
        variances = self._sums(p * (d - self._of_feature(self._sums(p * d))).square())
        return (self._sums(self._known(x)) * variances).sum(1)

    def observed(self, x):
        return self._sums(torch.isnan(x).to(x.dtype)) == 0

    def noise(self, eta, x):
        return 1.0  # A fraction has no scale.

    def log_likelihood(self, eta, x, noise):
        return -self.per_entry(eta, x)


class Blocks(Preparation):
    """Centre and scale the columns of each block. Each column of X is in one."""

    def __init__(self, blocks):
        self.blocks = blocks

    @property
    def entry_width(self):
        n_columns = sum(len(block.columns) for block in self.blocks)
        return n_columns / sum(block.n_entries for block in self.blocks)

    def transform(self, X):
        seen = np.empty_like(X)
        for block in self.blocks:
            seen[:, block.index] = block.transform(X[:, block.index])
        return seen, None

    def inverse_transform(self, mu):
        X = np.empty_like(mu)
        for block in self.blocks:
            X[:, block.index] = block.inverse_transform(mu[:, block.index])
        return X

    def transform_tensor(self, x):
        parts = [block.transform_tensor(x[:, block.index]) for block in self.blocks]
        return self._in_place(parts), None

    def inverse_transform_tensor(self, mu):
        blocks = self.blocks
        return self._in_place([b.inverse_transform_tensor(mu[:, b.index]) for b in blocks])

    def _in_place(self, parts):
        """Return the blocks' columns in the order of X."""
        columns = np.concatenate([block.columns for block in self.blocks])
        return torch.cat(parts, 1)[:, torch.from_numpy(np.argsort(columns))]


def find_blocks(X):
    """Return pairs of columns and the name of their loss: of numbers, of bits, of each feature.

    A feature is a run of at least two columns of which one is 1 in each row, without zeros around.
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
        if end > column:
            features.append(list(range(column, end)))
            column = end
        else:
            (binary if is_bit[column] else numeric).append(column)
            column += 1
    blocks = [(numeric, "squared_error"), (binary, "binary_cross_entropy")]
    blocks += [(columns, "multinomial") for columns in features]
    return [(columns, loss) for columns, loss in blocks if columns]


def _end_of_feature(filled, missing, is_bit, start):
    """Return where the one-hot feature that starts at a column ends; `start` if none does."""
    total, unknown = filled[:, start].copy(), missing[:, start].copy()
    for column in range(start + 1, len(is_bit)):
        if not is_bit[column] or (total + filled[:, column]).max() > 1:
            break
        total += filled[:, column]
        unknown |= missing[:, column]
        if ((total == 1) | unknown).all():
            return column + 1
    return start
