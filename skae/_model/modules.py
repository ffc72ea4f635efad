"""What the fitted autoencoder does of rows in the units of X, as torch modules of tensors."""

import copy

import torch
from torch import nn

from .._utils.torch import as_double


class InUnits(nn.Module):
    """A module of rows in the units of X, with a copy of a fitted autoencoder's net.

    Rows are standardized in float64. The net computes in the float type of its weights, and what is
    returned has that of the input.
    """

    def __init__(self, model):
        super().__init__()
        self.module = copy.deepcopy(model.module)
        self.loss = model.loss
        self.register_buffer("mean", as_double(model.standardization.mean))
        self.scale, self.rounding = model.scale, model.standardization.rounding

    def standardized(self, x):
        """Return rows prepared, centred and scaled, and how much each counts, or None."""
        x, totals = self.loss.preparation.transform_tensor(x)
        x = x.to(self.mean) - self.mean
        if self.rounding:
            x = torch.where(x.abs() <= self.rounding, 0.0, x)
        return (x / self.scale).to(self.module.spread), totals

    def completed(self, x):
        """Return rows as the net takes them, and how much each counts, or None."""
        x, totals = self.standardized(x)
        if not self.module.padded:
            # what is filled in is a constant to the gradient
            x = torch.where(x.isnan(), self.module.complete(x.detach()), x)
        return x, totals

    def to_data(self, eta):
        """Return predictors of the loss as rows in the units of X."""
        if self.loss.identity:
            mu = (eta * self.scale).to(self.mean) + self.mean
        else:
            mu = self.loss.link(eta)
        return self.loss.preparation.inverse_transform_tensor(mu)


class Encoder(InUnits):
    """From rows in the units of X to their codes, as ``transform`` returns them."""

    def __init__(self, model, divisor):
        super().__init__(model)
        self.register_buffer("divisor", as_double(divisor))

    def forward(self, x):
        code = self.module.encode(self.completed(x)[0])
        return (code * (self.scale / self.divisor)).to(x.dtype)


class Decoder(InUnits):
    """From codes to reconstructions in the units of X, as ``inverse_transform`` returns them."""

    def __init__(self, model, factor):
        super().__init__(model)
        self.register_buffer("factor", as_double(factor))

    def forward(self, z):
        code = z.to(self.mean) * (self.factor / self.scale)
        return self.to_data(self.module.decode(code.to(self.module.spread))).to(z.dtype)


class Reconstructor(InUnits):
    """From rows in the units of X to their reconstructions, as ``reconstruct`` returns them."""

    def forward(self, x):
        seen, totals = self.completed(x)
        rebuilt = self.to_data(self.module(seen)).to(x.dtype)
        if self.module.padded:
            rebuilt = torch.where(x.isnan(), torch.nan, rebuilt)
        return rebuilt if totals is None else rebuilt * totals[:, None]
