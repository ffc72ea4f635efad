"""The running mean of the weights over the steps of all calls of partial_fit."""

from ._training import WeightAverage

# Step t weighs about t**_POWER: three fifths of the mean are the last tenth of the steps.
_POWER = 8


class GrowingAverage(WeightAverage):
    """A running mean of a module's weights, over a window that grows with the steps.

    A constant rate keeps the weights moving about the minimum, by as much for ever; the mean over
    ever more of them settles, as `fit` does with a rate that falls. Unlike such a rate, it need not
    know when the training ends (polynomial-decay averaging).

    Parameters
    ----------
    source : nn.Module
        What is trained.
    flat : FlatParameters
        Its parameters.
    start : nn.Module
        The mean so far.
    n_steps : int
        The number of steps in it.

    References
    ----------
    O. Shamir, T. Zhang, "Stochastic Gradient Descent for Non-smooth Optimization: Convergence
    Results and Optimal Averaging Schemes", ICML 2013.
    """

    def __init__(self, source, flat, start, n_steps):
        super().__init__(source, flat)
        self.module.load_state_dict(start.state_dict())
        self.n_steps = n_steps

    def update(self):
        self.n_steps += 1
        share = (_POWER + 1) / (_POWER + self.n_steps)
        for average, current in self._pairs:
            average.lerp_(current, share)
