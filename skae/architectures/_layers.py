"""Layers that torch does not have."""

import torch
from torch import nn
from torch.nn import functional


class _TakesOneRow:
    """Batch normalisation that lets a single value a channel pass, where torch raises an error."""

    def forward(self, x):
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
    """Dropout that can draw from a generator of its own.

    Whoever trains a net sets ``generator`` on all its modules that have this attribute, and takes
    it away afterwards. Then nothing is drawn from torch's global generator, which the nets of
    several threads would share. The generator may be on another device than the values. It is no
    part of the layer's state: a copy has none, in memory or from a pickle.

    Attributes
    ----------
    generator : torch.Generator or None, default=None
        What the layer draws from while it is trained. None: torch's global generator.
    """

    generator: torch.Generator | None = None

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        generator = self.generator
        device = x.device if generator is None else generator.device
        mask = torch.empty(x.shape, dtype=x.dtype, device=device)
        mask.bernoulli_(1 - self.p, generator=generator).div_(1 - self.p)
        return x * mask.to(x.device)

    def __getstate__(self):
        # torch cannot copy or pickle a generator in every version, and a copy that is trained
        # beside the original must not draw from the same one.
        state = super().__getstate__().copy()
        state.pop("generator", None)
        return state


class Permute(nn.Module):
    """Reorders the axes of a batch."""

    def __init__(self, *axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        return x.permute(self.axes)


class Residual(nn.Module):
    """Adds to its input what some layers make of it."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.layers(x)


class PadEnd(nn.Module):
    """Adds zeros at the end of the last axes."""

    def __init__(self, lengths):
        super().__init__()
        self.pairs = [n for length in reversed(lengths) for n in (0, length)]

    def forward(self, x):
        return functional.pad(x, self.pairs)


class CutEnd(nn.Module):
    """Leaves out the end of the last axes."""

    def __init__(self, lengths):
        super().__init__()
        self.index = (..., *(slice(length) for length in lengths))

    def forward(self, x):
        return x[self.index]
