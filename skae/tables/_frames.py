"""Frames of any library as pandas DataFrames, and back."""

import numpy as np
from scipy.sparse import issparse


def import_pandas():
    """Return pandas, or say how to install it."""
    try:
        import pandas
    except ImportError:
        raise ImportError("Tables need pandas: install it with pip install 'skae[plot]'.") from None
    return pandas


def library_of(X):
    """Return the library that a frame is of: "pandas", "polars", "pyarrow" or "numpy"."""
    library = type(X).__module__.partition(".")[0]
    return library if library in ("pandas", "polars", "pyarrow") else "numpy"


def to_pandas(X):
    """Return a pandas, polars or Arrow frame, or an array, as a DataFrame; never a changed one."""
    pandas = import_pandas()
    if isinstance(X, pandas.DataFrame):
        frame = X
    elif library_of(X) in ("polars", "pyarrow") and hasattr(X, "to_pandas"):
        frame = X.to_pandas()
    else:
        if issparse(X):
            raise TypeError(
                "Sparse input is not supported: X must be a table. Pass X.toarray(), or the sparse "
                "matrix to AutoencoderTransformer."
            )
        values = X if isinstance(X, np.ndarray) else np.asarray(X, dtype=object)
        if values.ndim != 2:
            hint = "Reshape your data: " if values.ndim == 1 else ""
            raise ValueError(
                f"{hint}Expected 2D array or a DataFrame, got an array of shape {values.shape}."
            )
        if values.dtype.kind == "c":
            raise ValueError("Complex data not supported: X must be a table of real numbers.")
        frame = pandas.DataFrame(values)
        if values.dtype == object:
            frame = frame.infer_objects()
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise ValueError(f"X has several columns called {repeated[0]!r}: give each its own name.")
    if not len(frame):
        raise ValueError(
            f"Found array with 0 sample(s) (shape={frame.shape}) while a minimum of 1 is required."
        )
    if not frame.shape[1]:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={frame.shape}) while a minimum of 1 is required."
        )
    return frame


def from_pandas(frame, library, schema=None):
    """Return a DataFrame as a frame of a library.

    `schema` are the types that its columns had there, by their names, where the library has types
    that pandas has not.
    """
    if library == "polars":
        import polars

        frame = polars.from_pandas(frame.reset_index(drop=True))
        return frame.with_columns(
            frame[name].cast(schema[name], strict=False) for name in frame.columns if name in schema
        )
    if library == "pyarrow":
        import pyarrow

        table = pyarrow.Table.from_pandas(frame, preserve_index=False)
        for i, name in enumerate(table.column_names):
            if name in schema and table.schema.field(i).type != schema[name]:
                table = table.set_column(i, name, table.column(i).cast(schema[name], safe=False))
        return table.replace_schema_metadata(None)
    return frame.to_numpy() if library == "numpy" else frame


def schema_of(X):
    """Return the types of the columns by their names, where the library is not pandas."""
    library = library_of(X)
    if library == "polars":
        return dict(X.schema)
    return {field.name: field.type for field in X.schema} if library == "pyarrow" else {}


def table_tags(tags):
    """Return scikit-learn's tags of an estimator that takes tables."""
    tags.input_tags.allow_nan = True
    tags.input_tags.string = True
    tags.input_tags.categorical = True
    return tags
