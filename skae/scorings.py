"""Anomaly scores: how far a row is from the others, by its code and its residual.

A scoring learns from the codes and residuals of training rows what is usual, and measures the
distance of a row from it. Location and spread come from the nearest rows, again and again until
these settle, so that anomalies among the training rows do not make themselves usual.
"""

from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from sklearn.covariance import ledoit_wolf

from ._compat import Interval
from ._strategies import Strategy

__all__ = [
    "SCORINGS",
    "Latent",
    "Mahalanobis",
    "Reconstruction",
    "Scoring",
    "Whitened",
]

# Concentration steps: the nearest rows are nearly always the same again after fewer.
_MOST_STEPS = 10
# Eigenvalues below this share of the mean one are rounding.
_SMALLEST = 1e-6
# A variance that stands for none, in features of unit spread: most rows may be the same.
_NOTHING = 1e-12


class View(NamedTuple):
    """What a net makes of some rows: see `Scoring`."""

    code: torch.Tensor
    residual: torch.Tensor
    loss: torch.Tensor


class Scoring(Strategy):
    """Base class of the anomaly scores.

    A subclass defines `fit` and `distance`. Both get a view of some rows: a named tuple of their
    ``code``, of shape (n, n_components); their ``residual``, of shape (n, n_features), in rows
    centred and divided by X's global scale; and their ``loss``, of shape (n,). What `fit` learns is
    kept as NumPy arrays and plain numbers in attributes that end in an underscore.
    """

    def fit(self, view, weight):
        """Learn what is usual from training rows.

        Parameters
        ----------
        view : View
            Of the training rows, in float64.
        weight : ndarray of shape (n,)
            How often each row counts.
        """

    def distance(self, view):
        """Return how unusual rows are.

        Parameters
        ----------
        view : View
            Of any rows, in float64.

        Returns
        -------
        distance : Tensor of shape (n,)
            Larger is more unusual; differentiable in the view.
        """
        raise NotImplementedError


SCORINGS = Scoring.registry


def _nearest(distance, weight, fraction):
    """Return the mask of the nearest rows, which have this fraction of all the weight."""
    order = np.argsort(distance, kind="stable")
    reached = np.cumsum(weight[order])
    nearest = np.zeros(len(order), dtype=bool)
    nearest[order[: 1 + np.searchsorted(reached, fraction * reached[-1] * (1 - 1e-12))]] = True
    return nearest


def _weighted_median(values, weight):
    order = np.argsort(values)
    reached = np.cumsum(weight[order])
    return values[order[np.searchsorted(reached, reached[-1] / 2)]]


def _spread(features, weight):
    """Return the standard deviations of features, 1 where there is none."""
    centred = features - np.average(features, axis=0, weights=weight)
    deviation = np.sqrt(np.average(centred**2, axis=0, weights=weight))
    constant = deviation <= 1e-9 * np.abs(features).max(axis=0)
    return np.where(constant, 1.0, deviation)


def _diagonal(features):
    return np.diag((features**2).mean(0))


def _shrunk(features):
    if len(features) == 1:
        return _diagonal(features)
    return ledoit_wolf(features, assume_centered=True)[0]


def _concentrate(features, weight, fraction, scatter):
    """Return the location and the whitening matrix of the nearest rows.

    Parameters
    ----------
    features : ndarray of shape (n, p)
        Of unit spread.
    weight : ndarray of shape (n,)
    fraction : float
        Share of the rows that counts as nearest.
    scatter : callable
        Estimates a covariance from centred rows.

    Returns
    -------
    location : ndarray of shape (p,)
    whitening : ndarray of shape (p, p)
        The squared norm of ``(x - location) @ whitening`` is the distance; its median over the
        rows is that of a chi-squared variable with as many degrees of freedom as there are
        directions of variance.
    """
    nearest = np.ones(len(features), dtype=bool)
    for step in range(_MOST_STEPS):
        rows, counts = features[nearest], weight[nearest]
        location = np.average(rows, axis=0, weights=counts)
        # A row that counts twice enters the second moments as one that is sqrt(2) times as long.
        scaled = (rows - location) * np.sqrt(counts / counts.mean())[:, None]
        variance, vectors = np.linalg.eigh(scatter(scaled))
        smallest = max(_SMALLEST * variance.mean(), _NOTHING)
        whitening = vectors / np.sqrt(np.maximum(variance, smallest))
        distance = (((features - location) @ whitening) ** 2).sum(1)
        before, nearest = nearest, _nearest(distance, weight, fraction)
        if step > 0 and (nearest == before).all():
            break
    middle = _weighted_median(distance, weight)
    rank = max(1, int((variance > smallest).sum()))
    if middle > 0:
        whitening = whitening * np.sqrt(stats.chi2.ppf(0.5, rank) / middle)
    return location, whitening


