"""Learning-rate schedules: thin strategies over torch.optim.lr_scheduler."""

import math
from numbers import Integral, Real

from torch.optim import lr_scheduler

from ._compat import Interval
from ._strategies import Strategy

__all__ = [
    "SCHEDULES",
    "Cosine",
    "Exponential",
    "OneCycle",
    "Plateau",
    "Schedule",
    "Step",
]


# The first rate is the full one over the one number, the last rate the first over the other.
_ONE_CYCLE_START, _ONE_CYCLE_END = 25.0, 1e4


class Schedule(Strategy):
    """Base class of the learning-rate schedules.

    A subclass defines `build`. ``every_step`` says whether the rate changes after each batch
    rather than after each epoch, ``needs_loss`` whether the change depends on the loss.
    """

    every_step = False
    needs_loss = False

    def build(self, optimizer, n_epochs, n_batches):
        """Return the torch scheduler.

        Parameters
        ----------
        optimizer : torch.optim.Optimizer
            Its learning rate is the largest one.
        n_epochs : int
            Epochs of the whole fit.
        n_batches : int
            Batches of an epoch.

        Returns
        -------
        scheduler : torch.optim.lr_scheduler.LRScheduler
            Or something else with a method `step`, called after each batch or each epoch.
        """
        raise NotImplementedError


SCHEDULES = Schedule.registry


class _EveryStep:
    """Sets the rate of every step by its formula, at a fraction of what torch's schedulers cost."""

    def __init__(self, optimizer, rate_at):
        self._groups = optimizer.param_groups
        self._rate_at = rate_at
        self._n_steps = -1
        self.step()

    def step(self):
        self._n_steps += 1
        rate = self._rate_at(self._n_steps)
        for group in self._groups:
            group["lr"] = rate


def _along_cosine(start, end, share):
    """Return the number that far on the way from start to end, along half a cosine."""
    return end + (start - end) / 2 * (math.cos(math.pi * min(share, 1.0)) + 1)


class Exponential(Schedule, name="exponential"):
    """Multiply the learning rate by the same factor after every epoch.

    Parameters
    ----------
    final : float, default=0.01
        What is left of the learning rate at the last epoch, as a share.

    Examples
    --------
    >>> from skae.schedules import Exponential
    >>> Exponential(final=0.1)
    Exponential(final=0.1)
    """

    _parameter_constraints: dict = {"final": [Interval(Real, 0, 1, closed="right")]}

    def __init__(self, final=0.01):
        self.final = final

    def build(self, optimizer, n_epochs, n_batches):
        return lr_scheduler.ExponentialLR(optimizer, self.final ** (1 / n_epochs))


class Step(Schedule, name="step"):
    """Multiply the learning rate by `factor` at evenly spaced epochs.

    Parameters
    ----------
    n_steps : int, default=3
        How often the rate drops during the fit.
    factor : float, default=0.3
        What is left of the rate after a drop, as a share.

    Examples
    --------
    >>> from skae.schedules import Step
    >>> Step(n_steps=2, factor=0.1)
    Step(factor=0.1, n_steps=2)
    """

    _parameter_constraints: dict = {
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "factor": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, n_steps=3, factor=0.3):
        self.n_steps = n_steps
        self.factor = factor

    def build(self, optimizer, n_epochs, n_batches):
        every = max(1, n_epochs // (self.n_steps + 1))
        return lr_scheduler.StepLR(optimizer, every, self.factor)


class Cosine(Schedule, name="cosine"):
    """Let the learning rate fall along half a cosine to zero.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.

    Examples
    --------
    >>> from skae.schedules import Cosine
    >>> Cosine()
    Cosine()
    """

    every_step = True

    def build(self, optimizer, n_epochs, n_batches):
        rate, n_steps = optimizer.param_groups[0]["lr"], n_epochs * n_batches
        return _EveryStep(optimizer, lambda step: _along_cosine(rate, 0.0, step / n_steps))


class OneCycle(Schedule, name="one_cycle"):
    """Raise the learning rate from a 25th to its full value, then let it fall to nearly zero.

    Parameters
    ----------
    warm_up : float, default=0.3
        The share of the fit in which the rate rises.

    References
    ----------
    L. N. Smith, N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates", 2018.

    Examples
    --------
    >>> from skae.schedules import OneCycle
    >>> OneCycle(warm_up=0.1)
    OneCycle(warm_up=0.1)
    """

    every_step = True
    _parameter_constraints: dict = {"warm_up": [Interval(Real, 0, 1, closed="neither")]}

    def __init__(self, warm_up=0.3):
        self.warm_up = warm_up

    def build(self, optimizer, n_epochs, n_batches):
        peak, n_steps = optimizer.param_groups[0]["lr"], n_epochs * n_batches
        first = peak / _ONE_CYCLE_START
        top = self.warm_up * (n_steps + 1) - 1

        def rate_at(step):
            if step <= top and top > 0:
                return _along_cosine(first, peak, step / top)
            return _along_cosine(peak, first / _ONE_CYCLE_END, (step - top) / (n_steps - top))

        return _EveryStep(optimizer, rate_at)


class Plateau(Schedule, name="plateau"):
    """Multiply the learning rate by `factor` when the loss has not fallen for `patience` epochs.

    Parameters
    ----------
    patience : int, default=5
        Epochs without a lower loss before the rate drops.
    factor : float, default=0.3
        What is left of the rate after a drop, as a share.

    Examples
    --------
    >>> from skae.schedules import Plateau
    >>> Plateau(patience=3)
    Plateau(patience=3)
    """

    needs_loss = True
    _parameter_constraints: dict = {
        "patience": [Interval(Integral, 0, None, closed="left")],
        "factor": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, patience=5, factor=0.3):
        self.patience = patience
        self.factor = factor

    def build(self, optimizer, n_epochs, n_batches):
        return lr_scheduler.ReduceLROnPlateau(optimizer, factor=self.factor, patience=self.patience)
