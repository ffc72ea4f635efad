"""The inverse of a `ColumnTransformer`: from its output back to the columns of the table."""

from collections import UserList
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

__all__ = ["inverse_column_transform"]


def inverse_column_transform(transformer: Any, X: Any) -> Any:
    """Return the table whose transform by a `ColumnTransformer` is X, or is nearest to X.

    scikit-learn's `ColumnTransformer` has no ``inverse_transform``. This function applies the
    inverse of each of its transformers to the columns that this transformer returned. Where the
    columns are probabilities of categories, the category with the largest probability is taken.

    Parameters
    ----------
    transformer : ColumnTransformer
        A fitted transformer. Each of its transformers must be "passthrough" or "drop" or have an
        ``inverse_transform``, and so must each step of its pipelines. Imputers need none: the
        values that they filled in are kept.
    X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features_out)
        The output of the transformer, or a reconstruction of the output.

    Returns
    -------
    table : DataFrame or ndarray of shape (n_samples, n_features_in)
        An array if the transformer was fitted on an array. Otherwise a pandas DataFrame with the
        columns that the transformer was fitted on, and with the index of X if it has one. Dropped
        columns are NaN. A column that several transformers use is restored by the first of them.

    Raises
    ------
    ValueError
        If X has the wrong number of columns, or if a transformer has no inverse.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.compose import make_column_transformer
    >>> from sklearn.preprocessing import OneHotEncoder, StandardScaler
    >>> from skae.tables import inverse_column_transform
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
    table: list[Any] = [None] * transformer.n_features_in_
    for name, part, columns in transformer.transformers_:
        positions = _positions(columns, names, len(table))
        if not len(positions) or (isinstance(part, str) and part == "drop"):
            continue
        values = X[:, transformer.output_indices_[name]]
        restored = np.asarray(_inverse(part, values, f"The transformer {name!r}"))
        for position, column in zip(positions, restored.T, strict=True):
            if table[position] is None:
                table[position] = column
    table = [np.full(len(X), np.nan) if column is None else column for column in table]
    if names is None:
        numbers = all(column.dtype.kind in "biuf" for column in table)
        return np.column_stack(table if numbers else [c.astype(object) for c in table])
    import pandas

    frame = {name: pandas.Series(c).infer_objects() for name, c in zip(names, table, strict=True)}
    frame = pandas.DataFrame(frame, columns=names)
    return frame if index is None else frame.set_axis(index)


def _positions(columns, names, n_features):
    """Return the positions of a transformer's columns, given in any way, in the table."""
    every = np.arange(n_features)
    if isinstance(columns, UserList):
        columns = columns.data  # a list of scikit-learn 1.6 that warns when its entries are read
    is_slice = isinstance(columns, slice)
    entries = [columns.start, columns.stop] if is_slice else np.atleast_1d(columns)
    if any(isinstance(entry, str) for entry in entries):
        import pandas

        # A slice of names includes its end.
        return np.atleast_1d(pandas.Series(every, index=names).loc[columns])
    if is_slice:
        return every[columns]
    return every[entries] if len(entries) else every[:0]


def _inverse(transformer, X, who):
    """Return the input of a transformer whose output is X; errors name it by `who`."""
    only_fills = type(transformer).__module__.startswith("sklearn.impute") and not getattr(
        transformer, "add_indicator", True
    )
    if only_fills or isinstance(transformer, str):
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
            f"{who} cannot be inverted: {transformer!r} has no inverse"
            f"{'_func' if one_way else '_transform'}."
        )
    if isinstance(transformer, OneHotEncoder):
        X = _most_probable(transformer, X)
    elif isinstance(transformer, OrdinalEncoder):
        last = [len(values) - 1 for values in transformer.categories_]
        X = np.clip(np.rint(X), 0, last)
    found = transformer.inverse_transform(X)
    return found.to_numpy() if hasattr(found, "to_numpy") else found


def _most_probable(encoder, X):
    """Return X with zeros where a dropped category, which has the rest to 1, is most probable."""
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
