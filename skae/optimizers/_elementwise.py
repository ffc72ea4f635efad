"""Optimizers whose update of a weight depends on the gradients of that weight only."""

from numbers import Real

import torch

from .._utils.sklearn import Interval
from .._utils.torch import private_operator, without_compiler
from ._base import Optimizer

_FRACTION = Interval(Real, 0, 1, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")


class _OneVectorStep:
    """A step that calls torch's fused operator directly where there is one vector to train.

    For a small net, what torch's own step does first takes longer than the update itself. The
    operators are private names of torch: where one is missing, every step is torch's own.
    """

    def step(self, closure=None):
        group = self.param_groups[0]
        vector = group["params"][0]
        # torch takes the first step, before which there is no state.
        state = self.state.get(vector)
        several = len(group["params"]) > 1 or len(self.param_groups) > 1
        if several or closure or vector.grad is None or not state or not self._operator:
            return super().step(closure)
        state["step"] += 1
        self._operator(
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

    # torch wraps steps without this mark for its profiler, which doubles the time of a small step.
    step.hooked = True  # type: ignore[attr-defined]


class _OneVectorAdam(_OneVectorStep, without_compiler(torch.optim.Adam)):
    _operator = private_operator("adam")


class _OneVectorAdamW(_OneVectorStep, without_compiler(torch.optim.AdamW)):
    _operator = private_operator("adamw")


class _SGD(without_compiler(torch.optim.SGD)):
    pass


class _Adagrad(without_compiler(torch.optim.Adagrad)):
    pass


class _RMSprop(without_compiler(torch.optim.RMSprop)):
    pass


class Adam(Optimizer, name="adam"):
    """Adam, where `alpha` is the weight of an L2 penalty on the weights.

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
    _torch_class = _OneVectorAdam
    _parameter_constraints: dict = {
        "beta_1": [_FRACTION],
        "beta_2": [_FRACTION],
        "epsilon": [_POSITIVE],
    }

    def __init__(self, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8):
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, parameters, learning_rate, alpha):
        betas = (float(self.beta_1), float(self.beta_2))
        # `_OneVectorStep` calls the operator of a fused step.
        return self._torch_class(
            parameters, learning_rate, betas, self.epsilon, weight_decay=alpha, fused=True
        )


class AdamW(Adam, name="adamw"):
    """Adam with a decoupled weight decay of `alpha` times the learning rate.

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

    _torch_class = _OneVectorAdamW


class SGD(Optimizer, name="sgd"):
    """Stochastic gradient descent, or plain gradient descent with ``batch_size=None``.

    Parameters
    ----------
    momentum : float, default=0.0
        The fraction of the last step that is added to the next one.
    nesterov : bool, default=False
        Whether the gradient is that where the momentum leads. This needs a momentum above 0.

    Examples
    --------
    >>> from skae.optimizers import SGD
    >>> SGD(momentum=0.9, nesterov=True)
    SGD(momentum=0.9, nesterov=True)
    """

    elementwise = True
    default_learning_rate = 0.1
    _parameter_constraints: dict = {"momentum": [_FRACTION], "nesterov": ["boolean"]}

    def __init__(self, momentum: float = 0.0, nesterov: bool = False):
        self.momentum = momentum
        self.nesterov = nesterov

    def build(self, parameters, learning_rate, alpha):
        if self.nesterov and self.momentum == 0:
            raise ValueError(
                f"{type(self).__name__}(nesterov=True) needs a momentum above 0, got "
                f"momentum={self.momentum!r}."
            )
        return _SGD(
            parameters, learning_rate, self.momentum, nesterov=self.nesterov, weight_decay=alpha
        )


class Momentum(SGD, name="momentum", also=("nesterov",)):
    """Stochastic gradient descent with momentum, by default Nesterov's.

    Parameters
    ----------
    momentum : float, default=0.9
        The fraction of the last step that is added to the next one.
    nesterov : bool, default=True
        Whether the gradient is computed at the point to which the momentum leads.

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

    def __init__(self, momentum: float = 0.9, nesterov: bool = True):
        super().__init__(momentum, nesterov)


class Adagrad(Optimizer, name="adagrad"):
    """Adagrad: the step of a weight shrinks as the sum of its squared gradients grows.

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
        return _Adagrad(parameters, lr=learning_rate, weight_decay=alpha)


class RMSprop(Optimizer, name="rmsprop"):
    """RMSprop: the gradient is divided by the root of a running mean of its square.

    Parameters
    ----------
    rho : float, default=0.99
        Decay rate of the running mean of the squared gradient.
    momentum : float, default=0.0
        The fraction of the last step that is added to the next one.

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
    _parameter_constraints: dict = {"rho": [_FRACTION], "momentum": [_FRACTION]}

    def __init__(self, rho: float = 0.99, momentum: float = 0.0):
        self.rho = rho
        self.momentum = momentum

    def build(self, parameters, learning_rate, alpha):
        return _RMSprop(
            parameters, lr=learning_rate, alpha=self.rho, momentum=self.momentum, weight_decay=alpha
        )
