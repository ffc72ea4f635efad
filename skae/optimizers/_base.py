"""The base class of the optimizers, and their registry."""

from .._utils.registry import Strategy


class Optimizer(Strategy):
    """Base class of the optimizers.

    A subclass defines `build`.

    Attributes
    ----------
    default_learning_rate : float, default=0.001
        The learning rate that ``learning_rate="auto"`` stands for.
    elementwise : bool, default=False
        Whether the update of a weight depends on the gradients of that weight only. Then `build`
        may get all weights of the net as a single vector, which is faster.
    """

    default_learning_rate = 1e-3
    elementwise = False

    def build(self, parameters, learning_rate, alpha):
        """Return the torch optimizer.

        Parameters
        ----------
        parameters : list of torch.nn.Parameter
            The parameters to train.
        learning_rate : float
            The learning rate.
        alpha : float
            The weight decay.

        Returns
        -------
        optimizer : torch.optim.Optimizer
            A new optimizer of these parameters.
        """
        raise NotImplementedError


OPTIMIZERS = Optimizer.registry
