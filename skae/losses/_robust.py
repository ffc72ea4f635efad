"""Losses of numbers on which large errors count less than by their square."""

import math
from numbers import Real

from torch.nn import functional

from .._utils.sklearn import Interval
from ._base import Loss
from .likelihood import Likelihood


class AbsoluteError(Likelihood, Loss, name="absolute_error", also=("mae", "l1")):
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


class Huber(Loss, name="huber", also=("smooth_l1",)):
    """Squared error near zero and absolute error beyond `delta`.

    Parameters
    ----------
    delta : float, default=1.0
        Where the loss turns linear, in units of X's global standard deviation.

    References
    ----------
    P. J. Huber, "Robust Estimation of a Location Parameter", Annals of Math. Statistics 35, 1964.

    Examples
    --------
    >>> from skae.losses import Huber
    >>> Huber(delta=0.5)
    Huber(delta=0.5)
    """

    free_scale = 1.0
    _parameter_constraints: dict = {"delta": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, delta: float = 1.0):
        self.delta = delta

    def per_entry(self, eta, x):
        return functional.huber_loss(eta, x, reduction="none", delta=self.delta)

    def residual(self, eta, x):
        return (x - eta).clamp(-self.delta, self.delta)

    def curvature(self, eta, x, d):
        # Of the parabola that touches the loss there and is nowhere below it.
        weight = self.delta / (x - eta).abs().clamp(min=self.delta)
        return (weight * d.square()).sum(1)
