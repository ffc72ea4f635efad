"""What the estimators of tables have in common."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

_Params = ParamSpec("_Params")
_Returned = TypeVar("_Returned")


def of_tables(
    method: Callable[Concatenate[Any, Any, _Params], _Returned],
) -> Callable[Concatenate[Any, Any, _Params], _Returned]:
    """Return a method of `AutoencoderAnomalyDetector` that takes a table, with its docstring.

    The table is encoded, and the rest is the method of the detector that was fitted.
    """

    def of_table(self, X, *args, **kwargs):
        encoded = self._encoded(X)
        return method(self.detector_, encoded, *args, **kwargs)

    found: Any = update_wrapper(of_table, method)
    for words, of_a_table in (
        ("array-like or sparse matrix of", "DataFrame or array-like of"),
        ("The data.", "A table with the columns of the training table."),
    ):
        found.__doc__ = (found.__doc__ or "").replace(words, of_a_table)
    return found


def names_of(encoder):
    """Return the attributes about the columns of a table that scikit-learn's estimators have."""
    names = ("n_features_in_", "feature_names_in_")
    return {name: value for name, value in vars(encoder).items() if name in names}


def column_error(column, encoded, rebuilt):
    """Return the kind, the loss and the fraction of wrong values of a column's numbers."""
    observed = ~np.isnan(encoded).any(1)
    encoded, rebuilt = encoded[observed], rebuilt[observed]
    kind = type(column).__name__.lower()
    if column.loss == "squared_error":
        return kind, ((encoded - rebuilt) ** 2).mean() if observed.any() else np.nan, np.nan
    if column.loss == "binary_cross_entropy":
        encoded, rebuilt = (np.column_stack([1 - x, x]) for x in (encoded, rebuilt))
    known = encoded.sum(1) > 0
    encoded, rebuilt = encoded[known], rebuilt[known]
    if not len(encoded):
        return kind, np.nan, np.nan
    probability = (encoded * rebuilt).sum(1).clip(min=np.finfo(np.float64).tiny)
    wrong = encoded.argmax(1) != rebuilt.argmax(1)
    return kind, -np.log(probability).mean(), wrong.mean()
