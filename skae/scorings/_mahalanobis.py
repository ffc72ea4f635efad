"""Mahalanobis distances of codes and residuals."""

from numbers import Real

import numpy as np
import torch
from scipy import stats
from sklearn.covariance import ledoit_wolf

from .._utils.sklearn import Interval
from ._base import Scoring

# Standard deviations up to this fraction of the typical one are none: their squares' inverses
# would not fit in a float64.
MIN_DEVIATION = 1e-60
# The choice of the nearest rows nearly always stops changing after fewer steps.
_MAX_STEPS = 10
# Eigenvalues below this fraction of the mean eigenvalue are rounding errors.
_MIN_EIGENVALUE_RATIO = 1e-6
# Lower bound of the eigenvalues where most rows are equal and the mean eigenvalue is zero.
_MIN_EIGENVALUE = 1e-12
# Values are clipped here, in standard deviations, so that sums of their fourth powers are numbers.
_LARGEST = 1e70


def scale_of(features, weight):
    """Return the standard deviation of each feature, or 1 where the feature is constant."""
    centred = features - np.average(features, axis=0, weights=weight)
    deviation = np.sqrt(np.average(centred**2, axis=0, weights=weight))
    constant = deviation <= np.maximum(1e-9 * np.abs(features).max(axis=0), MIN_DEVIATION)
    return np.where(constant, 1.0, deviation)


def _nearest_rows(distance, weight, fraction):
    """Return a mask of the nearest rows that together have this fraction of the total weight."""
    order = np.argsort(distance, kind="stable")
    cumulative = np.cumsum(weight[order])
    last = np.searchsorted(cumulative, fraction * cumulative[-1] * (1 - 1e-12))
    nearest = np.zeros(len(order), dtype=bool)
    nearest[order[: last + 1]] = True
    return nearest


class _MahalanobisBase(Scoring):
    """A squared Mahalanobis distance of what a subclass's `_features` returns.

    Anomalies must not distort the location and the covariance. They are therefore computed from the
    rows with the smallest distances, until the choice of these rows no longer changes.
    """

    _parameter_constraints: dict = {"support_fraction": [Interval(Real, 0, 1, closed="right")]}

    def __init__(self, support_fraction: float = 0.6):
        self.support_fraction = support_fraction

    def _covariance(self, features):
        if len(features) == 1:
            return np.diag(features[0] ** 2)
        return ledoit_wolf(features, assume_centered=True)[0]

    def fit(self, residuals, weight):
        features = self._features(residuals).numpy()
        scale = scale_of(features, weight)
        features = np.clip(features / scale, -_LARGEST, _LARGEST)
        nearest = np.ones(len(features), dtype=bool)
        for step in range(_MAX_STEPS):
            rows, counts = features[nearest], weight[nearest]
            location = np.average(rows, axis=0, weights=counts)
            # In a second moment a row of weight w is the same as the row times the root of w.
            scaled = (rows - location) * np.sqrt(counts / counts.mean())[:, None]
            variance, vectors = np.linalg.eigh(self._covariance(scaled))
            smallest = max(_MIN_EIGENVALUE_RATIO * variance.mean(), _MIN_EIGENVALUE)
            whitening = vectors / np.sqrt(np.maximum(variance, smallest))
            distance = (((features - location) @ whitening) ** 2).sum(1)
            before, nearest = nearest, _nearest_rows(distance, weight, self.support_fraction)
            if step > 0 and (nearest == before).all():
                break
        # The median distance becomes that of a chi-squared distribution, with as many degrees of
        # freedom as there are directions in which the rows vary.
        order = np.argsort(distance)
        cumulative = np.cumsum(weight[order])
        median = distance[order[np.searchsorted(cumulative, cumulative[-1] / 2)]]
        if median > MIN_DEVIATION**2:
            rank = max(1, int((variance > smallest).sum()))
            whitening = whitening * np.sqrt(stats.chi2.ppf(0.5, rank) / median)
        self.location_ = location * scale
        self.whitening_ = whitening / scale[:, None]

    def distance(self, residuals):
        location, whitening = map(torch.from_numpy, (self.location_, self.whitening_))
        return ((self._features(residuals) - location) @ whitening).square().sum(1)


class Mahalanobis(_MahalanobisBase, name="mahalanobis"):
    """Squared Mahalanobis distance of the code and the residual, joined to one vector.

    Parameters
    ----------
    support_fraction : float, default=0.6
        The fraction of the training rows, those with the smallest distances, that the mean and the
        covariance are estimated from.

    Attributes
    ----------
    location_ : ndarray of shape (n_components + n_features,)
        Mean of the nearest rows.
    whitening_ : ndarray of shape (n_components + n_features, n_components + n_features)
        The distance is the squared norm of the centred row times this matrix.

    Notes
    -----
    The search for the nearest rows starts from all rows. Anomalies that form a dense cluster of a
    quarter of the rows or more can be taken for normal rows. Searches that start from the medians,
    or that take the better of two starts, avoid that but ranked real anomalies worse.

    The covariance is shrunk (Ledoit-Wolf), so that it can be inverted if there are fewer rows than
    features or if features are constant. It is scaled so that the median distance of the training
    rows is the median of a chi-squared distribution.

    References
    ----------
    P. J. Rousseeuw, K. Van Driessen, "A Fast Algorithm for the Minimum Covariance Determinant
    Estimator", Technometrics 41(3), 1999.

    O. Ledoit, M. Wolf, "A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices",
    Journal of Multivariate Analysis 88(2), 2004.

    Examples
    --------
    >>> from skae.scorings import Mahalanobis
    >>> Mahalanobis(support_fraction=0.9)
    Mahalanobis(support_fraction=0.9)
    """

    def _features(self, residuals):
        return torch.cat([residuals.code, residuals.residual], dim=1)


class Latent(_MahalanobisBase, name="latent"):
    """Squared Mahalanobis distance of the code alone.

    Parameters
    ----------
    support_fraction : float, default=0.6
        As for `Mahalanobis`.

    Attributes
    ----------
    location_ : ndarray of shape (n_components,)
        Mean of the nearest rows.
    whitening_ : ndarray of shape (n_components, n_components)
        The distance is the squared norm of the centred code times this matrix.

    Examples
    --------
    >>> from skae.scorings import Latent
    >>> Latent(support_fraction=0.9)
    Latent(support_fraction=0.9)
    """

    def _features(self, residuals):
        return residuals.code


class Whitened(_MahalanobisBase, name="whitened"):
    """Sum of the squared residuals, each divided by the standard deviation of its feature.

    Parameters
    ----------
    support_fraction : float, default=0.6
        As for `Mahalanobis`.

    Attributes
    ----------
    location_ : ndarray of shape (n_features,)
        Mean residual of the nearest rows.
    whitening_ : ndarray of shape (n_features, n_features)
        A diagonal matrix: the inverse standard deviations, times a common factor.

    Examples
    --------
    >>> from skae.scorings import Whitened
    >>> Whitened(support_fraction=0.9)
    Whitened(support_fraction=0.9)
    """

    def _covariance(self, features):
        return np.diag((features**2).mean(0))

    def _features(self, residuals):
        return residuals.residual
