"""The base class of the architectures, the plan that they build by, and the net itself."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from .._utils.registry import Strategy
from .._utils.torch import as_double, is_tracing, put_rows, take_rows

# How often a row with missing entries is reconstructed to fill them. More would fit what is there
# with all components, and extrapolate.
COMPLETIONS = 3
# How far beyond the training rows a row or a code still counts as within them, and what may be
# rounding in float32, both as a fraction.
_MARGIN, _ROUNDING = 0.01, 1e-6
# How many steps the search for another code takes.
_STEPS = 3
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
    """The sizes and the activation of the net that an architecture builds.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample.
    n_components : int
        Width of the code, which is the input of the decoder.
    n_outputs : int
        Width of the encoder's output: the code, followed by the other outputs that a penalty uses.
    hidden_layer_sizes : tuple of int
        Widths of the encoder's hidden layers. The decoder has them in reverse order.
    activation : str
        A name in `ACTIVATIONS`.
    zero : bool
        Whether the last layers start at zero, as the PCA start needs it. Only architectures with
        ``zeroes = True`` use it.

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
        """Return a new layer that applies the activation.

        Returns
        -------
        layer : torch.nn.Module
            The layer.
        """
        return ACTIVATIONS[self.activation]()

    def end(self, layer):
        """Set the weight and the bias of a last layer to zero if ``zero`` is true.

        Parameters
        ----------
        layer : torch.nn.Module
            A layer with a weight and a bias.

        Returns
        -------
        layer : torch.nn.Module
            The same layer.
        """
        if self.zero:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        return layer


class TrainingCodes(nn.Module):
    """What is known of the codes of training rows, and of what PCA makes of these rows.

    Parameters
    ----------
    loadings : Tensor of shape (n_components, n_features)
        PCA's, with rows of zeros for components that it does not have.
    centre, low, high : Tensor of shape (n_components,)
        The code of the mean, and the bounds of the codes' deviations from it.
    slack : Tensor of shape ()
        The most by which the loss of a training row exceeds that of PCA.
    codes, rows : Tensor of shape (n_rows, n_components) and (n_rows, n_features)
        Some codes, and the standardized rows that they are decoded to.
    """

    def __init__(self, loadings, centre, low, high, slack, codes, rows):
        super().__init__()
        for name, value in list(locals().items()):
            if isinstance(value, torch.Tensor):
                # The weights of a net can be loaded whether or not it has them.
                self.register_buffer(name, value, persistent=False)

    @classmethod
    def of(cls, module, loadings, blocks, some):
        """Return what the codes of standardized, completed rows tell.

        The rows are given some at a time, and some of them once more, all in float64.
        """
        centre = module.encode(torch.zeros_like(loadings[:1]))[0]
        low, high = torch.zeros_like(centre), torch.zeros_like(centre)
        slack, largest = centre.new_zeros(()), centre.new_zeros(())
        for x in blocks:
            code = module.encode(x)
            loss, of_pca = module.losses(x, module.decode(code), loadings)
            slack = torch.maximum(slack, (loss - of_pca).amax())
            largest = torch.maximum(largest, loss.abs().amax())
            low = torch.minimum(low, (code - centre).amin(0))
            high = torch.maximum(high, (code - centre).amax(0))
        size = torch.maximum(-low, high).amax()
        low = (1 + _MARGIN) * low - _ROUNDING * size
        high = (1 + _MARGIN) * high + _ROUNDING * size
        slack = (1 + _MARGIN) * slack + _ROUNDING * largest
        codes = module.encode(some)
        rows = module.reconstruction(module.decode(codes))
        return cls(loadings, centre, low, high, slack, codes, rows)

    def within(self, z):
        """Return what the decoder is to see of codes: z itself if all are within the bounds.

        A code that is beyond a bound by a factor t is shown nearer to that of the mean, at 1 / t^2
        of its place, so that the net's part ends there.
        """
        near = (z >= self.centre + self.low) & (z <= self.centre + self.high)
        if not is_tracing() and near.all():
            return z
        deviation = z - self.centre
        factors = torch.where(deviation > 0, deviation / self.high, deviation / self.low)
        factors = torch.nan_to_num(factors, nan=1.0, posinf=math.inf)
        factor = factors.amax(1, keepdim=True)
        return torch.where(factor > 1, self.centre + deviation / factor**2, z)

    def nearest(self, x):
        """Return the codes that are decoded to what is nearest to standardized rows."""
        if is_tracing():
            # torch's own way would depend on the number of rows
            squares = self.rows.square().sum(1) - 2 * x @ self.rows.t()
            return self.codes[squares.argmin(1)]
        return self.codes[torch.cdist(x, self.rows).argmin(1)]


