"""Blocks of columns with a loss each: how they are found, centred and scaled."""

import numpy as np

from .._data.rows import Rows
from .preparation import Preparation

# By how much the sum of a category's fractions may miss one: more than the rounding of a hundred of
# them in float32.
_TOLERANCE = 1e-4


class Block:
    """Columns that are divided by one scale, and centred first if the net's output is X itself.

    No block has more weight than the others in the start, whatever its units.

    Parameters
    ----------
    columns : list of int
        Which columns of X.
    centred : bool
        Whether they are centred.

    Attributes
    ----------
    index : slice or ndarray of int
        The columns; a slice where they are consecutive, because a view needs no copy.
    n_entries : int
        The number of features: columns or, of one-hot columns, categories.
    shift_ : ndarray of shape (n_columns,)
        What is subtracted from each column.
    scale_ : float
        What the columns are divided by.
    """

    def __init__(self, columns, centred):
        self.columns = np.asarray(columns)
        self.centred = centred
        consecutive = (np.diff(self.columns) == 1).all()
        first, last = int(self.columns[0]), int(self.columns[-1])
        self.index = slice(first, last + 1) if consecutive else self.columns
        self.n_entries = len(self.columns)

    def fit(self, X):
        """Learn the shift and the scale from the block's own columns."""
        measured = Rows(X, np.arange(len(X)), None, Preparation()).standardization
        mean, self.scale_ = measured.mean, measured.scale
        self.shift_ = mean if self.centred else np.zeros_like(mean)
        return self

    def transform(self, X):
        """Return the block's own columns, centred and scaled."""
        return (X - self.shift_) / self.scale_

    def inverse_transform(self, mu):
        """Return the block's own columns in the units of X."""
        return self.shift_ + self.scale_ * mu


class OneHotBlock(Block):
    """One-hot columns of categorical features.

    All such features of a table are one block, because a step then takes no longer for each more.

    Parameters
    ----------
    features : list of list of int
        The columns of each feature.

    Attributes
    ----------
    feature : ndarray of shape (n_columns,)
        To which feature each of the block's columns belongs.
    """

    def __init__(self, features):
        super().__init__(np.concatenate(features), centred=False)
        widths = [len(columns) for columns in features]
        self.starts = np.cumsum([0, *widths[:-1]])
        self.feature = np.repeat(np.arange(len(widths)), widths)
        self.n_entries = len(features)

    def fit(self, X):
        super().fit(X)
        # The variance of a feature is the sum of those of its columns.
        self.scale_ = self.scale_ * np.sqrt(X.shape[1] / self.n_entries)
        return self

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


class Blocks(Preparation):
    """Centre and scale the columns of each block.

    Parameters
    ----------
    blocks : list of Block
        Each column of X is in one of them.
    """

    def __init__(self, blocks):
        self.blocks = blocks

    @property
    def entry_width(self):
        n_columns = sum(len(block.columns) for block in self.blocks)
        return n_columns / sum(block.n_entries for block in self.blocks)

    def fit(self, X):
        for block in self.blocks:
            block.fit(X[:, block.index])
        return self

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


def find_blocks(X):
    """Return which columns are numbers, which are 0 or 1, and which belong to one-hot features.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        NaN is missing.

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
