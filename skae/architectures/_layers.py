"""Layers that torch does not have, and the derivatives of those that decoders are made of."""

import math

import torch
from torch import nn
from torch.nn import functional

from .._utils.torch import is_tracing


class _TakesOneRow:
    """Batch normalisation that lets a single value a channel pass, where torch raises an error."""

    def forward(self, x):
        if is_tracing() and not self.training:
            # torch's own operator cannot be traced for rows whose number is not known
            shape = (-1, *[1] * (x.ndim - 2))
            factor = self.factor
            shift = self.bias - self.running_mean * factor
            return x * factor.reshape(shape) + shift.reshape(shape)
        if self.training and x.numel() == self.num_features:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(x)

    @property
    def factor(self):
        """What each channel is multiplied by after the training."""
        return self.weight * (self.running_var + self.eps).rsqrt()


class BatchNorm1d(_TakesOneRow, nn.BatchNorm1d):
    pass


class BatchNorm2d(_TakesOneRow, nn.BatchNorm2d):
    pass


class Dropout(nn.Dropout):
    """Dropout that draws from ``generator``, or from torch's global generator if that is None.

    Whoever trains a net sets the generator on all its modules that have this attribute, and takes
    it away afterwards: the nets of several threads would share the global one.
    """

    generator: torch.Generator | None = None

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        device = x.device if self.generator is None else self.generator.device
        mask = torch.empty(x.shape, dtype=x.dtype, device=device)
        mask.bernoulli_(1 - self.p, generator=self.generator).div_(1 - self.p)
        return x * mask.to(x.device)

    def __getstate__(self):
        # torch cannot copy or pickle a generator in every version, and a copy that is trained
        # beside the original must not draw from the same one.
        state = super().__getstate__().copy()
        state.pop("generator", None)
        return state


class Transposed(nn.Module):
    """A linear layer with another one's weights, transposed, and a bias of its own."""

    def __init__(self, layer, bias, n_inputs):
        super().__init__()
        self.layer = layer
        self.bias = bias
        self.n_inputs = n_inputs

    @property
    def weight(self):
        return self.layer.weight[: self.n_inputs].t()

    def forward(self, z):
        return functional.linear(z, self.weight, self.bias)


class SwapAxes(nn.Module):
    """Swaps the two axes of each sample."""

    def forward(self, x):
        return x.transpose(1, 2)


class Residual(nn.Sequential):
    """Adds to its input what some layers make of it."""

    def forward(self, x):
        return x + super().forward(x)


def end_padding(numbers):
    """Return the padding that adds so many values to the end of each of the last axes."""
    # torch takes the last axis first.
    return tuple(i for number in reversed(numbers) for i in (0, number))


class CutEnd(nn.Module):
    """Leaves out the end of the last axes, as many values of each as ``numbers`` says."""

    def __init__(self, numbers):
        super().__init__()
        self.index = (..., *(slice(-number or None) for number in numbers))
        self.pad = end_padding(numbers)

    def forward(self, x):
        return x[self.index]


