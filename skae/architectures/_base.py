"""What every net has: a plan of its sizes, a linear path, a start that is PCA."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from .._init import COMPLETIONS
from .._strategies import Strategy

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


@dataclass(frozen=True)
class Plan:
    """What an architecture is asked to build.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample.
    n_components : int
        Width of the code, which the decoder takes.
    n_outputs : int
        Width of what the encoder returns: the code, and what a penalty wants beside it.
    hidden_layer_sizes : tuple of int
        Widths of the encoder from input to code; the decoder mirrors them.
    activation : str
        A name in `ACTIVATIONS`.
    zero : bool
        Whether the last layers start at zero, as the PCA start needs; only read by an architecture
        with ``zeroes = True``.

    Examples
    --------
    >>> from skae.architectures import Plan
    >>> Plan((28, 28), 2, 2, (16, 32), "silu", zero=True).n_features
    784
    """

    shape: tuple[int, ...]
    n_components: int
    n_outputs: int
    hidden_layer_sizes: tuple[int, ...]
    activation: str
    zero: bool

    @property
    def n_features(self):
        """The number of values of a sample."""
        return math.prod(self.shape)

    def new_activation(self):
        """Return a layer with the activation.

        Returns
        -------
        layer : torch.nn.Module
            A new one.
        """
        return ACTIVATIONS[self.activation]()

    def end(self, layer):
        """Return a last layer, which starts at zero if the plan says so.

        Parameters
        ----------
        layer : torch.nn.Module
            With a weight and a bias.

        Returns
        -------
        layer : torch.nn.Module
            The same.
        """
        if self.zero:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        return layer


class Autoencoder(nn.Module):
    """An encoder and a decoder, each with a linear path beside it.

    Works on X centred and divided by one global scale: ``encode`` is ``E x + f(x)`` and ``decode``
    joins ``D z`` and ``g(z)`` in the head.

    Parameters
    ----------
    f, g : nn.Module
        The nonlinear encoder and decoder.
    E, D : Tensor of shape (n_features, n_components) and its transpose, or None
        The linear encoder and decoder. Without D, the decoder is E's transpose; without E, there
        is no linear path.
    head : nn.Module
        The head of the loss.
    n_components : int
    gated : bool
        Whether f and g are each multiplied by a number that is learnt and starts at zero. It makes
        any f and g start as PCA, as T. Bachlechner et al., "ReZero is All You Need" (UAI 2021),
        start deep nets as the identity.
    critic : nn.Module or None
        What a penalty trains beside the net.

    Attributes
    ----------
    spread : Tensor of shape (n_components,)
        Standard deviations of the code's entries at the start: the units of the penalties.
    noise : Tensor of shape ()
        Mean squared error of the start.
    start_loss : Tensor of shape ()
        Mean loss of the start.
    """

    def __init__(self, f, g, E, D, head, n_components, gated, critic):
        super().__init__()
        self.f = f
        self.g = g
        self.E = None if E is None else nn.Parameter(E)
        self.D = None if D is None else nn.Parameter(D)
        self.head = head
        self.n_components = n_components
        self.gates = nn.Parameter(torch.zeros(2, dtype=torch.float64)) if gated else None
        self.critic = critic
        self.register_buffer("spread", torch.ones(n_components, dtype=torch.float64))
        self.register_buffer("noise", torch.ones((), dtype=torch.float64))
        self.register_buffer("start_loss", torch.ones((), dtype=torch.float64))

    def outputs(self, x):
        """Return what the encoder says of rows: their codes, and what a penalty asked for."""
        out = self.f(x).flatten(1)
        if self.gates is not None:
            out = self.gates[0] * out
        if self.E is None:
            return out
        # The padding of a shorter sequence is NaN; to the linear path it is the mean.
        x = torch.nan_to_num(x) if self.head.padded else x
        k = self.n_components
        code = torch.addmm(out[:, :k], x, self.E)
        return code if out.shape[1] == k else torch.cat([code, out[:, k:]], 1)

    def encode(self, x):
        return self.outputs(x)[:, : self.n_components]

    def decode(self, z):
        nonlinear = self.g(z).flatten(1)
        if self.gates is not None:
            nonlinear = self.gates[1] * nonlinear
        if self.E is None:
            return self.head(0.0, nonlinear)
        return self.head(z @ (self.E.t() if self.D is None else self.D), nonlinear)

    def forward(self, x):
        return self.decode(self.encode(x))

    @torch.no_grad()
    def complete(self, x):
        """Return rows whose missing entries are the net's own reconstruction of them.

        They start as the mean, and the rows are reconstructed again and again, which is how PCA
        imputes. A net that takes rows with gaps gets them as they are.
        """
        # A sum is quicker, and is a number where all entries are, unless they overflow.
        if self.head.padded or not torch.isnan(x.sum()):
            return x
        missing = torch.isnan(x)
        if not missing.any():
            return x
        training = self.training
        self.eval()
        seen = torch.where(missing, 0, x)
        for _ in range(COMPLETIONS):
            seen = torch.where(missing, self.head.to_net(self(seen)), x)
        self.train(training)
        return seen

    def own_parameters(self):
        """Return the parameters that the loss trains: all but the critic's."""
        critic = set() if self.critic is None else set(self.critic.parameters())
        return [p for p in self.parameters() if p not in critic]


class Architecture(Strategy):
    """Base class of the architectures.

    A subclass defines `build`. All else has a default that is right for any pair of modules: they
    start as PCA through a gate that is closed at first.

    Attributes
    ----------
    linear_path : bool or "auto"
        Whether the net has the linear encoder and decoder that the PCA start needs; "auto": where
        it starts as PCA.
    default_sizes : tuple of int
        What ``hidden_layer_sizes="auto"`` is.
    rate : float
        What ``learning_rate="auto"`` is, as a share of the optimizer's own.
    zeroes : bool
        Whether `build` obeys ``plan.zero``, so that no gate is needed.
    draws : bool
        Whether the modules may draw random numbers from torch's global generator, as dropout does.
        It is then seeded for the training, of one fit at a time, and given back as it was.
    padded : bool
        Whether the encoder takes sequences whose tails are NaN.
    tied : bool
        Whether the decoder of the linear path is the encoder's transpose.
    """

    linear_path: bool | str = "auto"
    default_sizes: tuple[int, ...] = (256, 128)
    rate = 1.0
    zeroes = False
    draws = True
    padded = False
    tied = False

    def build(self, plan):
        """Return the nonlinear encoder and decoder.

        Called with torch's global generator seeded, so that layers may be made as usual.

        Parameters
        ----------
        plan : Plan
            Sizes and activation.

        Returns
        -------
        f : torch.nn.Module
            Maps rows, of shape (n, plan.n_features), to (n, plan.n_outputs).
        g : torch.nn.Module
            Maps codes, of shape (n, plan.n_components), to (n, plan.n_features), or as many values
            in more dimensions.
        """
        raise NotImplementedError


ARCHITECTURES = Architecture.registry
