"""Optimizers that treat a layer's weights as a matrix, and all other parameters as AdamW does."""

from numbers import Integral, Real

import torch

from .._utils.sklearn import Interval
from .._utils.torch import without_compiler
from ._base import Optimizer

_FRACTION = Interval(Real, 0, 1, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")
_EPSILON = 1e-8
# The quintic polynomial of Jordan et al., whose iteration moves singular values to about one.
_A, _B, _C = 3.4445, -4.7750, 2.0315
# Times the root of the longer side, it makes the entries of an orthogonal step as large as Adam's.
_SIZE = 0.2


class _ByMatrix(without_compiler(torch.optim.Optimizer)):
    """Takes a step of its own for each matrix, and that of AdamW for each other parameter.

    Convolution kernels are matrices with a row for each channel along their first axis.
    """

    def __init__(self, parameters, learning_rate, alpha, **options):
        super().__init__(parameters, {"lr": learning_rate, "weight_decay": alpha, **options})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                state["step"] = state.get("step", 0) + 1
                if p.dim() > 1:
                    direction = self.direction(p.grad.flatten(1), state, group).view_as(p)
                else:
                    mean, square = moments(p.grad, state)
                    direction = adam_direction(p.grad, mean, square, group["betas"], state["step"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(direction, alpha=-group["lr"])
        return loss

    # torch wraps steps without this mark for its profiler.
    step.hooked = True  # type: ignore[attr-defined]

    def direction(self, gradient, state, group):
        """Return what the learning rate is multiplied by for a matrix, from its gradient."""
        raise NotImplementedError


def zeros(gradient):
    # A state that is stored comes back in this layout, in which products have the same bits.
    return torch.zeros_like(gradient, memory_format=torch.contiguous_format)


def moments(gradient, state):
    """Return the running means of the gradient and of its square, which are made when needed."""
    if "exp_avg" not in state:
        state["exp_avg"], state["exp_avg_sq"] = zeros(gradient), zeros(gradient)
    return state["exp_avg"], state["exp_avg_sq"]


def adam_direction(gradient, mean, square, betas, n_steps):
    """Update the running means by a gradient, and return Adam's step at a learning rate of one."""
    mean.lerp_(gradient, 1 - betas[0])
    square.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    corrections = [1 - beta**n_steps for beta in betas]
    return (mean / corrections[0]).div_((square / corrections[1]).sqrt_().add_(_EPSILON))


class _Muon(_ByMatrix):
    def direction(self, gradient, state, group):
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = zeros(gradient)
        mean, momentum = state["momentum_buffer"], group["momentum"]
        mean.lerp_(gradient, 1 - momentum)
        direction = orthogonalized(gradient.lerp(mean, momentum), group["n_iter"])
        return direction.mul_(_SIZE * max(gradient.shape) ** 0.5)


def orthogonalized(matrix, n_iter):
    """Return a matrix with nearly the same singular vectors whose singular values are about one."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    # torch's own Muon computes in bfloat16, which takes ten times as long on many processors.
    x = x / torch.linalg.vector_norm(x).clamp(min=torch.finfo(x.dtype).tiny)
    for _ in range(n_iter):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.mT if tall else x


class _SOAP(_ByMatrix):
    def direction(self, gradient, state, group):
        if (state["step"] - 1) % group["update_every"] == 0:
            for axis in self.axes(gradient.shape, group):
                turn_basis(axis, gradient, state, 1 - group["betas"][1])
        mean, square = moments(gradient, state)
        if state["step"] == 1:
            # Seen in the bases of one gradient, this gradient is mostly rounding.
            return torch.zeros_like(gradient)
        bases = [state.get(f"basis_{axis}") for axis in (0, 1)]
        inside = rotated(gradient, *bases)
        inside = adam_direction(inside, mean, square, group["betas"], state["step"] - 1)
        return rotated(inside, *(None if basis is None else basis.mT for basis in bases))

    def axes(self, shape, group):
        """Return the axes that have a basis."""
        axes = [int(shape[1] < shape[0])] if group["one_sided"] else [0, 1]
        return [axis for axis in axes if shape[axis] <= group["max_size"]]


def turn_basis(axis, gradient, state, weight):
    """Turn the basis of an axis towards the eigenvectors of the gradient's mean product.

    The running means are turned with it.
    """
    along = gradient if axis == 0 else gradient.mT
    product, basis = state.get(f"product_{axis}"), state.get(f"basis_{axis}")
    if product is None:
        product = along @ along.mT
        if torch.isfinite(product).all():
            state[f"product_{axis}"] = product
            state[f"basis_{axis}"] = torch.linalg.eigh(product)[1].flip(1).contiguous()
        return
    product.lerp_(along @ along.mT, weight)
    # One step of the power iteration, from the directions of the largest values on.
    turned = product @ basis
    order = torch.argsort((basis * turned).sum(0), descending=True)
    new = torch.linalg.qr(turned[:, order])[0].contiguous()
    state[f"basis_{axis}"] = new
    change, (mean, square) = new.mT @ basis, moments(gradient, state)
    state["exp_avg"] = change @ mean if axis == 0 else mean @ change.mT
    state["exp_avg_sq"] = square.index_select(axis, order)


def rotated(matrix, left, right):
    """Return a matrix in orthogonal bases of its two sides, of which either may be missing."""
    if left is not None:
        matrix = left.mT @ matrix
    return matrix if right is None else matrix @ right


class Muon(Optimizer, name="muon"):
    """Muon: all directions of a weight matrix move by about as much in each step.

    The running mean of a matrix's gradient, one step ahead as in Nesterov's momentum, is replaced
    by a nearly orthogonal matrix with the same singular vectors, which a few products of matrices
    find. It is scaled so that its entries are as large as those of a step of Adam, which biases
    and other vectors are trained by (AdamW's, with decay rates of 0.9 and 0.999). Kernels of
    convolutions are matrices with a row for each channel along their first axis. `alpha` is a
    decoupled weight decay.

    Parameters
    ----------
    momentum : float, default=0.95
        Decay rate of the running mean of a matrix's gradient.
    n_iter : int, default=5
        Number of Newton-Schulz iterations, each of which is three products of matrices. With fewer
        of them, small singular values stay smaller.

    See Also
    --------
    SOAP : Takes less time for a step of a large net, and more memory.

    Notes
    -----
    A step takes much longer than one of Adam, by a factor that falls with ``batch_size``.
    ``torch.optim.Muon`` has matrices only and computes in bfloat16, which many processors are slow
    at; the steps here are its own with ``adjust_lr_fn="match_rms_adamw"``, in the precision of the
    weights.

    References
    ----------
    K. Jordan, Y. Jin, V. Boza, J. You, F. Cesista, L. Newhouse, J. Bernstein, "Muon: An optimizer
    for hidden layers in neural networks", 2024, https://kellerjordan.github.io/posts/muon/

    J. Liu et al., "Muon is Scalable for LLM Training", 2025, which the scale of a step is from.

    Examples
    --------
    >>> from skae.optimizers import Muon
    >>> Muon(n_iter=3)
    Muon(n_iter=3)
    """

    default_learning_rate = 5e-3
    _parameter_constraints: dict = {"momentum": [_FRACTION], "n_iter": [_COUNT]}

    def __init__(self, momentum: float = 0.95, n_iter: int = 5):
        self.momentum = momentum
        self.n_iter = n_iter

    def build(self, parameters, learning_rate, alpha):
        options = {"momentum": float(self.momentum), "n_iter": int(self.n_iter)}
        return _Muon(parameters, learning_rate, alpha, betas=(0.9, 0.999), **options)


class SOAP(Optimizer, name="soap", also=("shampoo", "kfac")):
    """SOAP: Adam along the eigenvectors of products of a weight matrix's gradients.

    The eigenvectors are those of running means of G G' and G' G, where G is the gradient: the two
    factors of Shampoo's preconditioner, a Kronecker product. Adam runs in this basis, and its
    steps are turned back. Biases and other vectors have AdamW's steps with the same decay rates.
    Kernels of convolutions are matrices with a row for each channel along their first axis. `alpha`
    is a decoupled weight decay.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.95, 0.95
        Decay rates of the running means of the gradient and of its square. That of the products is
        `beta_2` as well.
    update_every : int, default=10
        Number of steps after which the products and the eigenvectors are updated, by the gradient
        of that step, and one step of the power iteration and a QR decomposition.
    max_size : int, default=2048
        The longest side of a matrix that has a basis of its own. A side that is longer has none.
    one_sided : bool, default=True
        Whether only the shorter side of a matrix has a basis, which takes less time and memory.

    See Also
    --------
    Muon : Has a state of the size of the weights only.

    Notes
    -----
    The first step sets the bases and leaves the matrices as they are. In the paper the products
    are updated at every step, and both sides have bases.

    References
    ----------
    N. Vyas, D. Morwani, R. Zhao, M. Kwun, I. Shapira, D. Brandfonbrener, L. Janson, S. Kakade,
    "SOAP: Improving and Stabilizing Shampoo using Adam", ICLR 2025.

    V. Gupta, T. Koren, Y. Singer, "Shampoo: Preconditioned Stochastic Tensor Optimization",
    ICML 2018.

    Examples
    --------
    >>> from skae.optimizers import SOAP
    >>> SOAP(update_every=5)
    SOAP(update_every=5)
    """

    default_learning_rate = 5e-3
    _parameter_constraints: dict = {
        "beta_1": [_FRACTION],
        "beta_2": [_FRACTION],
        "update_every": [_COUNT],
        "max_size": [_COUNT],
        "one_sided": ["boolean"],
    }

    def __init__(
        self,
        beta_1: float = 0.95,
        beta_2: float = 0.95,
        update_every: int = 10,
        max_size: int = 2048,
        one_sided: bool = True,
    ):
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.update_every = update_every
        self.max_size = max_size
        self.one_sided = one_sided

    def build(self, parameters, learning_rate, alpha):
        options = {
            "betas": (float(self.beta_1), float(self.beta_2)),
            "update_every": int(self.update_every),
            "max_size": int(self.max_size),
            "one_sided": bool(self.one_sided),
        }
        return _SOAP(parameters, learning_rate, alpha, **options)