class Flat(nn.Module):
    """Makes a row of each sample of a known shape."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.flatten(1)


# -- derivatives -----------------------------------------------------------------------------------

# torch's constants of SELU
SELU = 1.6732632423543772, 1.0507009873554805
# The derivative of each activation, given its input and its output.
_SLOPES = {
    nn.ReLU: lambda layer, a, h: (a > 0).to(a.dtype),
    nn.LeakyReLU: lambda layer, a, h: torch.where(a > 0, 1.0, layer.negative_slope),
    nn.ELU: lambda layer, a, h: torch.where(a > 0, 1.0, h + layer.alpha),
    nn.SELU: lambda layer, a, h: torch.where(a > 0, SELU[1], h + SELU[0] * SELU[1]),
    nn.GELU: lambda layer, a, h: (
        (1 + torch.erf(a / math.sqrt(2))) / 2 + a * torch.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    ),
    nn.Mish: lambda layer, a, h: _slope_of_mish(a),
    nn.Tanh: lambda layer, a, h: 1 - h * h,
    nn.Sigmoid: lambda layer, a, h: h * (1 - h),
    nn.Softplus: lambda layer, a, h: torch.sigmoid(layer.beta * a),
}


def _slope_of_mish(a):
    t = torch.tanh(functional.softplus(a))
    return t + a * torch.sigmoid(a) * (1 - t * t)


def _silu(layer, a):
    # The exponential function takes most of the time: once for both.
    sigmoid = torch.sigmoid(a)
    h = a * sigmoid
    return h, h + sigmoid * (1 - h)


def _with_slope(slope):
    return lambda layer, a: (h := layer(a), slope(layer, a, h))


# What an activation makes of its input, and its derivative there.
_ACTIVATIONS = {kind: _with_slope(slope) for kind, slope in _SLOPES.items()} | {nn.SiLU: _silu}


def _same(layer, d):
    return d


def _scaled(layer, d):
    return d * layer.factor.reshape(-1, *[1] * (d.ndim - 2))


def _convolved(convolution):
    def apply(layer, d):
        return convolution(d, layer.weight, None, layer.stride, layer.padding)

    return apply


# What every other layer makes of changes of its input, and of gradients by its output.
_DENSE = {
    nn.Linear: (lambda layer, d: d @ layer.weight.t(), lambda layer, d: d @ layer.weight),
    nn.Identity: (_same, _same),
    Dropout: (_same, _same),
    BatchNorm1d: (_scaled, _scaled),
}
_DENSE[Transposed] = _DENSE[nn.Linear]
_AXES = {
    nn.Unflatten: (lambda layer, d: layer(d), lambda layer, d: d.flatten(1)),
    Flat: (lambda layer, d: layer(d), lambda layer, d: d.reshape(-1, *layer.shape)),
    SwapAxes: (lambda layer, d: layer(d), lambda layer, d: layer(d)),
    CutEnd: (lambda layer, d: layer(d), lambda layer, d: functional.pad(d, layer.pad)),
    BatchNorm2d: (_scaled, _scaled),
}
for _one, _other, _direct, _transposed in (
    (nn.Conv1d, nn.ConvTranspose1d, functional.conv1d, functional.conv_transpose1d),
    (nn.Conv2d, nn.ConvTranspose2d, functional.conv2d, functional.conv_transpose2d),
):
    _AXES[_one] = _convolved(_direct), _convolved(_transposed)
    _AXES[_other] = _convolved(_transposed), _convolved(_direct)
_AFFINE = _DENSE | _AXES
_DENSE_KINDS = {*_DENSE, *_ACTIVATIONS}


def is_dense(path):
    """Return whether a path is a chain of dense layers."""
    return type(path) is nn.Sequential and {*map(type, path)} <= _DENSE_KINDS


def has_derivatives(path):
    """Return whether the derivatives of a path's layers are known."""
    # Those with more axes are known as `Convolutional` builds them, which ends with its own layer.
    built = type(path) is nn.Sequential and len(path) and type(path[-1]) is Flat
    in_place = any(getattr(layer, "inplace", False) for layer in path.modules())
    return (built or is_dense(path)) and not in_place


def with_slopes(path, h):
    """Return what a path makes of its input, and the slopes of its activations there."""
    slopes = []
    for layer in path:
        if type(layer) in _ACTIVATIONS:
            h, slope = _ACTIVATIONS[type(layer)](layer, h)
            slopes.append(slope)
        elif type(layer) is Residual:
            out, more = with_slopes(layer, h)
            h, slopes = h + out, slopes + more
        else:
            h = layer(h)
    return h, slopes


def carried(path, d, slopes, back=False):
    """Return how the output of a path changes with its input, given the slopes in turn.

    With ``back`` it is the gradient by the input, given that by the output and the slopes in
    reverse.
    """
    for layer in reversed(path) if back else path:
        if type(layer) in _ACTIVATIONS:
            d = d * next(slopes)
        elif type(layer) is Residual:
            d = d + carried(layer, d, slopes, back)
        else:
            d = _AFFINE[type(layer)][back](layer, d)
    return d
