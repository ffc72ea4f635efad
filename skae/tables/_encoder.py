"""The encoder of tables: a DataFrame becomes numbers, and numbers become a DataFrame."""

import warnings
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from .._utils.sklearn import BaseEstimator, Interval, StrOptions, TransformerMixin
from .._utils.stored import VersionedMixin
from ._base import column_error
from ._categories import Category
from ._column import is_text
from ._frames import from_pandas, import_pandas, library_of, schema_of, table_tags, to_pandas
from ._kinds import KINDS, counts_rows, find_kind, n_distinct
from ._plain import PlainStateMixin

# Text of which at least this fraction of the values is distinct is no category.
_DISTINCT = 0.9
# The losses of columns, in the order of the output.
_LOSSES = ("squared_error", "binary_cross_entropy", "multinomial")
# Fewer rows than this do not tell an id from a value.
_FEWEST_ROWS = 20


class TableEncoder(VersionedMixin, PlainStateMixin, TransformerMixin, BaseEstimator):
    """Encode a table of numbers, categories, dates and gaps as numbers, and decode it.

    Numbers are standardized, on a robust scale where they have heavy tails; text and categories
    become indicators of their frequent values; dates become elapsed time and, where they vary, the
    time of the day, the week and the year. Missing entries stay missing: they are NaN in all of a
    column's numbers. `blocks_` is the layout that ``skae.losses.Mixed`` trains on.

    Read more in the :doc:`page on tables </tables>`.

    Parameters
    ----------
    columns : list or None, default=None
        The columns to encode, also those that would be left out. None: all but those that are
        constant, empty, ids, or text whose values are nearly all distinct.
    exclude : list, default=()
        Columns to leave out.
    id_columns : list or "auto", default="auto"
        Columns that only identify a row, and are left out. "auto": in tables of at least 20 rows,
        text or integers whose values are all distinct, where the integers count the rows.
    kinds : dict or None, default=None
        The kind of columns where it is not to be found by their values: a name in
        `skae.tables.KINDS` for the name of each.
    numbers : {"auto", "standard", "robust"}, default="auto"
        The scale of numbers. "standard": mean and standard deviation. "robust": the inverse
        hyperbolic sine of the distance from the median, in units of the interquartile range over
        1.349, and then standardized. "auto": robust for columns of which one value in a hundred is
        more than eight of these units from the median.
    max_categories : int, default=30
        The largest number of indicators of a column. Of more values, the most frequent ones have an
        indicator each, and all others one together.
    high_cardinality : {"frequent", "hash", "drop"}, default="frequent"
        What is done with text of more than `max_categories` values: as just said, hashed into
        `max_categories` bins, or left out.

    Attributes
    ----------
    columns_ : dict of str to object
        How each encoded column is encoded, by its name in the table.
    left_out_ : dict of str to str
        Why each column that is left out is.
    blocks_ : list of (list of int, str)
        Columns of the output with the name of their loss: the parameter ``blocks`` of
        `skae.losses.Mixed`.
    n_features_in_ : int
        Number of columns of the table.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where they are all strings.

    See Also
    --------
    TableAutoencoder : The encoder and an autoencoder.
    inverse_column_transform : The inverse of a `ColumnTransformer` of your own.

    Notes
    -----
    `transform` finds columns by their names: they may be in another order and there may be others.

    `inverse_transform` returns the encoded columns and the constant ones, in the table's order and
    with its dtypes. What has no missing value of its own, such as NumPy's integers, becomes float
    where entries are missing. Of the values that share an indicator it returns the most frequent.

    Examples
    --------
    >>> import pandas as pd
    >>> from skae.tables import TableEncoder
    >>> table = pd.DataFrame({"price": [1.0, 2.0, None], "kind": ["a", "b", "a"]})
    >>> encoder = TableEncoder()
    >>> encoder.fit_transform(table).round(2)
    array([[-1.,  1.,  0.],
           [ 1.,  0.,  1.],
           [nan,  1.,  0.]])
    >>> encoder.inverse_transform(encoder.transform(table)).equals(table)
    True
    """

    _parameter_constraints: dict = {
        "columns": [list, tuple, np.ndarray, None],
        "exclude": [list, tuple, np.ndarray],
        "id_columns": [StrOptions({"auto"}), list, tuple, np.ndarray],
        "kinds": [dict, None],
        "numbers": [StrOptions({"auto", "standard", "robust"})],
        "max_categories": [Interval(Integral, 2, None, closed="left")],
        "high_cardinality": [StrOptions({"frequent", "hash", "drop"})],
    }

    def __init__(
        self,
        *,
        columns: list | None = None,
        exclude: list | tuple = (),
        id_columns: list | str = "auto",
        kinds: dict | None = None,
        numbers: str = "auto",
        max_categories: int = 30,
        high_cardinality: str = "frequent",
    ):
        self.columns = columns
        self.exclude = exclude
        self.id_columns = id_columns
        self.kinds = kinds
        self.numbers = numbers
        self.max_categories = max_categories
        self.high_cardinality = high_cardinality

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn how each column is to be encoded.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table: a pandas, polars or Arrow frame, or an array.
        y : None
            Ignored.

        Returns
        -------
        self : TableEncoder
            Fitted.

        Raises
        ------
        ValueError
            If a parameter names a column that is not there, if a value is infinite or no value of a
            table, or if no column is left.

        Warns
        -----
        UserWarning
            If columns are left out that no parameter names.
        """
        self._validate_params()
        table = to_pandas(X)
        if len(table) < 2:
            raise ValueError("A table of at least 2 rows is needed, but X has n_samples=1.")
        for parameter in ("columns", "exclude", "id_columns", "kinds"):
            self._check_names(parameter, table)
        columns, left_out, constants, found = {}, {}, {}, []
        wanted = None if self.columns is None else set(self.columns)
        for name in table:
            series = table[name]
            distinct = n_distinct(series)
            reason, unasked = self._reason_against(series, distinct, wanted)
            if reason is None:
                kind = (self.kinds or {}).get(name) or find_kind(series)
                if wanted is None and name not in (self.kinds or {}):
                    reason = self._reason_against_text(series, distinct, kind)
                    unasked = True
            if reason is None:
                columns[name] = self._column(series, distinct, kind).fit(series)
                continue
            left_out[name] = reason
            found += [f"{name!r} ({reason})"] if unasked else []
            if reason == "constant":
                constants[name] = (series.dropna().iloc[0], series.dtype)
        if not columns:
            raise ValueError(f"No column of X is left to encode: {', '.join(found) or left_out}.")
        if found:
            warnings.warn(
                f"Left out: {', '.join(found)}. Pass them as columns= to encode them, or as "
                "exclude= or id_columns= to leave them out without this warning.",
                stacklevel=2,
            )
        # Columns with the same loss stand side by side.
        order = sorted(columns, key=lambda name: _LOSSES.index(columns[name].loss))
        self.columns_ = {name: columns[name] for name in order}
        self.left_out_, self._constants = left_out, constants
        blocks: dict[str, list[range]] = {loss: [] for loss in _LOSSES}
        for _, column, part in self._parts():
            blocks[column.loss].append(range(part.start, part.stop))
        self.blocks_ = [
            ([j for own in blocks[loss] for j in own], loss) for loss in _LOSSES[:2] if blocks[loss]
        ]
        self.blocks_ += [([*own], _LOSSES[2]) for own in blocks[_LOSSES[2]]]
        self._order, self._library, self._schema = [*table], library_of(X), schema_of(X)
        self.n_features_in_ = table.shape[1]
        self.__dict__.pop("feature_names_in_", None)
        if self._library != "numpy" and all(isinstance(name, str) for name in table):
            self.feature_names_in_ = np.array([*table], dtype=object)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the table as numbers.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            A table with the columns of the training table, in any order.

        Returns
        -------
        X_encoded : ndarray of shape (n_samples, n_encoded)
            In float64; NaN where an entry is missing.

        Raises
        ------
        ValueError
            If a column is not there, or holds a value that its kind does not allow; the message
            names the column, the value and the row.
        """
        check_is_fitted(self)
        table = self._table(X)
        encoded = np.empty((len(table), len(self.get_feature_names_out())))
        for name, column, part in self._parts():
            encoded[:, part] = column.encode(table[name])
        return encoded

    def inverse_transform(self, X: Any) -> Any:
        """Return the table that numbers stand for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_encoded)
            An encoded table, or a reconstruction of one: of the indicators of a column the largest
            counts.

        Returns
        -------
        table : DataFrame or ndarray
            In the library of the training table.

        Raises
        ------
        ValueError
            If X has another number of columns.
        """
        check_is_fitted(self)
        return self._to_library(self._decoded(X))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns of the output.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of shape (n_encoded,)
            The column's name, followed by the value or the part that a number stands for: numbers
            and dates first, then columns of two values, then categories.
        """
        check_is_fitted(self)
        names = [f"{n}{suffix}" for n, c in self.columns_.items() for suffix in c.suffixes]
        return np.array(names, dtype=object)

    def column_errors(self, X: Any, X_reconstructed: Any) -> Any:
        """Return how well each column of an encoded table is reconstructed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_encoded)
            An encoded table; missing entries are left out.
        X_reconstructed : array-like of shape (n_samples, n_encoded)
            A reconstruction of it.

        Returns
        -------
        errors : DataFrame
            A line for each encoded column, by its name: its ``kind``; the ``loss``, the mean
            squared error in standardized units or the cross-entropy in nats; and ``wrong``, the
            fraction of values that are not the reconstructed one, NaN for numbers and dates.
        """
        check_is_fitted(self)
        X, rebuilt = np.asarray(X, np.float64), np.asarray(X_reconstructed, np.float64)
        lines = {
            name: column_error(column, X[:, part], rebuilt[:, part])
            for name, column, part in self._parts()
        }
        columns = ["kind", "loss", "wrong"]
        return import_pandas().DataFrame.from_dict(lines, orient="index", columns=columns)

    def __sklearn_tags__(self):
        return table_tags(super().__sklearn_tags__())

    # -- within the room -------------------------------------------------------------------------

    def _table(self, X):
        """Return a table with the training table's columns as a DataFrame."""
        table = to_pandas(X)
        if library_of(X) == "numpy" and table.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {table.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        if library_of(X) == "numpy" and self._library != "numpy":
            table = table.set_axis(self._order, axis=1)
        missing = [name for name in self.columns_ if name not in table]
        if missing:
            raise ValueError(f"X has no column {missing[0]!r}; its columns: {[*table]}.")
        return table

    def _parts(self):
        """Yield the name of each column, the column, and its slice of the output."""
        start = 0
        for name, column in self.columns_.items():
            yield name, column, slice(start, start + len(column.suffixes))
            start += len(column.suffixes)

    def _decoded(self, X, legal=False, random=None, index=None):
        """Return the DataFrame that numbers stand for; `random` draws rare categories."""
        pandas = import_pandas()
        values = np.asarray(X, dtype=np.float64)
        n_encoded = sum(len(column.suffixes) for column in self.columns_.values())
        if values.ndim != 2 or values.shape[1] != n_encoded:
            raise ValueError(
                f"X has shape {values.shape}, but the encoded table has {n_encoded} columns."
            )
        found = {}
        for name, column, part in self._parts():
            drawn = {"random": random} if isinstance(column, Category) else {}
            found[name] = column.decode(values[:, part], legal, **drawn)
        for name, (value, dtype) in self._constants.items():
            found[name] = pandas.Series([value] * len(values), dtype=dtype)
        table = pandas.DataFrame({name: found[name] for name in self._order if name in found})
        return table if index is None else table.set_axis(index)

    def _to_library(self, table):
        return from_pandas(table, self._library, self._schema)

    def _check_names(self, parameter, table):
        given = getattr(self, parameter)
        if given is None or isinstance(given, str):
            return
        unknown = [name for name in given if name not in table]
        if unknown:
            raise ValueError(
                f"The {parameter!r} parameter of {type(self).__name__} names {unknown[0]!r}, which "
                f"is no column of X; its columns: {[*table]}."
            )
        if parameter == "kinds":
            for name, kind in given.items():
                if kind not in KINDS:
                    raise ValueError(
                        f"The 'kinds' parameter of {type(self).__name__} must name kinds among "
                        f"{sorted(KINDS)}, got {kind!r} for the column {name!r}."
                    )

    def _reason_against(self, series, distinct, wanted):
        """Return why a column is left out, or None, and whether no parameter says so."""
        name = series.name
        if name in set(self.exclude):
            return "excluded", False
        if not isinstance(self.id_columns, str) and name in set(self.id_columns):
            return "id", False
        if wanted is not None and name not in wanted:
            return "not among columns=", False
        if not distinct:
            return "empty", True
        asked = wanted is not None or name in (self.kinds or {})
        return ("constant", True) if distinct == 1 and not asked else (None, False)

    def _reason_against_text(self, series, distinct, kind):
        """Return why text or integers are left out unless they are asked for, or None."""
        text = kind == "category" and is_text(series)
        may_be_id = isinstance(self.id_columns, str) and len(series) >= _FEWEST_ROWS
        if may_be_id and distinct == len(series) and (text or counts_rows(series)):
            return "id"
        if text and distinct > max(_DISTINCT * series.notna().sum(), _FEWEST_ROWS):
            return "text whose values are nearly all distinct"
        if text and self.high_cardinality == "drop" and distinct > self.max_categories:
            return f"text of {distinct} values"
        return None

    def _column(self, series, distinct, kind):
        """Return the column, not fitted yet, that a series of some kind is encoded by."""
        hashed = self.high_cardinality == "hash" and distinct > self.max_categories
        if kind == "category" and hashed and is_text(series):
            kind = "hashed"
        own = {"number": [self.numbers], "category": [self.max_categories]}
        return KINDS[kind](*own.get("category" if kind == "hashed" else kind, ()))
