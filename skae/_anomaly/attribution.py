"""Attribution of a score to the features, by integrated gradients."""

import numpy as np
import torch

_N_NODES = 16


def spread(rest, parts):
    """Return one number a row, spread over the features in proportion to the sizes of parts."""
    size = abs(parts) + np.finfo(np.float64).tiny
    return rest[:, None] * (size / size.sum(1)[:, None])


def integrated_gradients(function, x, baseline):
    """Return what each feature contributes to ``function(x)``, by integrated gradients.

    The gradient is integrated along the straight line from the baseline to x. Contributions add up
    to ``function(x)``, one number for each row: what the quadrature and the baseline leave is
    spread in proportion to them. For a quadratic function of a linear net they are the classical
    decomposition of the squared Mahalanobis distance. Where the gradient overflows, the function is
    spread in proportion to how far the features are from the baseline.
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
        finite = torch.isfinite(parts).all(1, keepdim=True)
        sizes, parts = torch.where(finite, parts, change), torch.where(finite, parts, 0.0)
        return parts + spread(function(x) - parts.sum(1), sizes)
