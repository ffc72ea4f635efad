"""Penalties that say how a code is to be used: few entries, small slopes, the first ones first."""

from numbers import Real

import torch
from torch import nn

from .._compat import Interval, StrOptions
from ._base import Coding, Penalty, rms

_POSITIVE = Interval(Real, 0, None, closed="neither")


class Sparse(Penalty, name="sparse"):
    """Few entries of a code are far from zero.

    Entries are divided by their root mean square over the batch first: a code that is only smaller
    is not sparser.

    Parameters
    ----------
    kind : {"l1", "kl"}, default="l1"
        "l1": the mean absolute entry. "kl": the Kullback-Leibler divergence of a coin with
        probability `target` from one with each component's mean activation, which is the mean of
        tanh of the absolute entries.
    weight : float, default=2.0
        Weight of the term, in units of the loss of the start.
    target : float, default=0.2
        The mean activation to aim at with "kl".

    References
    ----------
    B. A. Olshausen, D. J. Field, "Emergence of Simple-Cell Receptive Field Properties by Learning a
    Sparse Code for Natural Images", Nature 381, 1996.

    A. Ng, "Sparse Autoencoder", CS294A Lecture Notes, Stanford, 2011.

    Examples
    --------
    >>> from skae.penalties import Sparse
    >>> Sparse(kind="kl", target=0.1)
    Sparse(kind='kl', target=0.1)
    """

    _parameter_constraints: dict = {
        "kind": [StrOptions({"l1", "kl"})],
        "weight": [_POSITIVE],
        "target": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, kind="l1", weight=2.0, target=0.2):
        self.kind = kind
        self.weight = weight
        self.target = target

    def terms(self, coding):
        size = coding.standardised().abs()
        if self.kind == "l1":
            term = size.mean(1)
        else:
            mean = torch.tanh(size).mean(0)
            target = torch.full_like(mean, self.target)
            divergence = target * torch.log(target / mean.clamp(min=1e-6))
            divergence = divergence + (1 - target) * torch.log((1 - target) / (1 - mean))
            term = divergence.mean().expand(len(size))
        return {"sparsity": self.weight * coding.module.start_loss * term}


class Contractive(Penalty, name="contractive"):
    """Codes move little when samples move a little.

    The squared Frobenius norm of the Jacobian of the encoder, each component of the code divided by
    its root mean square over the batch: a code that is only smaller does not move less. The mean
    over the components is penalised.

    Parameters
    ----------
    weight : float, default=1.0
        Weight of the term, in units of the loss of the start.

    Notes
    -----
    For dense nets with at most one hidden layer, without normalisation and dropout, the norm is
    exact. For others it is Hutchinson's estimate, with one random direction a row and step.

    References
    ----------
    S. Rifai, P. Vincent, X. Muller, X. Glorot, Y. Bengio, "Contractive Auto-Encoders: Explicit
    Invariance During Feature Extraction", ICML 2011.

    M. F. Hutchinson, "A Stochastic Estimator of the Trace of the Influence Matrix for Laplacian
    Smoothing Splines", Communications in Statistics 19(2), 1990.

    Examples
    --------
    >>> from skae.penalties import Contractive
    >>> Contractive(weight=0.5)
    Contractive(weight=0.5)
    """

    _parameter_constraints: dict = {"weight": [_POSITIVE]}

    def __init__(self, weight=1.0):
        self.weight = weight

    def check(self, loss, architecture):
        if loss.discrete:
            raise ValueError(
                "penalty='contractive' needs numbers that can move a little, but loss="
                f"{loss!r} is for tokens."
            )

    def terms(self, coding):
        with torch.enable_grad():
            norm = self.squared_norm(coding)
        if not coding.training:
            norm = norm.detach()
        return {"contraction": self.weight * coding.module.start_loss * norm}

    @staticmethod
    def squared_norm(coding):
        """Return the mean squared norm of the gradients of each row's code.

        Parameters
        ----------
        coding : Coding
            What the encoder makes of the batch.

        Returns
        -------
        norm : Tensor of shape (n,)
            Exact, or an estimate without bias.
        """
        scale = rms(coding.code)
        layers = _one_hidden_layer(coding.module)
        if layers is not None:
            return _exact(coding.x, layers, coding.module.E, scale)
        x = coding.x.detach().requires_grad_()
        code = coding.module.encode(x) / scale
        # Only the signs are drawn: their products have less variance than normal numbers'.
        direction = coding.noise(*code.shape).sign()
        (gradient,) = torch.autograd.grad(
            code, x, direction, create_graph=coding.training, materialize_grads=True
        )
        return torch.nan_to_num(gradient).square().sum(1) / code.shape[1]


def _one_hidden_layer(module):
    """Return first layer, activation and last layer of a dense encoder, or None if it is deeper."""
    layers = list(module.f) if isinstance(module.f, nn.Sequential) else []
    linear = [isinstance(layer, nn.Linear) for layer in layers]
    if linear == [True, False, True] and module.gates is None:
        return layers
    return None


def _exact(x, layers, E, scale):
    first, activation, last = layers
    k = len(scale)
    hidden = first(x.detach())
    # The derivative of any activation, one number a unit.
    value = activation(hidden)
    (slope,) = torch.autograd.grad(value.sum(), hidden, create_graph=True)
    weight = last.weight[:k] / scale[:, None]
    # J = weight diag(slope) first + E: its squared norm without the Jacobian of any row.
    inner = first.weight @ first.weight.t()
    scaled = weight.t() @ weight * inner
    norm = torch.einsum("ni,ij,nj->n", slope, scaled, slope)
    if E is not None:
        linear = E / scale
        cross = (weight.t() * (first.weight @ linear)).sum(1)
        norm = norm + 2 * slope @ cross + linear.square().sum()
    return norm / k


class Ordered(Penalty, name="ordered"):
    """The first components of a code are a good code of their own, for any number of them.

    Nested dropout: each row keeps, in each training step, only its first j components, for a random
    j, and the rest are zero. The first j columns of ``transform(X)``, with zeros in the others, are
    then what ``inverse_transform`` reconstructs from with j components, as it is for PCA.

    Parameters
    ----------
    share : float, default=0.5
        The share of the rows that keep a random number of components; the others keep all.

    References
    ----------
    O. Rippel, M. A. Gelbart, R. P. Adams, "Learning Ordered Representations with Nested Dropout",
    ICML 2014.

    Examples
    --------
    >>> from skae.penalties import Ordered
    >>> Ordered()
    Ordered()
    """

    rowwise = True
    _parameter_constraints: dict = {"share": [Interval(Real, 0, 1, closed="right")]}

    def __init__(self, share=0.5):
        self.share = share

    def draw(self, coding: Coding):
        n, k = coding.code.shape
        kept = torch.randint(1, k + 1, (n, 1), generator=coding.generator)
        full = torch.rand(n, 1, generator=coding.generator) >= self.share
        mask = full | (torch.arange(k) < kept)
        return coding.code * mask.to(coding.code.device)