class AutoencoderModule(nn.Module):
    """An encoder and a decoder, each with a linear path beside it, for standardized rows.

    ``encode`` is ``E x + f(x)``. ``decode`` returns the predictor of the loss, of which the loss's
    link makes a reconstruction: ``D z + g(z)`` where the link is the identity. Other losses start
    as PCA as well: their predictor is the inverse link of PCA's reconstruction, plus ``g(z)``.

    Without the Tensor D, the linear decoder is E's transpose; without E, there is no linear path.
    ``padded`` tells whether rows may end in NaN, the padding of shorter sequences. If ``gated``, f
    and g are each multiplied by a number that is learnt and starts at zero. It makes any f and g
    start as PCA, as T. Bachlechner et al., "ReZero is All You Need" (UAI 2021), start deep nets as
    the identity. A penalty trains the ``critic`` beside the net, if there is one. What the buffers
    ``spread``, ``noise`` and ``start_loss`` are, `skae.penalties.EncodedBatch` says. A net that is
    trained gets ``training_codes``. It then decodes codes that are beyond them as PCA does, and
    looks for another code of a row which it would reconstruct worse than PCA.
    """

    def __init__(self, f, g, E, D, loss, standardization, n_components, padded, gated, critic):
        super().__init__()
        self.f = f
        self.g = g
        self.E = None if E is None else nn.Parameter(as_double(E))
        self.D = None if D is None else nn.Parameter(as_double(D))
        self.loss = loss
        self.n_components = n_components
        self.padded = padded
        self.gates = nn.Parameter(torch.zeros(2, dtype=torch.float64)) if gated else None
        self.critic = critic
        self.training_codes: TrainingCodes | None = None
        self.register_buffer("spread", torch.ones(n_components, dtype=torch.float64))
        self.register_buffer("noise", torch.ones((), dtype=torch.float64))
        self.register_buffer("start_loss", torch.ones((), dtype=torch.float64))
        # Only such losses look at rows in their own units.
        if not loss.identity:
            self.register_buffer("mean", as_double(standardization.mean), persistent=False)
            self.scale = standardization.scale

    def outputs(self, x):
        """Return the output of the encoder: codes, and what a penalty asked for beside them."""
        out = self.f(x).flatten(1)
        if self.gates is not None:
            out = self.gates[0] * out
        if self.E is None:
            return out
        # The padding of a shorter sequence is NaN; to the linear path it is the mean.
        x = torch.nan_to_num(x) if self.padded else x
        k = self.n_components
        code = torch.addmm(out[:, :k], x, self.E)
        return code if out.shape[1] == k else torch.cat([code, out[:, k:]], 1)

    def encode(self, x):
        code = self.outputs(x)[:, : self.n_components]
        return code if self.training_codes is None else self.searched(x, code)[0]

    def searched(self, x, code):
        """Return codes of standardized rows and their predictors: other codes where PCA is better.

        The encoder has not learnt of every row, but the decoder tells what a code lacks. The search
        begins at the code, or at that of a training row whose reconstruction is nearest, and goes
        by what is left of the row along PCA's loadings.
        """
        known, eta = self.training_codes, self.decode(code)
        loss, of_pca = self.losses(x, eta, known.loadings)
        # It is a number only where both are.
        worse = ~(loss - of_pca <= known.slack)
        if not is_tracing() and not worse.any():
            return code, eta
        rows, best, best_eta = (take_rows(values, worse) for values in (x, code, eta))
        target, least = (
            self.target(rows),
            torch.nan_to_num(take_rows(loss, worse), torch.inf, torch.inf),
        )
        other = known.nearest(rows)
        for _ in range(_STEPS + 1):
            other_eta = self.decode(other)
            loss = self.loss.per_sample(other_eta, target)
            closer = loss < least - _ROUNDING * least.abs()
            least = torch.where(closer, loss, least)
            best = torch.where(closer[:, None], other, best)
            best_eta = torch.where(closer[:, None], other_eta, best_eta)
            other = best + (rows - self.reconstruction(best_eta)) @ known.loadings.t()
        return put_rows(code, worse, best), put_rows(eta, worse, best_eta)

    def decode(self, z):
        known = self.training_codes
        within = z if known is None else known.within(z)
        nonlinear = self.g(within).flatten(1)
        if self.gates is not None:
            nonlinear = self.gates[1] * nonlinear
        if self.E is None:
            return self.join(0.0, nonlinear)
        linear = within @ (self.E.t() if self.D is None else self.D)
        if within is not z:
            linear = linear + (z - within) @ known.loadings
        return self.join(linear, nonlinear)

    def forward(self, x):
        code = self.outputs(x)[:, : self.n_components]
        return self.decode(code) if self.training_codes is None else self.searched(x, code)[1]

    def join(self, linear, nonlinear):
        """Return the predictor of the loss from the outputs of the decoder's two paths."""
        if self.loss.identity:
            return linear + nonlinear
        return self.loss.inverse_link(self.mean + self.scale * linear, self.mean) + nonlinear

    def losses(self, x, eta, loadings):
        """Return the loss of each standardized row for a predictor, and for that of PCA."""
        target = self.target(x)
        of_pca = self.join(x @ loadings.t() @ loadings, 0.0)
        return self.loss.per_sample(eta, target), self.loss.per_sample(of_pca, target)

    def target(self, x):
        """Return standardized rows as the loss wants them."""
        return x if self.loss.identity else self.mean + self.scale * x

    def reconstruction(self, eta):
        """Return the standardized reconstruction for a predictor."""
        return eta if self.loss.identity else (self.loss.link(eta) - self.mean) / self.scale

    @torch.no_grad()
    def complete(self, x):
        """Return rows whose missing entries, but not padding, are the net's own reconstruction.

        They start as the mean, and the rows are reconstructed again and again, as PCA imputes.
        """
        # A sum is quicker, and is a number where all entries are, unless they overflow.
        if self.padded or not (is_tracing() or torch.isnan(x.sum())):
            return x
        missing = torch.isnan(x)
        if not is_tracing() and not missing.any():
            return x
        training = self.training
        self.eval()
        gaps = missing.any(1)
        known, missing = take_rows(x, gaps), take_rows(missing, gaps)
        seen = torch.where(missing, 0, known)
        for _ in range(COMPLETIONS):
            seen = torch.where(missing, self.reconstruction(self(seen)), known)
        self.train(training)
        return put_rows(x, gaps, seen)

    def own_parameters(self):
        """Return the parameters that the loss trains: all but the critic's."""
        return [p for name, p in self.named_parameters() if not name.startswith("critic.")]


