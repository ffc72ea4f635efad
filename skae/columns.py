"""The way back from a `ColumnTransformer`'s columns to those of the table."""

from collections import UserList

import numpy as np
from scipy.sparse import issparse
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

__all__ = ["inverse_column_transform"]


def inverse_column_transform(transformer, X):
    """Return the table whose transform by a `ColumnTransformer` is X, or is nearest to X.

    scikit-learn's `ColumnTransformer` has no ``inverse_transform``. Here each of its transformers
    maps its own columns back; of a category's probabilities the largest wins.

    Parameters
    ----------
    transformer : ColumnTransformer
        Fitted. Its transformers are "passthrough", "drop" or have an ``inverse_transform``, as
        have the steps of its pipelines; imputers are left out, because what they filled stays
        filled.
    X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features_out)
        What it returned, or a reconstruction of that.

    Returns
    -------
    table : DataFrame or ndarray of shape (n_samples, n_features_in)
        A pandas DataFrame with the columns that the transformer was fitted on, and X's index where
        X has one; an array where it was fitted on one. Columns that were dropped are NaN. A column
        that several transformers took comes from the first of them.

    Raises
    ------
    ValueError
        If X has another number of columns, or if a transformer has no way back.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.compose import make_column_transformer
    >>> from sklearn.preprocessing import OneHotEncoder, StandardScaler
    >>> from skae.columns import inverse_column_transform
    >>> table = np.array([[20.0, 1], [30.0, 2], [40.0, 1]])
    >>> encode = make_column_transformer((StandardScaler(), [0]), (OneHotEncoder(), [1]))
    >>> X = encode.fit_transform(table)
    >>> X[:, 1:] = [[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]
    >>> inverse_column_transform(encode, X)
    array([[20.,  1.],
           [30.,  2.],
           [40.,  1.]])
    """
    check_is_fitted(transformer)
    index = X.index if hasattr(X, "columns") and hasattr(X, "index") else None
    X = X.toarray() if issparse(X) else check_array(X, ensure_all_finite="allow-nan")
    n_out = max((part.stop for part in transformer.output_indices_.values()), default=0)
    if X.shape[1] != n_out:
        raise ValueError(f"X has {X.shape[1]} columns, but the ColumnTransformer returned {n_out}.")
    names = getattr(transformer, "feature_names_in_", None)
    table = [None] * transformer.n_features_in_
    for name, part, columns in transformer.transformers_:
        places = _places(columns, names, len(table))
        if not len(places) or (isinstance(part, str) and part == "drop"):
            continue
        values = X[:, transformer.output_indices_[name]]
        restored = np.asarray(_inverse(part, values, f"The transformer {name!r}"))
        for place, column in zip(places, restored.T, strict=True):
            if table[place] is None:
                table[place] = column
    table = [np.full(len(X), np.nan) if column is None else column for column in table]
    if names is None:
        numbers = all(column.dtype.kind in "biuf" for column in table)
        return np.column_stack(table if numbers else [c.astype(object) for c in table])
    import pandas

    frame = {name: pandas.Series(c).infer_objects() for name, c in zip(names, table, strict=True)}
    frame = pandas.DataFrame(frame, columns=names)
    return frame if index is None else frame.set_axis(index)


def _places(columns, names, n_features):
    """Return the places of the columns that a transformer was given, in any of the allowed ways."""
    every = np.arange(n_features)
    if isinstance(columns, slice) and isinstance(columns.start or columns.stop, str):
        # by name the end belongs to the slice
        first = 0 if columns.start is None else list(names).index(columns.start)
        last = n_features - 1 if columns.stop is None else list(names).index(columns.stop)
        return every[first : last + 1 : columns.step]
    if isinstance(columns, UserList):
        columns = columns.data  # of scikit-learn 1.6, which warns of itself when it is read
    if not isinstance(columns, slice):
        columns = np.atleast_1d(columns)
        if not len(columns):
            return every[:0]
        if columns.dtype.kind not in "biu":
            return np.array([list(names).index(name) for name in columns])
    return every[columns]


def _inverse(transformer, X, who):
    """Return what a transformer made X of."""
    if isinstance(transformer, str) or _only_fills(transformer):
        return X  # "passthrough"
    if isinstance(transformer, Pipeline):
        for _, step in reversed(transformer.steps):
            X = _inverse("passthrough" if step is None else step, X, who)
        return X
    if isinstance(transformer, ColumnTransformer):
        return inverse_column_transform(transformer, X)
    one_way = isinstance(transformer, FunctionTransformer) and (
        transformer.func is not None and transformer.inverse_func is None
    )
    if one_way or not hasattr(transformer, "inverse_transform"):
        raise ValueError(
            f"{who} has no way back: {transformer!r} has no inverse"
            f"{'_func' if one_way else '_transform'}."
        )
    if isinstance(transformer, OneHotEncoder):
        X = _likeliest(transformer, X)
    elif isinstance(transformer, OrdinalEncoder):
        last = [len(values) - 1 for values in transformer.categories_]
        X = np.clip(np.rint(X), 0, last)
    return transformer.inverse_transform(X)


def _only_fills(transformer):
    """Return whether a transformer fills in what is missing and does nothing else."""
    return type(transformer).__module__.startswith("sklearn.impute") and not getattr(
        transformer, "add_indicator", True
    )


def _likeliest(encoder, X):
    """Return probabilities as zeros and ones: a dropped category has what the others leave."""
    X, start = X.copy(), 0
    infrequent = getattr(encoder, "infrequent_categories_", [None] * len(encoder.categories_))
    for i, (values, rare) in enumerate(zip(encoder.categories_, infrequent, strict=True)):
        dropped = encoder.drop_idx_ is not None and encoder.drop_idx_[i] is not None
        width = len(values) - dropped - (0 if rare is None else len(rare) - 1)
        part = X[:, start : start + width]
        start += width
        if dropped:
            left = 1 - part.sum(1, keepdims=True)
            part[:] = np.where(left > part.max(1, keepdims=True, initial=0), 0, part)
    return X