class _Distance(Scoring):
    """A squared distance from the nearest rows, in features of the view."""

    scatter = staticmethod(_shrunk)
    _parameter_constraints: dict = {"support_fraction": [Interval(Real, 0, 1, closed="right")]}

    def __init__(self, support_fraction=0.6):
        self.support_fraction = support_fraction

    def _features(self, view):
        raise NotImplementedError

    def fit(self, view, weight):
        features = self._features(view).numpy()
        spread = _spread(features, weight)
        location, whitening = _concentrate(
            features / spread, weight, self.support_fraction, self.scatter
        )
        self.location_ = location * spread
        self.whitening_ = whitening / spread[:, None]

    def distance(self, view):
        location, whitening = map(torch.from_numpy, (self.location_, self.whitening_))
        return ((self._features(view) - location) @ whitening).square().sum(1)


class Mahalanobis(_Distance, name="mahalanobis"):
    """Squared Mahalanobis distance of the code and the residual together.

    Parameters
    ----------
    support_fraction : float, default=0.6
        Share of the training rows, the nearest, that mean and covariance are estimated from.

    Attributes
    ----------
    location_ : ndarray of shape (n_components + n_features,)
        Mean of the nearest rows.
    whitening_ : ndarray of shape (n_components + n_features, n_components + n_features)
        The distance is the squared norm of the centred row times this matrix.

    Notes
    -----
    The search for the nearest rows starts from all rows. It finds the bulk where anomalies are
    scattered; a dense cluster of a quarter of the rows or more can pass for a part of it. Starts
    that withstand that (from medians, or the better of two) ranked real anomalies worse.

    The covariance is shrunk (Ledoit-Wolf), so that it can be inverted with fewer rows than features
    and with constant ones. It is scaled so that the median distance of the training rows is that of
    a chi-squared variable.

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

    def _features(self, view):
        return torch.cat([view.code, view.residual], dim=1)


class Latent(_Distance, name="latent"):
    """Squared Mahalanobis distance of the code alone.

    Parameters
    ----------
    support_fraction : float, default=0.6
        Share of the training rows, the nearest, that mean and covariance are estimated from.

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

    def _features(self, view):
        return view.code


class Whitened(_Distance, name="whitened"):
    """Sum of the squared residuals, each over its own spread.

    Parameters
    ----------
    support_fraction : float, default=0.6
        Share of the training rows, the nearest, that the spreads are estimated from.

    Attributes
    ----------
    location_ : ndarray of shape (n_features,)
        Mean residual of the nearest rows.
    whitening_ : ndarray of shape (n_features, n_features)
        Diagonal: one over the spreads, but for a common factor.

    Examples
    --------
    >>> from skae.scorings import Whitened
    >>> Whitened(support_fraction=0.9)
    Whitened(support_fraction=0.9)
    """

    scatter = staticmethod(_diagonal)

    def _features(self, view):
        return view.residual


class Reconstruction(Scoring, name="reconstruction"):
    """The reconstruction loss of a row, which most autoencoder detectors take.

    Examples
    --------
    >>> from skae.scorings import Reconstruction
    >>> Reconstruction()
    Reconstruction()
    """

    def distance(self, view):
        return view.loss
