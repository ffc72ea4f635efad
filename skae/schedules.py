"""Learning-rate schedules: strategies that build a scheduler, mostly of torch.optim."""

import math
from numbers import Integral, Real

from torch.optim import lr_scheduler

from ._utils.registry import Strategy
from ._utils.sklearn import Interval

__all__ = ["SCHEDULES", "Cosine", "Exponential", "OneCycle", "Plateau", "Schedule", "Step"]


class Schedule(Strategy):
    """Base class of the learning-rate schedules.

    A subclass defines `build`.

    Attributes
    ----------
    every_step : bool, default=False
        Whether the rate changes after each training step rather than after each epoch.
    needs_loss : bool, default=False
        Whether the scheduler's method `step` takes the loss of the epoch.
    """

    every_step = False
    needs_loss = False

    def build(self, optimizer, n_epochs, n_batches):
        """Return the torch scheduler.

        Parameters
        ----------
        optimizer : torch.optim.Optimizer
            The optimizer, whose learning rate is the largest one of the schedule.
        n_epochs : int
            The number of epochs of the whole fit.
        n_batches : int
            The number of batches of an epoch.

        Returns
        -------
        scheduler : torch.optim.lr_scheduler.LRScheduler
            An object with a method `step`, which is called after each training step or each epoch,
            and torch's `state_dict` and `load_state_dict` for fits with a `checkpoint`.
        """
        raise NotImplementedError


SCHEDULES = Schedule.registry


class _RateOfStep:
    """A scheduler that computes the rate of each step by a formula, quicker than torch's."""

    def __init__(self, optimizer, rate_at):
        self._optimizer = optimizer
        self._rate_at = rate_at
        self._n_steps = -1
        self.step()

    def step(self):
        self._n_steps += 1
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate_at(self._n_steps)

    def state_dict(self):
        return {"n_steps": self._n_steps}

    def load_state_dict(self, state):
        self._n_steps = state["n_steps"]


def _half_cosine(start, end, fraction):
    """Return the value after a fraction of the way from start to end along half a cosine."""
    return end + (start - end) / 2 * (math.cos(math.pi * min(fraction, 1.0)) + 1)


class Exponential(Schedule, name="exponential"):
    """Multiply the learning rate by the same factor after every epoch.

    Parameters
    ----------
    final : float, default=0.01
        The learning rate of the last epoch, as a fraction of the first.

    Examples
    --------
    >>> from skae.schedules import Exponential
    >>> Exponential(final=0.1)
    Exponential(final=0.1)
    """

    _parameter_constraints: dict = {"final": [Interval(Real, 0, 1, closed="right")]}

    def __init__(self, final: float = 0.01):
        self.final = final

    def build(self, optimizer, n_epochs, n_batches):
        return lr_scheduler.ExponentialLR(optimizer, self.final ** (1 / n_epochs))


class Step(Schedule, name="step", also=("multi_step",)):
    """Multiply the learning rate by `factor` at evenly spaced epochs.

    Parameters
    ----------
    n_steps : int, default=3
        The number of drops during the fit.
    factor : float, default=0.3
        The learning rate after a drop, as a fraction of the rate before.

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

    def __init__(self, n_steps: int = 3, factor: float = 0.3):
        self.n_steps = n_steps
        self.factor = factor

    def build(self, optimizer, n_epochs, n_batches):
        every = max(1, n_epochs // (self.n_steps + 1))
        return lr_scheduler.StepLR(optimizer, every, self.factor)


class Cosine(Schedule, name="cosine", also=("cosine_annealing",)):
    """Lower the learning rate to zero along half a cosine.

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
        return _RateOfStep(optimizer, lambda step: _half_cosine(rate, 0.0, step / n_steps))


class OneCycle(Schedule, name="one_cycle"):
    """Raise the learning rate from a 25th to its full value, then lower it to nearly zero.

    Parameters
    ----------
    warm_up : float, default=0.3
        The fraction of the fit in which the rate rises.

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

    def __init__(self, warm_up: float = 0.3):
        self.warm_up = warm_up

    def build(self, optimizer, n_epochs, n_batches):
        peak, n_steps = optimizer.param_groups[0]["lr"], n_epochs * n_batches
        # The ends are those of torch's OneCycleLR by default.
        first, last = peak / 25.0, peak / 25.0 / 1e4
        top = self.warm_up * (n_steps + 1) - 1

        def rate_at(step):
            if step <= top and top > 0:
                return _half_cosine(first, peak, step / top)
            return _half_cosine(peak, last, (step - top) / (n_steps - top))

        return _RateOfStep(optimizer, rate_at)


class Plateau(Schedule, name="plateau", also=("reduce_on_plateau", "adaptive")):
    """Multiply the learning rate by `factor` when the loss has not fallen for `patience` epochs.

    Parameters
    ----------
    patience : int, default=5
        The number of epochs without a lower loss before the rate drops.
    factor : float, default=0.3
        The learning rate after a drop, as a fraction of the rate before.

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

    def __init__(self, patience: int = 5, factor: float = 0.3):
        self.patience = patience
        self.factor = factor

    def build(self, optimizer, n_epochs, n_batches):
        return lr_scheduler.ReduceLROnPlateau(optimizer, factor=self.factor, patience=self.patience)
