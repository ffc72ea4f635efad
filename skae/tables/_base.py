"""What the estimators of tables have in common."""

import numpy as np


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
