"""The base of all kinds of columns."""

import numpy as np

from ._frames import import_pandas
from ._plain import PlainStateMixin

# How many quantiles of the training values stand for their distribution.
_N_QUANTILES = 1001


class Column(PlainStateMixin):
    """How one column of a table becomes numbers.

    A subclass is one kind of column. `suffixes` name the columns of the encoded table that belong
    to it, after its own name, and `loss` is the name of the loss they have under
    `skae.losses.Mixed`, all together where it is "multinomial".
    """

    loss = "squared_error"
    suffixes: tuple = ("",)
    # Quantiles of the first number at evenly spaced levels; None where numbers are probabilities.
    quantiles = None

    def fit(self, series):
        """Learn from the training values and return self."""
        self.dtype = series.dtype
        categorical = isinstance(series.dtype, import_pandas().CategoricalDtype)
        values = series.cat.categories.to_series() if categorical else series
        self.takes_numbers = values.dtype.kind != "M" and not is_text(values)
        return self

    def _refuse_numbers(self, series, expected):
        """Refuse numbers where the training values were text or dates: none would be known."""
        known = series.notna().to_numpy(dtype=bool)
        if not self.takes_numbers and series.dtype.kind in "biuf" and known.any():
            refuse(series, known, expected)

    def encode(self, series):
        """Return an array of shape (n_rows, n_suffixes), NaN where the value is missing."""
        raise NotImplementedError

    def decode(self, values, legal=False):
        """Return the values as a Series that has the training column's dtype.

        `legal` keeps numbers within the range of the training values.
        """
        raise NotImplementedError

    def draw(self, values, random):
        """Return indicators of values, drawn with probabilities; where quantiles are None."""
        raise NotImplementedError

    def describe(self, values):
        """Return what is expected, for a reader: a value, or the values that are likeliest."""
        return self.decode(values, legal=True).to_numpy(dtype=object, na_value=None)


def quantiles_of(values):
    """Return quantiles of values at evenly spaced levels."""
    return np.quantile(values, np.linspace(0, 1, min(_N_QUANTILES, len(values))))


def is_text(series):
    """Return whether the values of a column are text: all that are not missing."""
    pandas = import_pandas()
    if series.dtype.kind in "biufmM" or isinstance(series.dtype, pandas.CategoricalDtype):
        return False
    return pandas.api.types.infer_dtype(series, skipna=True) == "string"


def refuse(series, wrong, expected):
    """Raise a ValueError that names a column, its first wrong value, and the row."""
    row = int(np.flatnonzero(np.asarray(wrong))[0])
    value = series.iloc[row]
    value = value.item() if isinstance(value, np.generic) else value
    raise ValueError(
        f"Column {series.name!r} holds {expected}, but row {series.index[row]!r} has {value!r}."
    )
