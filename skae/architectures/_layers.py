"""Layers that torch does not have."""

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
