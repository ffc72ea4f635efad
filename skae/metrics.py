"""Metrics of a reconstruction, and a scorer for any transformer that can reconstruct."""

import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length

__all__ = ["explained_variance", "explained_variance_scorer", "reconstruction_error"]


def _check_pair(X, X_reconstructed, sample_weight):
    # The reconstruction of a sparse X is dense, so X may be made dense, too.
    X = X.toarray() if sparse.issparse(X) else X
    X = check_array(X, dtype=np.float64, ensure_all_finite="allow-nan")
    X_reconstructed = check_array(X_reconstructed, dtype=np.float64, ensure_all_finite="allow-nan")
    shape = X_reconstructed.shape
    if X.shape != shape:
        raise ValueError(
            f"X and X_reconstructed must have the same shape, got {X.shape} and {shape}."
        )
    check_consistent_length(X, sample_weight)
    if sample_weight is not None and not np.sum(sample_weight) > 0:
        raise ValueError("The sum of sample_weight must be positive, but all weights are zero.")
    if np.isnan(X_reconstructed[~np.isnan(X)]).any():
        raise ValueError("X_reconstructed contains NaN where X has a value.")
    return X, X_reconstructed


def _unit(X):
    """Return the power of two just below the largest absolute value of X.

    Division by it changes no digit, and the squares of what is left fit in a float64.
    """
    largest = float(np.fmax.reduce(np.abs(X), None, initial=0.0))
    return 2.0 ** (int(np.frexp(largest)[1]) - 1) if largest > 0 else 1.0


def relative_weight(sample_weight):
    """Return weights of which the largest is about one."""
    if sample_weight is None:
        return None
    sample_weight = np.asarray(sample_weight, dtype=np.float64)
    return sample_weight / _unit(sample_weight)


def _mean(function, blocks):
    """Return the weighted mean of each feature's values, or 0 where all rows miss the feature.

    `function` computes the values from rows of X. See `explained_variance_of_blocks`.
    """
    total = count = 0.0
    for X, weight in blocks():
        observed = ~np.isnan(X)
        counts = observed * (1.0 if weight is None else np.asarray(weight)[:, None])
        total = total + (np.where(observed, function(X), 0) * counts).sum(0)
        count = count + counts.sum(0)
    return total / np.where(count > 0, count, 1)


def explained_variance_of_blocks(blocks, reconstruct):
    """Return the explained variance of rows that come in blocks.

    `blocks` is called without arguments and returns an iterable of pairs of rows and their weights
    or None. `reconstruct` returns the reconstruction of such rows.
    """
    unit = max(_unit(X) for X, _ in blocks())

    def scaled(X):
        return np.divide(X, unit, dtype=np.float64)

    with np.errstate(over="ignore"):
        mean = _mean(scaled, blocks)
        variance = _mean(lambda X: (scaled(X) - mean) ** 2, blocks).sum()
        error = _mean(lambda X: (scaled(X) - scaled(reconstruct(X))) ** 2, blocks).sum()
        if variance == 0:
            return float(error == 0)
        return max(float(1 - error / variance), -sys.float_info.max)


def reconstruction_error(
    X: Any, X_reconstructed: Any, sample_weight: ArrayLike | None = None
) -> float:
    """Return the mean squared error of the entries of X that are not missing (NaN).

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The data.
    X_reconstructed : array-like of shape (n_samples, n_features)
        Its reconstruction.
    sample_weight : array-like of shape (n_samples,), default=None
        The weight of each row.

    Returns
    -------
    error : float
        In squared units of X; 0 is best.

    Raises
    ------
    ValueError
        If the shapes differ, or if all weights are zero.

    Examples
    --------
    >>> from skae.metrics import reconstruction_error
    >>> reconstruction_error([[1.0, 2.0]], [[1.0, 4.0]])
    2.0
    """
    X, X_reconstructed = _check_pair(X, X_reconstructed, sample_weight)
    observed = ~np.isnan(X)
    unit = max(_unit(X), _unit(X_reconstructed))
    squares = np.where(observed, (X / unit - X_reconstructed / unit) ** 2, 0).sum(1)
    weight = np.ones(len(X)) if sample_weight is None else relative_weight(sample_weight)
    mean = (weight * squares).sum() / (weight * observed.sum(1)).sum()
    # in Python's floats, which overflow without a warning
    return float(mean) * unit * unit


def explained_variance(
    X: Any, X_reconstructed: Any, sample_weight: ArrayLike | None = None
) -> float:
    """Return the fraction of the total variance of X that its reconstruction explains.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The data.
    X_reconstructed : array-like of shape (n_samples, n_features)
        Its reconstruction.
    sample_weight : array-like of shape (n_samples,), default=None
        The weight of each row.

    Returns
    -------
    explained_variance : float
        At most 1, which is best. 0 is as good as the features' means, and negative values are
        worse. If X is constant, it is 1 if the reconstruction is exact and 0 otherwise.

    Raises
    ------
    ValueError
        If the shapes differ, or if all weights are zero.

    Notes
    -----
    On the training rows of PCA this is the sum of its ``explained_variance_ratio_``. As in PCA,
    features with a larger variance count more; it is not the mean of the features' explained
    variances. Missing entries of X (NaN) do not count. The padding of sequences is missing.

    Examples
    --------
    >>> from skae.metrics import explained_variance
    >>> explained_variance([[1.0], [3.0]], [[1.0], [2.0]])
    0.5
    """
    X, X_reconstructed = _check_pair(X, X_reconstructed, sample_weight)
    weight = relative_weight(sample_weight)
    return explained_variance_of_blocks(lambda: [(X, weight)], lambda _: X_reconstructed)


def explained_variance_scorer(
    estimator: Any, X: Any, y: Any = None, sample_weight: ArrayLike | None = None
) -> float:
    """Score a fitted transformer by the variance that its reconstruction explains.

    It works for PCA, skae's transformer, a Pipeline of transformers and the like. Pass it as
    ``scoring`` to a search or to ``cross_val_score``.

    Parameters
    ----------
    estimator : estimator
        A fitted transformer with ``inverse_transform``.
    X : array-like of shape (n_samples, n_features)
        Rows to reconstruct.
    y : None
        Ignored. scikit-learn passes a target to every scorer.
    sample_weight : array-like of shape (n_samples,), default=None
        The weight of each row.

    Returns
    -------
    explained_variance : float
        See `explained_variance`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import cross_val_score
    >>> from skae.metrics import explained_variance_scorer
    >>> X = load_iris().data
    >>> scores = cross_val_score(PCA(2), X, scoring=explained_variance_scorer)
    >>> scores.shape
    (5,)
    """
    reconstructed = estimator.inverse_transform(estimator.transform(X))
    return explained_variance(X, reconstructed, sample_weight)
