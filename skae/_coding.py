"""Rows to codes and back, for every estimator with an autoencoder in it."""

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted


class CodingMixin:
    """The methods that show what the autoencoder makes of rows.

    A subclass has it before `TransformerMixin` and has ``_check_rows`` and an ``_autoencoder`` that
    encodes and decodes.
    """

    def transform(self, X) -> np.ndarray:
        """Return the codes of X.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components)
            In X's own float type.
        """
        check_is_fitted(self)
        return self._autoencoder._encode(self._check_rows(X))

    def inverse_transform(self, X) -> np.ndarray:
        """Return the reconstructions that belong to codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            In the codes' own float type.

        Raises
        ------
        ValueError
            If the codes do not have ``n_components_`` columns.
        """
        check_is_fitted(self)
        net = self._autoencoder
        Z = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        if Z.shape[1] != net.n_components_:
            raise ValueError(
                f"X has {Z.shape[1]} columns, but {type(self).__name__} has n_components_="
                f"{net.n_components_}."
            )
        return net._decode(Z)

    def reconstruct(self, X) -> np.ndarray:
        """Return X as the autoencoder sees it: encoded and decoded.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            ``inverse_transform(transform(X))``; with a multinomial loss times the rows' totals.
            NaN in the padding of shorter sequences.
        """
        check_is_fitted(self)
        net = self._autoencoder
        X = self._check_rows(X)
        return net._map(net._rebuild, X, net.n_features_in_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
