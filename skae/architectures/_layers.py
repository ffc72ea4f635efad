"""Layers that torch does not have."""

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
            factor = self.weight * (self.running_var + self.eps).rsqrt()
            shift = self.bias - self.running_mean * factor
            return x * factor.reshape(shape) + shift.reshape(shape)
        if self.training and x.numel() == self.num_features:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(x)


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


class CutEnd(nn.Module):
    """Leaves out the end of the last axes."""

    def __init__(self, lengths):
        super().__init__()
        self.index = (..., *(slice(length) for length in lengths))

    def forward(self, x):
        return x[self.index]
