"""The registry of the kinds of columns, and which one a column is."""

import numpy as np

from ._categories import Boolean, Category, Hashed
from ._dates import Date, date_format
from ._frames import import_pandas
from ._numbers import Number

KINDS: dict = {
    "number": Number,
    "boolean": Boolean,
    "category": Category,
    "hashed": Hashed,
    "date": Date,
}


def find_kind(series):
    """Return the name of the kind of a column, by its dtype and its values."""
    pandas = import_pandas()
    if isinstance(series.dtype, pandas.CategoricalDtype):
        return "category"
    if series.dtype.kind in "mM":
        return "date" if series.dtype.kind == "M" else "number"
    if pandas.api.types.is_bool_dtype(series.dtype):
        return "boolean"
    known = series.dropna()
    if pandas.api.types.is_numeric_dtype(series.dtype):
        return "boolean" if n_distinct(known) == 2 and set(known) == {0, 1} else "number"
    inferred = pandas.api.types.infer_dtype(known, skipna=True)
    if inferred in ("date", "datetime", "datetime64"):
        return "date"
    if inferred in ("integer", "floating", "mixed-integer-float", "decimal"):
        return "number"
    if inferred == "boolean":
        return "boolean"
    for row, value in known.items():
        if not isinstance(value, (str, bytes, int, float, np.generic)):
            raise ValueError(
                f"Column {series.name!r} holds values that are no text, number, date or category, "
                f"such as {value!r} in row {row!r}. Leave it out by exclude=."
            )
    return "date" if inferred == "string" and date_format(series) is not None else "category"


def n_distinct(series):
    """Return how many values a column has, but for missing ones."""
    try:
        return series.nunique()
    except TypeError:  # lists and the like, which are refused later
        return int(series.notna().sum())


def counts_rows(series):
    """Return whether values that are all distinct are the numbers of rows."""
    return series.dtype.kind in "iu" and int(series.max()) - int(series.min()) == len(series) - 1
