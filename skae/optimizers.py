"""Optimizers: thin strategies over torch.optim."""

from numbers import Real

import torch

from ._compat import Interval
from ._strategies import Strategy

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Momentum",
    "Optimizer",
    "RMSprop",
]

_SHARE = Interval(Real, 0, 1, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")


class Optimizer(Strategy):
    """Base class of the optimizers.

    A subclass defines `build` and, as ``default_learning_rate``, what ``learning_rate="auto"``
    means for it.

    Attributes
    ----------
    elementwise : bool
        Whether a weight's step depends on the gradients of that weight alone. All weights may then
        be handed over as one vector, which is faster.
    """

    elementwise = False
    default_learning_rate: float

    def build(self, parameters, learning_rate, alpha):
        """Return the torch optimizer.

        Parameters
        ----------
        parameters : list of torch.nn.Parameter
            What to train.
        learning_rate : float
            The step size.
        alpha : float
            Weight decay.

        Returns
        -------
        optimizer : torch.optim.Optimizer
            Ready to step.
        """
        raise NotImplementedError


OPTIMIZERS = Optimizer.registry


class _QuickStep:
    """Adam's step over one vector, without what torch does to sort many."""

    _update = staticmethod(torch._fused_adam_)

    def step(self, closure=None):
        group = self.param_groups[0]
        vector = group["params"][0]
        state = self.state.get(vector)
        if not state or closure is not None or len(group["params"]) > 1:
            return super().step(closure)
        state["step"] += 1
        self._update(
            [vector.detach()],
            [vector.grad],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [state["step"]],
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    # torch would wrap it for its profiler, which costs as much as the step of a small net
    step.hooked = True


class _Adam(_QuickStep, torch.optim.Adam):
    pass


class _AdamW(_QuickStep, torch.optim.AdamW):
    _update = staticmethod(torch._fused_adamw_)


class Adam(Optimizer, name="adam"):
    """Adam; `alpha` is an L2 penalty on the weights.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the running means of the gradient and of its square.
    epsilon : float, default=1e-8
        Added to the denominator.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.

    Examples
    --------
    >>> from skae.optimizers import Adam
    >>> Adam(beta_2=0.99)
    Adam(beta_2=0.99)
    """

    elementwise = True
    default_learning_rate = 5e-3
    _torch_class = _Adam
    _parameter_constraints: dict = {"beta_1": [_SHARE], "beta_2": [_SHARE], "epsilon": [_POSITIVE]}

    def __init__(self, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, parameters, learning_rate, alpha):
        return self._torch_class(
            parameters,
            lr=learning_rate,
            betas=(self.beta_1, self.beta_2),
            eps=self.epsilon,
            weight_decay=alpha,
            fused=True,
        )


class AdamW(Adam, name="adamw"):
    """Adam with decoupled weight decay: `alpha` times the learning rate shrinks the weights.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the running means of the gradient and of its square.
    epsilon : float, default=1e-8
        Added to the denominator.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.

    Examples
    --------
    >>> from skae.optimizers import AdamW
    >>> AdamW()
    AdamW()
    """

    _torch_class = _AdamW


class SGD(Optimizer, name="sgd"):
    """Stochastic gradient descent; gradient descent proper with ``batch_size=None``.

    Parameters
    ----------
    momentum : float, default=0.0
        The share of the last step that is taken again.
    nesterov : bool, default=False
        Whether the gradient is taken ahead, where the momentum leads. Needs a momentum above 0.

    Examples
    --------
    >>> from skae.optimizers import SGD
    >>> SGD(momentum=0.9, nesterov=True)
    SGD(momentum=0.9, nesterov=True)
    """

    elementwise = True
    default_learning_rate = 0.1
    _parameter_constraints: dict = {"momentum": [_SHARE], "nesterov": ["boolean"]}

    def __init__(self, momentum=0.0, nesterov=False):
        self.momentum = momentum
        self.nesterov = nesterov

    def build(self, parameters, learning_rate, alpha):
        if self.nesterov and self.momentum == 0:
            raise ValueError(
                f"{type(self).__name__}(nesterov=True) needs a momentum above 0, got "
                f"momentum={self.momentum!r}."
            )
        return torch.optim.SGD(
            parameters,
            lr=learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=alpha,
        )


class Momentum(SGD, name="momentum"):
    """Stochastic gradient descent with momentum, Nesterov's unless switched off.

    Parameters
    ----------
    momentum : float, default=0.9
        The share of the last step that is taken again.
    nesterov : bool, default=True
        Whether the gradient is taken ahead, where the momentum leads.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and momentum
    in deep learning", ICML 2013.

    Examples
    --------
    >>> from skae.optimizers import Momentum
    >>> Momentum(momentum=0.95)
    Momentum(momentum=0.95)
    """

    def __init__(self, momentum=0.9, nesterov=True):
        super().__init__(momentum, nesterov)


class Adagrad(Optimizer, name="adagrad"):
    """Adagrad: each weight's step shrinks with the sum of its squared gradients.

    References
    ----------
    J. Duchi, E. Hazan, Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", JMLR 12, 2011.

    Examples
    --------
    >>> from skae.optimizers import Adagrad
    >>> Adagrad()
    Adagrad()
    """

    elementwise = True
    default_learning_rate = 0.02

    def build(self, parameters, learning_rate, alpha):
        return torch.optim.Adagrad(parameters, lr=learning_rate, weight_decay=alpha)


class RMSprop(Optimizer, name="rmsprop"):
    """RMSprop: the gradient over the root of a running mean of its square.

    Parameters
    ----------
    rho : float, default=0.99
        Decay rate of the running mean.
    momentum : float, default=0.0
        The share of the last step that is taken again.

    References
    ----------
    T. Tieleman, G. Hinton, "Lecture 6.5: rmsprop", Coursera, 2012.

    Examples
    --------
    >>> from skae.optimizers import RMSprop
    >>> RMSprop(rho=0.9)
    RMSprop(rho=0.9)
    """

    elementwise = True
    default_learning_rate = 1e-3
    _parameter_constraints: dict = {"rho": [_SHARE], "momentum": [_SHARE]}

    def __init__(self, rho=0.99, momentum=0.0):
        self.rho = rho
        self.momentum = momentum

    def build(self, parameters, learning_rate, alpha):
        return torch.optim.RMSprop(
            parameters,
            lr=learning_rate,
            alpha=self.rho,
            momentum=self.momentum,
            weight_decay=alpha,
        )
