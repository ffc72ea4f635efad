"""The evidence lower bound of rows under a net whose penalty has one."""

import torch

from .penalties import Coding


def _coding(module, x, generator):
    k, outputs = module.n_components, module.outputs(x)
    return Coding(x, outputs[:, :k], outputs[:, k:], module, 1.0, generator, 1.0, False)


@torch.no_grad()
def noise_of(module, loss, penalty, x):
    """Return the scale of the errors when codes are drawn from the rows' distributions."""
    coding = _coding(module, module.complete(x), torch.Generator().manual_seed(0))
    eta = module.decode(penalty.draw(coding))
    return loss.noise(eta, module.head.target(x))


@torch.no_grad()
def lower_bound(module, loss, penalty, x, noise, n_draws):
    """Return the evidence lower bound of each row, in the units inside the net.

    Every row gets the same draws of the standard normal distribution, so that its figure does not
    depend on the rows beside it.
    """
    target = module.head.target(x)
    total = torch.zeros(len(x), dtype=x.dtype)
    coding = _coding(module, module.complete(x), None)
    normal = torch.Generator().manual_seed(0)
    for _ in range(n_draws):
        row = torch.randn(1, module.n_components, generator=normal, dtype=x.dtype)
        coding.noise = lambda *shape, row=row: row.expand(shape)
        total += loss.total_log_likelihood(module.decode(penalty.draw(coding)), target, noise)
    return total / n_draws - penalty.divergence(coding)
