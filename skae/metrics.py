"""How well rows are reconstructed: plain NumPy metrics, and a scorer for any transformer."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length

__all__ = ["explained_variance", "explained_variance_scorer", "reconstruction_error"]


def _check_pair(X, X_reconstructed, sample_weight):
    # The reconstruction of a sparse X is dense anyway.
    X = X.toarray() if sparse.issparse(X) else X
    X = check_array(X, dtype=np.float64, ensure_all_finite="allow-nan")
    X_reconstructed = check_array(X_reconstructed, dtype=np.float64, ensure_all_finite="allow-nan")
    if X.shape != X_reconstructed.shape:
        raise ValueError(
            f"X and X_reconstructed must have the same shape, got {X.shape} and "
            f"{X_reconstructed.shape}."
        )
    check_consistent_length(X, sample_weight)
    if sample_weight is not None and not np.sum(sample_weight) > 0:
        raise ValueError("The sum of sample_weight must be positive, but all weights are zero.")
    if np.isnan(X_reconstructed[~np.isnan(X)]).any():
        raise ValueError("X_reconstructed contains NaN where X has a value.")
    return X, X_reconstructed


def _mean(function, blocks):
    """Return the weighted mean of each feature's values where X is there; 0 where it is nowhere.

    `blocks` returns the blocks of rows of X, what belongs to them, and their weights; `function`
    makes values of the first two.
    """
    total = count = 0.0
    for X, other, weight in blocks():
        observed = ~np.isnan(X)
        counts = observed * (1.0 if weight is None else np.asarray(weight)[:, None])
        total = total + (np.where(observed, function(X, other), 0) * counts).sum(0)
        count = count + counts.sum(0)
    return total / np.where(count > 0, count, 1)


def explained_share(rows, rows_and_rebuilt):
    """Return the explained variance of rows that come in blocks.

    Parameters
    ----------
    rows, rows_and_rebuilt : callable
        Return an iterable of blocks: rows, their reconstruction (None in the first), and weights
        or None.

    Returns
    -------
    share : float
        See `explained_variance`.
    """
    mean = _mean(lambda X, _: X, rows)
    variance = _mean(lambda X, _: (X - mean) ** 2, rows).sum()
    error = _mean(lambda X, rebuilt: (X - rebuilt) ** 2, rows_and_rebuilt).sum()
    if variance == 0:
        return float(error == 0)
    return float(1 - error / variance)


def reconstruction_error(X, X_reconstructed, sample_weight=None) -> float:
    """Return the mean squared error of an entry of X; entries that are NaN do not count.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The data.
    X_reconstructed : array-like of shape (n_samples, n_features)
        Its reconstruction.
    sample_weight : array-like of shape (n_samples,), default=None
        How much each row counts.

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
    squares = np.where(observed, (X - X_reconstructed) ** 2, 0).sum(1)
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight)
    return float((weight * squares).sum() / (weight * observed.sum(1)).sum())


def explained_variance(X, X_reconstructed, sample_weight=None) -> float:
    """Return the share of the total variance of X that its reconstruction explains.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The data.
    X_reconstructed : array-like of shape (n_samples, n_features)
        Its reconstruction.
    sample_weight : array-like of shape (n_samples,), default=None
        How much each row counts.

    Returns
    -------
    share : float
        At most 1, which is best; 0 is as good as the features' means, and below 0 is worse. For a
        constant X it is 1 where the reconstruction is exact and 0 elsewhere.

    Raises
    ------
    ValueError
        If the shapes differ, or if all weights are zero.

    Notes
    -----
    On PCA's training rows this is the sum of its ``explained_variance_ratio_``. The features are
    weighted by their variances, as PCA does, and not averaged as equals. Entries of X that are NaN,
    the padding of shorter sequences, do not count.

    Examples
    --------
    >>> from skae.metrics import explained_variance
    >>> explained_variance([[1.0], [3.0]], [[1.0], [2.0]])
    0.5
    """
    X, X_reconstructed = _check_pair(X, X_reconstructed, sample_weight)
    block = [(X, X_reconstructed, sample_weight)]
    return explained_share(lambda: block, lambda: block)


def explained_variance_scorer(estimator, X, y=None, sample_weight=None) -> float:
    """Score a fitted transformer by the variance that its reconstruction explains.

    Works for everything with ``transform`` and ``inverse_transform``: PCA, skae's transformer, a
    Pipeline of them. Pass it as ``scoring`` to a search or to ``cross_val_score``.

    Parameters
    ----------
    estimator : estimator
        A fitted transformer with ``inverse_transform``.
    X : array-like of shape (n_samples, n_features)
        Rows to reconstruct.
    y : None
        Ignored, so that the function is a scorer.
    sample_weight : array-like of shape (n_samples,), default=None
        How much each row counts.

    Returns
    -------
    share : float
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
    return explained_variance(
        X, estimator.inverse_transform(estimator.transform(X)), sample_weight=sample_weight
    )
