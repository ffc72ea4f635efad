"""The autoencoder of tables."""

from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .. import AutoencoderTransformer
from .._utils.sklearn import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from .._utils.stored import VersionedMixin
from ..losses import Mixed
from ._base import names_of
from ._encoder import TableEncoder
from ._frames import (
    from_pandas,
    library_of,
    schema_of,
    table_tags,
    to_pandas,
)

# Rows whose residuals are kept, and rows that are drawn to learn how drawn numbers are distributed.
_N_KEPT = 2000


class TableAutoencoder(
    VersionedMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """An autoencoder of tables: from a DataFrame to codes and back to a DataFrame.

    `TableEncoder` encodes the table and `skae.AutoencoderTransformer` learns it with a loss for
    each kind of column: squared errors of numbers and dates, cross-entropy of categories. It starts
    as the PCA of the encoded table. Missing entries are left out of the loss.

    Read more in the :doc:`page on tables </tables>`.

    Parameters
    ----------
    n_components : int, float, "mle" or None, default=2
        Width of the code, as for `AutoencoderTransformer`.
    encoder : TableEncoder or None, default=None
        What encodes the table. None is one with default parameters.
    autoencoder : AutoencoderTransformer or None, default=None
        The autoencoder, whose ``n_components`` and ``loss`` are set here. None is one with default
        parameters.
    random_state : int, RandomState instance or None, default=None
        Seed of the autoencoder; None leaves the autoencoder's own.

    Attributes
    ----------
    encoder_ : TableEncoder
        The fitted encoder.
    autoencoder_ : AutoencoderTransformer
        The autoencoder, fitted on the encoded table.
    n_features_in_ : int
        Number of columns of the table.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where they are all strings.

    See Also
    --------
    TableAnomalyDetector : Which rows of a table are odd, and which of their columns.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae.tables import TableAutoencoder
    >>> table = load_iris(as_frame=True).data
    >>> table["species"] = load_iris().target_names[load_iris().target]
    >>> table.loc[0, "species"] = None
    >>> model = TableAutoencoder(n_components=2, random_state=0).fit(table)
    >>> model.transform(table).shape
    (150, 2)
    >>> model.impute(table).loc[0, "species"]
    'setosa'
    """

    encoder_: TableEncoder
    autoencoder_: AutoencoderTransformer

    _parameter_constraints: dict = {
        "n_components": "no_validation",
        "encoder": [TableEncoder, None],
        "autoencoder": [AutoencoderTransformer, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int | float | str | None = 2,
        *,
        encoder: TableEncoder | None = None,
        autoencoder: AutoencoderTransformer | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_components = n_components
        self.encoder = encoder
        self.autoencoder = autoencoder
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the encoding of a table, and train the autoencoder on it.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table: a pandas, polars or Arrow frame, or an array.
        y : None
            Ignored.

        Returns
        -------
        self : TableAutoencoder
            Fitted.

        Raises
        ------
        ValueError
            If the table or a parameter is not allowed; see `TableEncoder.fit`.
        """
        self._validate_params()
        encoder = clone(TableEncoder() if self.encoder is None else self.encoder).fit(X)
        own = AutoencoderTransformer() if self.autoencoder is None else clone(self.autoencoder)
        own.set_params(n_components=self.n_components, loss=Mixed(encoder.blocks_))
        if self.random_state is not None:
            own.set_params(random_state=self.random_state)
        encoded = encoder.transform(X)
        own.fit(encoded)
        some = np.random.RandomState(0).permutation(len(encoded))[:_N_KEPT]
        residuals = np.nan_to_num(encoded[some] - own.reconstruct(encoded[some]))
        self.__dict__.pop("feature_names_in_", None)
        self.__dict__.update(
            names_of(encoder), encoder_=encoder, autoencoder_=own, _residuals=residuals
        )
        return self

    @property
    def _n_features_out(self):
        return self.autoencoder_.n_components_

    def transform(self, X: Any) -> np.ndarray:
        """Return the codes of the rows of a table.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            A table with the columns of the training table.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components)
            In float64.
        """
        check_is_fitted(self)
        return self.autoencoder_.transform(self.encoder_.transform(X))

    def inverse_transform(self, X: Any) -> Any:
        """Return the table that belongs to codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        table : DataFrame or ndarray
            With the columns and dtypes of the training table, in its library; numbers are kept
            within the range of the training table. Columns that the encoder left out, but for
            constants, are not among them.
        """
        check_is_fitted(self)
        encoded = self.autoencoder_.inverse_transform(X)
        return self.encoder_._to_library(self.encoder_._decoded(encoded, legal=True))

    def reconstruct(self, X: Any) -> Any:
        """Return a table as the autoencoder sees it: encoded and decoded.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            A table with the columns of the training table.

        Returns
        -------
        table : DataFrame or ndarray
            As from `inverse_transform`.
        """
        return self.inverse_transform(self.transform(X))

    def impute(self, X: Any) -> Any:
        """Return a table whose missing entries are filled by their reconstructions.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            A table with the columns of the training table.

        Returns
        -------
        table : DataFrame or ndarray
            The table itself, with values in the encoded columns where there were none.
        """
        check_is_fitted(self)
        table = to_pandas(X).copy()
        encoded = self.encoder_.transform(X)
        filled = self.encoder_._decoded(
            self.autoencoder_.reconstruct(encoded), legal=True, index=table.index
        )
        names = [*table]
        if library_of(X) == "numpy":
            table = table.set_axis(self.encoder_._order, axis=1)
        for name in self.encoder_.columns_:
            missing = table[name].isna()
            if missing.any():
                whole = table[name].astype(object).where(~missing, filled[name].astype(object))
                table[name] = whole.astype(filled[name].dtype)
        return from_pandas(table.set_axis(names, axis=1), library_of(X), schema_of(X))

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None
    ) -> Any:
        """Return new rows.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        random_state : int, RandomState instance or None, default=None
            Seed of the rows.

        Returns
        -------
        table : DataFrame or ndarray
            Rows with the columns and dtypes of the training table, without missing entries. Codes
            are drawn by ``AutoencoderTransformer.sample``, residuals of training rows are added to
            the numbers, and categories are drawn with their probabilities. Numbers are then moved,
            in their order, to where the training table's are, so that each column has the
            distribution that it has there.

        Raises
        ------
        ValueError
            If `n_samples` is not an int >= 1.
        """
        check_is_fitted(self)
        random = check_random_state(random_state)
        rows, typical = (
            self._drawn(n_samples, random),
            self._drawn(_N_KEPT, np.random.RandomState(0)),
        )
        for _, column, part in self.encoder_._parts():
            if column.quantiles is None:
                rows[:, part] = column.draw(rows[:, part], random)
                continue
            levels = np.linspace(0, 1, len(typical))
            level = np.interp(rows[:, part.start], np.sort(typical[:, part.start]), levels)
            known = np.linspace(0, 1, len(column.quantiles))
            rows[:, part.start] = np.interp(level, known, column.quantiles)
        return self.encoder_._to_library(self.encoder_._decoded(rows, legal=True, random=random))

    def _drawn(self, n_samples, random):
        """Return encoded rows: numbers with noise, and probabilities."""
        rows = self.autoencoder_.sample(n_samples, random)
        noise = self._residuals[random.randint(len(self._residuals), size=n_samples)]
        for _, column, part in self.encoder_._parts():
            if column.quantiles is not None:
                rows[:, part] += noise[:, part]
        return rows

    def column_errors(self, X: Any) -> Any:
        """Return how well each column of a table is reconstructed.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            A table with the columns of the training table; rows that were not trained on.

        Returns
        -------
        errors : DataFrame
            As from `TableEncoder.column_errors`.
        """
        check_is_fitted(self)
        encoded = self.encoder_.transform(X)
        return self.encoder_.column_errors(encoded, self.autoencoder_.reconstruct(encoded))

    def score(self, X: Any, y: Any = None) -> float:
        """Return ``autoencoder_.score`` of the encoded table.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            A table with the columns of the training table.
        y : None
            Ignored.

        Returns
        -------
        score : float
            The explained fraction of what the mean leaves; higher is better.
        """
        check_is_fitted(self)
        return self.autoencoder_.score(self.encoder_.transform(X))

    def __sklearn_tags__(self):
        return table_tags(super().__sklearn_tags__())
