"""Penalties on the shape of a code: sparse, contractive and ordered codes."""

import math
from numbers import Real

import torch
from torch import nn

from .._utils.sklearn import Interval, StrOptions
from ._base import POSITIVE, Penalty, rms


class Sparse(Penalty, name="sparse"):
    """Few entries of a code are far from zero.

    Each component is first divided by its root mean square over the batch.

    Parameters
    ----------
    kind : {"l1", "kl"}, default="l1"
        "l1": the mean absolute entry. "kl": the Kullback-Leibler divergence between two Bernoulli
        distributions, one with probability `target` and one with the component's mean activation.
        The activation of an entry is tanh of its absolute value.
    weight : float, default=2.0
        Weight of the term, as a multiple of the mean loss before the training.
    target : float, default=0.2
        The mean activation that "kl" aims at.

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
        "weight": [POSITIVE],
        "target": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, kind: str = "l1", weight: float = 2.0, target: float = 0.2):
        self.kind = kind
        self.weight = weight
        self.target = target

    def terms(self, batch):
        size = batch.standardized().abs()
        if self.kind == "l1":
            term = size.mean(1)
        else:
            mean, target = torch.tanh(size).mean(0).clamp(1e-6, 1 - 1e-6), self.target
            divergence = target * (math.log(target) - mean.log())
            divergence = divergence + (1 - target) * (math.log1p(-target) - (-mean).log1p())
            term = divergence.mean().expand(len(size))
        return {"sparsity": self.weight * batch.module.start_loss * term}


class Contractive(Penalty, name="contractive", also=("cae",)):
    """A small change of a sample changes its code only a little.

    The penalty is the squared Frobenius norm of the Jacobian of the encoder, divided by the number
    of components. Each component is first divided by its root mean square over the batch.

    Parameters
    ----------
    weight : float, default=1.0
        Weight of the term, as a multiple of the mean loss before the training.

    Notes
    -----
    The norm is exact for dense nets with one hidden layer and without normalisation or dropout.
    For other nets it is Hutchinson's estimate, with one random direction for each row and step.

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

    _parameter_constraints: dict = {"weight": [POSITIVE]}

    def __init__(self, weight: float = 1.0):
        self.weight = weight

    def check(self, loss, architecture):
        if loss.discrete:
            raise ValueError(
                "penalty='contractive' needs numbers that can change a little, but loss="
                f"{loss!r} is for tokens."
            )

    def terms(self, batch):
        with torch.enable_grad():
            norm = self.squared_norm(batch)
        norm = norm if batch.training else norm.detach()
        return {"contraction": self.weight * batch.module.start_loss * norm}

    @staticmethod
    def squared_norm(batch):
        """Return the squared norm of each row's Jacobian, divided by the number of components.

        Parameters
        ----------
        batch : EncodedBatch
            The rows and their codes.

        Returns
        -------
        norm : Tensor of shape (n,)
            Either exact or an unbiased estimate.
        """
        scale = rms(batch.code)
        if _has_one_hidden_layer(batch.module):
            return _exact_squared_norm(batch.x, batch.module.f, batch.module.E, scale)
        x = batch.x.detach().requires_grad_()
        code = batch.module.encode(x) / scale
        # Random signs give an estimate of smaller variance than normal numbers.
        direction = batch.noise(*code.shape).sign()
        # As a sum: with a tensor of weights, torch would import its symbolic shapes.
        (gradient,) = torch.autograd.grad(
            (code * direction).sum(), x, create_graph=batch.training, materialize_grads=True
        )
        return torch.nan_to_num(gradient).square().sum(1) / code.shape[1]


def _has_one_hidden_layer(module):
    if not isinstance(module.f, nn.Sequential) or module.gates is not None:
        return False
    return [isinstance(layer, nn.Linear) for layer in module.f] == [True, False, True]


def _exact_squared_norm(x, layers, E, scale):
    """Return the squared norm of the Jacobian without computing the Jacobian of any row.

    The Jacobian is ``weight diag(slope) first + E``, where only the slope differs between rows.
    """
    first, activation, last = layers
    k = len(scale)
    hidden = first(x.detach())
    (slope,) = torch.autograd.grad(activation(hidden).sum(), hidden, create_graph=True)
    weight = last.weight[:k] / scale[:, None]
    scaled = weight.t() @ weight * (first.weight @ first.weight.t())
    norm = torch.einsum("ni,ij,nj->n", slope, scaled, slope)
    if E is not None:
        linear = E / scale
        cross = (weight.t() * (first.weight @ linear)).sum(1)
        norm = norm + 2 * slope @ cross + linear.square().sum()
    return norm / k


class Ordered(Penalty, name="ordered", also=("nested_dropout", "matryoshka")):
    """The first j components of a code are a good code with j components, for every j.

    This is nested dropout. In each training step some rows keep only their first j components,
    where j is random; the others are set to zero. After the training, as with PCA, the first j
    columns of ``transform(X)`` are a code: set the others to zero before ``inverse_transform``.

    Parameters
    ----------
    fraction : float, default=0.5
        The fraction of the rows that keep a random number of components. The others keep all.

    References
    ----------
    O. Rippel et al., "Learning Ordered Representations with Nested Dropout", ICML 2014.

    Examples
    --------
    >>> from skae.penalties import Ordered
    >>> Ordered()
    Ordered()
    """

    rowwise = True
    _parameter_constraints: dict = {"fraction": [Interval(Real, 0, 1, closed="right")]}

    def __init__(self, fraction: float = 0.5):
        self.fraction = fraction

    def draw(self, batch):
        n, k = batch.code.shape
        kept = torch.randint(1, k + 1, (n, 1), generator=batch.generator)
        full = torch.rand(n, 1, generator=batch.generator) >= self.fraction
        mask = full | (torch.arange(k) < kept)
        return batch.code * mask.to(batch.code.device)