class Architecture(Strategy):
    """Base class of the architectures.

    A subclass defines `build`. The default attributes are right for any encoder and decoder.

    Attributes
    ----------
    linear_path : bool or "auto", default="auto"
        Whether a linear encoder and a linear decoder are added to those that `build` returns. The
        PCA start needs them. With "auto" they are added if the net starts as PCA.
    default_sizes : tuple of int, default=(256, 128)
        The sizes that ``hidden_layer_sizes="auto"`` stands for.
    rate : float, default=1.0
        ``learning_rate="auto"`` is the default rate of the optimizer times this number.
    zeroes : bool, default=False
        Whether `build` sets the weights of the last layers to zero if ``plan.zero`` is true. If
        not, the outputs of the encoder and of the decoder are each multiplied by a learnt number
        that starts at zero, which makes any net start as PCA.
    draws : bool, default=True
        Whether the modules may draw from torch's global generator in training, as dropout does.
        It is then seeded and restored afterwards, and only one thread trains at a time.
    padded : bool, default=False
        Whether the encoder takes sequences that are padded with NaN at their ends.
    series : bool, default=False
        Whether the features are neighbours, so that a row without an ``input_shape`` is a series.
    tied : bool, default=False
        Whether the linear decoder is the transpose of the linear encoder.
    """

    linear_path: bool | str = "auto"
    default_sizes: tuple[int, ...] = (256, 128)
    rate = 1.0
    zeroes = False
    draws = True
    padded = False
    series = False
    tied = False

    def build(self, plan):
        """Return the nonlinear encoder and decoder.

        torch's global generator is seeded before the call, for layers to draw their weights.

        Parameters
        ----------
        plan : Plan
            The sizes and the activation.

        Returns
        -------
        f : torch.nn.Module
            The encoder. It maps rows of shape (n, plan.n_features) to shape (n, plan.n_outputs).
        g : torch.nn.Module
            The decoder. It maps codes of shape (n, plan.n_components) to shape
            (n, plan.n_features), or to the same number of values in more dimensions.
        """
        raise NotImplementedError


ARCHITECTURES = Architecture.registry
