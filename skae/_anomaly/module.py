"""The detector's scores and p-values as a torch module of rows in the units of X."""

import copy
import math

import torch
from torch import nn

from .._model.modules import InUnits
from .._utils.torch import as_double
from ..scorings._neighbors import interpolate
from .calibration import ROUNDING, SMALLEST
from .crossfit import FARTHEST, LARGEST
from .folds import NEIGHBOURS
from .hiding import Hiding

# Beyond it, one more or less is nothing to a number's square.
_LARGE = 1e8


class ScoreModule(nn.Module):
    """From rows in the units of X to their scores, p-values and labels, all in float64.

    Parameters
    ----------
    crossfit : CrossFit
    calibration : Calibration
    offset : float
        The threshold.
    """

    def __init__(self, crossfit, calibration, offset):
        super().__init__()
        self.nets = nn.ModuleList(InUnits(fit.model) for fit in crossfit.fits)
        self.models = [copy.copy(fit.model) for fit in crossfit.fits]
        for model, net in zip(self.models, self.nets, strict=True):
            model.module = net.module
        self.scorings = crossfit.scorings
        self.models = [
            model if scoring.hidden is None else Hiding(model, scoring.hidden)
            for model, scoring in zip(self.models, self.scorings, strict=True)
        ]
        self.folds = _FoldsModule(crossfit.folds)
        self.narrowing, self.offset = crossfit.narrowing, offset
        self.scores, self.reached = calibration.scores, calibration.reached
        self.total = float(calibration.total)

    def forward(self, x):
        x = x.double()
        folds = self.folds(x)
        scores = -self.distances(x, folds)
        label = torch.where(scores - self.offset < 0, -1, 1)
        return scores, label, self.p_values(scores, folds >= 0)

    def distances(self, x, folds):
        n_nets, total = len(self.nets), 0.0
        for fold, (net, model, scoring) in enumerate(
            zip(self.nets, self.models, self.scorings, strict=True)
        ):
            seen = net.standardized(x)[0].clamp(-LARGEST, LARGEST)
            missing = torch.isnan(seen)
            seen = torch.where(missing, net.module.complete(seen), seen)
            distance = scoring.distance(model.residuals(seen, missing))
            distance = distance.nan_to_num(FARTHEST, FARTHEST, -FARTHEST)
            unseen = torch.where(folds < 0, 1 / n_nets, (folds != fold).double() / (n_nets - 1))
            total = total + unseen * distance
        shift = interpolate(total, *map(as_double, self.narrowing))
        return total + torch.where(folds < 0, 0.0, shift)

    def p_values(self, scores, known):
        """Return what `Calibration.p_values` returns."""
        own, n_scores = as_double(self.scores), len(self.scores)
        rounded = scores + ROUNDING * scores.abs() + SMALLEST
        at = torch.searchsorted(own, rounded, right=True)
        lower = as_double([0.0, *self.reached])[at]
        low = own[(at - 1).clamp(min=0)]
        gap = own[at.clamp(max=n_scores - 1)] - low
        inside = (at > 0) & (at < n_scores)
        part = torch.where(inside, ((scores - low) / gap).clamp(0, 1), 1.0)
        counted = known & (lower > 0)
        return torch.where(counted, lower / self.total, (lower + part) / (self.total + 1))


class _FoldsModule(nn.Module):
    """From rows to the folds that they are in, -1 for rows that were not trained on."""

    def __init__(self, folds):
        super().__init__()
        self.keys = folds.row_keys
        self.register_buffer("known", as_double(folds.keys))
        self.register_buffer("folds", torch.tensor(folds.folds.astype("int64")))

    def row_keys(self, x):
        own = self.keys
        x = (x / as_double(own.size) - as_double(own.mean)) / as_double(own.scale)
        size = x.abs()
        # torch's own function is not there in float64 wherever the module is exported to
        near = torch.log(size + torch.sqrt(size.clamp(max=_LARGE).square() + 1))
        x = x.sign() * torch.where(size > _LARGE, torch.log(size) + math.log(2), near)
        return x.nan_to_num(-math.pi, 1e3, -1e3) @ as_double(own.directions)

    def forward(self, x):
        keys = self.row_keys(x)
        start = torch.searchsorted(self.known[:, 0].contiguous(), keys[:, 0].contiguous())
        fold = torch.full_like(start, -1)
        nearest = torch.full_like(keys[:, 0], self.keys.tolerance)
        for step in range(-NEIGHBOURS, NEIGHBOURS):
            at = (start + step).clamp(0, len(self.known) - 1)
            distance = (self.known[at] - keys).abs().amax(1)
            closer = distance < nearest
            fold = torch.where(closer, self.folds[at], fold)
            nearest = torch.where(closer, distance, nearest)
        return fold
