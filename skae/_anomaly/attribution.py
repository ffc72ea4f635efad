"""Attribution of a score to the features, by integrated gradients."""

import numpy as np
import torch

_N_NODES = 16


def mean_row(rows, weight):
    """Return the weighted mean of rows without NaN, and 0 for a feature that no row has."""
    # By a power of two, which changes no digit: products with large weights might not fit.
    weight = np.ldexp(weight, -np.frexp(weight.max())[1])
    if not np.isnan(rows).any():
        return np.average(rows, axis=0, weights=weight)
    return np.ma.average(np.ma.masked_invalid(rows), axis=0, weights=weight).filled(0.0)


def integrated_gradients(function, x, baseline):
    """Return what each feature contributes to ``function(x)``, by integrated gradients.

    The gradient is integrated along the straight line from the baseline to x. Contributions add up
    to ``function(x)``, one number for each row: what the quadrature and the baseline leave is
    spread in proportion to them. For a quadratic function of a linear net they are the classical
    decomposition of the squared Mahalanobis distance.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_N_NODES)
    gradient = torch.zeros_like(x)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        point = (baseline + node * (x - baseline)).requires_grad_()
        (slope,) = torch.autograd.grad(function(point).sum(), point)
        gradient += weight * slope
    with torch.no_grad():
        # What does not change contributes nothing, even at the edge of a loss's domain, where the
        # slope is infinite.
        change = x - baseline
        parts = torch.where(change == 0, 0.0, gradient * change)
        rest = function(x) - parts.sum(1)
        size = parts.abs() + torch.finfo(x.dtype).tiny
        return parts + rest[:, None] * (size / size.sum(1, keepdim=True))
