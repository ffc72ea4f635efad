"""Errors: losses with the identity link."""

import math
from numbers import Real

from torch.nn import functional

from .._compat import Interval
from ._base import Loss


class SquaredError(Loss, name="squared_error"):
    """Squared error, PCA's own loss.

    Examples
    --------
    >>> from skae.losses import SquaredError
    >>> SquaredError()
    SquaredError()
    """

    free_scale = 2.0

    def per_entry(self, eta, x):
        return (eta - x).square()

    def log_likelihood(self, eta, x, noise):
        return -self.per_entry(eta, x) / (2 * noise) - 0.5 * math.log(2 * math.pi * noise)


class AbsoluteError(Loss, name="absolute_error"):
    """Absolute error: the median of a feature rather than its mean; robust to outlying entries.

    Examples
    --------
    >>> from skae.losses import AbsoluteError
    >>> AbsoluteError()
    AbsoluteError()
    """

    free_scale = 1.0

    def per_entry(self, eta, x):
        return (eta - x).abs()

    def log_likelihood(self, eta, x, noise):
        return -self.per_entry(eta, x) / noise - math.log(2 * noise)


class Huber(Loss, name="huber"):
    """Squared error near zero and absolute error beyond `delta`.

    Parameters
    ----------
    delta : float, default=1.0
        Where the loss turns linear, in units of X's global standard deviation.

    References
    ----------
    P. J. Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics
    35(1), 1964.

    Examples
    --------
    >>> from skae.losses import Huber
    >>> Huber(delta=0.5)
    Huber(delta=0.5)
    """

    free_scale = 1.0
    _parameter_constraints: dict = {"delta": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, delta=1.0):
        self.delta = delta

    def per_entry(self, eta, x):
        return functional.huber_loss(eta, x, reduction="none", delta=self.delta)
