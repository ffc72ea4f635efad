"""The nets, and the strategies that build them."""

import math
from itertools import pairwise

import torch
from torch import nn

from ._compat import StrOptions
from ._strategies import Strategy

__all__ = ["ACTIVATIONS", "ARCHITECTURES", "Architecture", "Dense"]

ACTIVATIONS = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}


class Autoencoder(nn.Module):
    """An encoder and a decoder, each with a linear path beside it.

    Works on X centred and divided by one global scale: ``encode`` is ``E x + f(x)`` and ``decode``
    joins ``D z`` and ``g(z)`` in the head.

    Parameters
    ----------
    f, g : nn.Module
        The nonlinear encoder and decoder.
    E, D : Tensor of shape (n_features, n_components) and its transpose, or None
        The linear encoder and decoder; None leaves them out.
    head : nn.Module
        See `skae.losses.Head`.
    """

    def __init__(self, f, g, E, D, head):
        super().__init__()
        self.f = f
        self.g = g
        self.E = None if E is None else nn.Parameter(E)
        self.D = None if D is None else nn.Parameter(D)
        self.head = head

    def encode(self, x):
        return self.f(x) if self.E is None else torch.addmm(self.f(x), x, self.E)

    def decode(self, z):
        return self.head(0.0 if self.D is None else z @ self.D, self.g(z))

    def forward(self, x):
        return self.decode(self.encode(x))


class Architecture(Strategy):
    """Base class of the architectures.

    A subclass defines `build`.

    Attributes
    ----------
    linear_path : bool or "auto"
        Whether the net has the linear encoder and decoder that the PCA start needs; "auto": where
        it starts as PCA.
    """

    linear_path: bool | str

    def build(self, n_features, n_components, hidden_layer_sizes, activation, generator, zero):
        """Return the nonlinear encoder and decoder.

        Parameters
        ----------
        n_features, n_components : int
            Widths of a sample and of its code.
        hidden_layer_sizes : tuple of int
            Widths of the encoder from input to code; the decoder mirrors them.
        activation : str
            A name in `ACTIVATIONS`.
        generator : torch.Generator
            The only source of randomness.
        zero : bool
            Whether the last layers start at zero.

        Returns
        -------
        f, g : torch.nn.Module
            In float64.
        """
        raise NotImplementedError


ARCHITECTURES = Architecture.registry


class Dense(Architecture, name="dense"):
    """Fully connected layers with the chosen activation between them.

    Parameters
    ----------
    linear_path : bool or "auto", default="auto"
        Whether a linear encoder and decoder run beside the layers. They carry the PCA start;
        without them only ``init="random"`` is possible. "auto": with ``init="pca"`` only.

    Examples
    --------
    >>> from skae.architectures import Dense
    >>> Dense(linear_path=False)
    Dense(linear_path=False)
    """

    _parameter_constraints: dict = {"linear_path": ["boolean", StrOptions({"auto"})]}

    def __init__(self, linear_path="auto"):
        self.linear_path = linear_path

    def build(self, n_features, n_components, hidden_layer_sizes, activation, generator, zero):
        sizes = [n_features, *hidden_layer_sizes, n_components]
        return tuple(
            _layers(widths, ACTIVATIONS[activation], generator, zero)
            for widths in (sizes, sizes[::-1])
        )


def _layers(widths, activation, generator, zero):
    layers = []
    for n_in, n_out in pairwise(widths):
        layers += [_linear(n_in, n_out, generator), activation()]
    layers.pop()
    if zero:
        nn.init.zeros_(layers[-1].weight)
        nn.init.zeros_(layers[-1].bias)
    return nn.Sequential(*layers)


def _linear(n_in, n_out, generator):
    # torch's own initial values, but drawn from the local generator and not the global one
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out, dtype=torch.float64)
    bound = 1 / math.sqrt(n_in)
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer
