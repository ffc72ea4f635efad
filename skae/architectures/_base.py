"""The base class of the architectures, the plan that they build by, and the net itself."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from .._utils.registry import Strategy
from .._utils.torch import as_double, is_tracing, put_rows, take_rows
from ._layers import carried, has_derivatives, is_dense, with_slopes

# How often a row with missing entries is reconstructed to fill them. More would fit what is there
# with all components, and extrapolate.
COMPLETIONS = 3
# How far a row, a loss or a code may be beyond those of the training rows and still count as one
# of them, and what may be rounding in float32, both as a fraction.
_MARGIN, _ROUNDING = 1.05, 1e-5
# How far the codes of the fallback are away, in the largest of the training rows, and from where on
# codes are those of the fallback: new rows of heavy tails need room. How small the largest is at
# least, as a fraction of that in any component.
_AWAY, _BORDER, _LEAST_SIZE = 3.5, 3.0, 1e-3
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
# By how much a step may make the error of a row larger that has reached its best code.
_NO_WORSE = 1.0001


def _like(better, x):
    """Return a column of conditions with as many axes as an array."""
    return better.reshape(-1, *[1] * (x.ndim - 1))


def _passed(path, x):
    """Return what a path makes of rows; before the first step that is zero, and known at once."""
    last = path[-1] if is_dense(path) and len(path) else None
    if torch.is_grad_enabled() or is_tracing() or type(last) is not nn.Linear:
        return path(x)
    # Once it is trained, the bias alone tells.
    trained = any(weight.any() for weight in (last.bias, last.weight) if weight is not None)
    return path(x) if trained else x.new_zeros(len(x), last.out_features)


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


class PCAFallback(nn.Module):
    """PCA for the rows that a net has not learnt, with codes that it gives to no other row.

    The last component of such a row's code is PCA's, moved away from zero beyond those of all
    training rows, so that the decoder knows it.

    Parameters
    ----------
    loadings : Tensor of shape (n_components, n_features)
        PCA's, with rows of zeros for components that it does not have.
    low, high : Tensor of shape (n_features,)
        The bounds of the training rows, standardized.
    slack : Tensor of shape ()
        The most by which the loss of a row that the net was trained on exceeds that of PCA.
    largest : Tensor of shape ()
        The largest absolute value of the last component of a training row's code.
    relative : Tensor of shape () or None, default=None
        The same as `slack` of noisy rows only, as a fraction of the loss of PCA, for a net that
        denoises: it reconstructs less of the noise than PCA, however much there is.
    """

    def __init__(self, loadings, low, high, slack, largest, relative=None):
        # Models that were stored by earlier versions have none.
        relative = torch.zeros_like(slack) if relative is None else relative
        super().__init__()
        for name, value in list(locals().items()):
            if isinstance(value, torch.Tensor):
                # The weights of a net can be loaded whether or not it has them.
                self.register_buffer(name, value, persistent=False)

    @classmethod
    def of(cls, module, loadings, blocks):
        """Return the fallback beside a net.

        `blocks` are blocks of its rows, completed, each with whether they are noisy.
        """
        low, high = torch.zeros_like(loadings[0]), torch.zeros_like(loadings[0])
        slack, relative, loss_size, code_size, largest = torch.zeros(5, dtype=loadings.dtype)
        known, noisy = loadings.to(module.spread), False
        for x, noisy in blocks:
            code, eta = module.alone(x)
            loss, of_pca = module.losses(x, eta, module.pca(x @ known.t(), known))
            slack = torch.maximum(slack, (loss - of_pca).amax())
            if noisy:
                least = _ROUNDING * loss.abs().amax() + torch.finfo(loss.dtype).tiny
                excess = (loss - of_pca) / of_pca.abs().clamp(min=least)
                relative = torch.maximum(relative, excess.amax())
            loss_size = torch.maximum(loss_size, loss.abs().amax())
            low = torch.minimum(low, x.amin(0))
            high = torch.maximum(high, x.amax(0))
            code_size = torch.maximum(code_size, code.abs().amax())
            largest = torch.maximum(largest, code[:, -1].abs().amax())
        slack = _MARGIN * slack + _ROUNDING * loss_size
        # A component that all rows have alike has a size all the same.
        largest = torch.maximum(largest, _LEAST_SIZE * code_size).clamp(min=_ROUNDING)
        low, high = _MARGIN * low, _MARGIN * high
        if noisy:
            low, high = torch.full_like(low, -torch.inf), torch.full_like(high, torch.inf)
        return cls(loadings, low, high, slack, largest, _MARGIN * relative)

    def is_worse(self, x, code, loss, of_pca):
        """Return which rows are to be PCA's, given the losses of the net and of PCA.

        They lose more on PCA than any training row, or are unlike all training rows in a feature
        and lose on PCA, or their codes are where those of this fallback are.
        """
        excess, allowed = loss - of_pca, torch.maximum(self.slack, self.relative * of_pca.abs())
        far = ((x < self.low) | (x > self.high)).any(1)
        # It is a number only where both losses are.
        worse = ~(excess <= allowed) | (far & (excess > (_MARGIN - 1) * of_pca.abs()))
        return worse | self.is_away(code)

    def is_away(self, code):
        """Return which codes are those of this fallback."""
        return ~(code[:, -1].abs() <= _BORDER * self.largest)

    def away(self, code):
        """Return PCA's codes where the decoder knows them."""
        return self._moved(code, _AWAY * self.largest)

    def back(self, code):
        """Return PCA's codes, given what `away` returns."""
        return self._moved(code, -_AWAY * self.largest)

    def in_place(self, code):
        """Return codes of which PCA's are where PCA has them."""
        return torch.where(self.is_away(code)[:, None], self.back(code), code)

    def _moved(self, code, distance):
        last = code[:, -1:]
        return torch.cat([code[:, :-1], last + torch.where(last < 0, -distance, distance)], 1)


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
    trained gets a ``fallback``, by which it is PCA for the rows that it has not learnt, and its
    ``refinements`` are the steps from the encoder's codes to those with the smallest loss.
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
        self.fallback: PCAFallback | None = None
        self.refinements = 0
        self.register_buffer("spread", torch.ones(n_components, dtype=torch.float64))
        self.register_buffer("noise", torch.ones((), dtype=torch.float64))
        self.register_buffer("start_loss", torch.ones((), dtype=torch.float64))
        # Only such losses look at rows in their own units.
        if not loss.identity:
            self.register_buffer("mean", as_double(standardization.mean), persistent=False)
            self.scale = standardization.scale

    def outputs(self, x):
        """Return the output of the encoder: codes, and what a penalty asked for beside them."""
        out = _passed(self.f, x).flatten(1)
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
        if self.fallback is not None:
            return self._chosen(x)[0]
        code = self._encoded(x)
        return self._refined(x, code)[0] if self.refinements else code

    def decode(self, z):
        known, eta = self.fallback, self._decode(z)
        if known is None:
            return eta
        away = known.is_away(z)
        if not is_tracing() and not away.any():
            return eta
        return torch.where(away[:, None], self.pca(known.back(z), known.loadings), eta)

    def forward(self, x):
        return (self.alone(x) if self.fallback is None else self._chosen(x))[1]

    def alone(self, x):
        """Return the codes and the predictors of standardized rows without the fallback."""
        return self._refined(x, self._encoded(x)) if self.refinements else self._unrefined(x)

    def _unrefined(self, x):
        code = self._encoded(x)
        return code, self._decode(code)

    def _encoded(self, x):
        return self.outputs(x)[:, : self.n_components]

    def _decode(self, z):
        return self.join(self._linear(z), self._gated(_passed(self.g, z)))

    def _linear(self, z):
        return 0.0 if self.E is None else z @ self._linear_decoder()

    def _gated(self, nonlinear):
        nonlinear = nonlinear.flatten(1)
        return nonlinear if self.gates is None else self.gates[1] * nonlinear

    def _linear_decoder(self):
        return self.E.t() if self.D is None else self.D

    def can_refine(self):
        """Return whether the derivatives of the loss and of the decoder are known."""
        return self.loss.has_curvature and has_derivatives(self.g)

    def _refined(self, x, code):
        """Return codes that reconstruct rows better than the encoder's, and their predictors.

        A step goes down the gradient of a row's loss as far as is best where the decoder is linear
        and the loss a parabola. A row that it does not improve stays where it is.
        """
        tiny, loss_of, target = torch.finfo(x.dtype).tiny, self.loss, self.target(x)
        eta, slopes = self._with_slopes(code)
        loss = loss_of.per_sample(eta, target)[:, None]
        for left in reversed(range(self.refinements)):
            step = self._gradient(loss_of.residual(eta, target), slopes)
            bend = loss_of.curvature(eta, target, self._derivative(step, slopes))
            length = step.square().sum(1, keepdim=True) / bend[:, None].clamp(min=tiny)
            other = code + length * step
            other_eta, other_slopes = (
                self._with_slopes(other) if left else (self._decode(other), [])
            )
            other_loss = loss_of.per_sample(other_eta, target)[:, None]
            # Where nothing is left to gain, rounding must not decide which code a row has.
            better = other_loss < _NO_WORSE * loss
            if self.fallback is not None:
                # There a code would be PCA's.
                better = better & ~self.fallback.is_away(other)[:, None]
            found = [other_loss, other, other_eta, *other_slopes]
            if is_tracing() or not better.all():
                known = [loss, code, eta, *slopes][: len(found)]
                pairs = zip(found, known, strict=True)
                found = [torch.where(_like(better, new), new, old) for new, old in pairs]
            loss, code, eta, *slopes = found
        return code, eta

    def _with_slopes(self, z):
        """Return the predictors of codes, and the slopes of what is not linear on the way."""
        linear, (h, slopes) = self._linear(z), with_slopes(self.g, z)
        if self._is_bent():
            mu = self.mean + self.scale * linear
            slopes = [self.scale * self.loss.inverse_slope(mu, self.mean), *slopes]
        return self.join(linear, self._gated(h)), slopes

    def _is_bent(self):
        """Return whether the linear path goes through an inverse link."""
        return self.E is not None and not self.loss.identity

    def _derivative(self, step, slopes):
        """Return how fast predictors change along steps of the codes."""
        slopes, linear = iter(slopes), self._linear(step)
        linear = linear * next(slopes) if self._is_bent() else linear
        return linear + self._gated(carried(self.g, step, slopes))

    def _gradient(self, residual, slopes):
        """Return the codes' part in residuals: minus the gradient of the losses, by the codes."""
        slopes = iter(slopes[::-1])
        d = carried(self.g, self._gated(residual), slopes, back=True)
        residual = residual * next(slopes) if self._is_bent() else residual
        return d if self.E is None else d + residual @ self._linear_decoder().t()

    def _chosen(self, x):
        """Return codes of standardized rows and their predictors: PCA's where the net is worse."""
        worse, (code, eta), (of_pca, eta_of_pca) = self._compared(x)
        if not is_tracing() and not worse.any():
            return code, eta
        worse, away = worse[:, None], self.fallback.away(of_pca)
        return torch.where(worse, away, code), torch.where(worse, eta_of_pca, eta)

    def _compared(self, x):
        """Return for which rows the net is worse, and what `alone` and `_of_pca` return."""
        own, of_pca = self.alone(x), self._of_pca(x)
        worse = self.fallback.is_worse(x, own[0], *self.losses(x, own[1], of_pca[1]))
        return worse, own, of_pca

    def _of_pca(self, x):
        code = x @ self.fallback.loadings.t()
        return code, self.pca(code, self.fallback.loadings)

    def pca(self, code, loadings):
        """Return the predictor that codes have with PCA's loadings."""
        return self.join(code @ loadings, 0.0)

    def join(self, linear, nonlinear):
        """Return the predictor of the loss from the outputs of the decoder's two paths."""
        if self.loss.identity:
            return linear + nonlinear
        return self.loss.inverse_link(self.mean + self.scale * linear, self.mean) + nonlinear

    def losses(self, x, *etas):
        """Return the losses of standardized rows for each of some predictors."""
        target = self.target(x)
        return [self.loss.per_sample(eta, target) for eta in etas]

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
        seen = self._completed(known, missing, self._unrefined)
        if self.fallback is not None:
            worse = self._compared(seen)[0]
            if is_tracing() or worse.any():
                # From what the net makes of such a row, PCA would not find its own completion.
                of_pca = self._completed(known, missing, self._of_pca)
                seen = torch.where(worse[:, None], of_pca, seen)
        self.train(training)
        return put_rows(x, gaps, seen)

    def _completed(self, known, missing, predict):
        seen = torch.where(missing, 0, known)
        for _ in range(COMPLETIONS):
            seen = torch.where(missing, self.reconstruction(predict(seen)[1]), known)
        return seen

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
