"""An autoencoder that reconstructs each group of features from all others."""

import numpy as np
import torch

from ..scorings import Residuals


class Hiding:
    """An autoencoder whose reconstruction of a group of features does not see the group.

    In place of a hidden feature the net sees its mean, as of one that `skae.corruptions.Masking`
    masks in training.
    """

    def __init__(self, model, groups):
        self.model = model
        self.groups = [list(group) for group in groups]

    def __getattr__(self, name):
        return getattr(self.model, name)

    def _by_group(self, x):
        """Yield each group and the net's output for rows without it."""
        for group in self.groups:
            seen = x.clone()
            seen[:, group] = 0.0
            yield group, self.model.module(seen)

    @torch.no_grad()
    def residuals(self, x, missing):
        """Return codes, residuals and the losses of the groups of standardized, completed rows.

        The loss of a group without an observed entry is NaN.
        """
        module, loss = self.model.module, self.model.loss
        target = module.target(x).masked_fill(missing, torch.nan)
        residual, losses = torch.zeros_like(x), []
        for group, eta in self._by_group(x):
            residual[:, group] = (x - module.reconstruction(eta))[:, group]
            own = torch.full_like(target, torch.nan)
            own[:, group] = target[:, group]
            known = loss.observed(own).any(1)
            losses.append(torch.where(known, loss.per_observed(eta, own), torch.nan))
        residual = torch.where(missing, 0.0, residual)
        return Residuals(module.encode(x), residual, torch.stack(losses, 1), x)

    @torch.no_grad()
    def reconstruct(self, X):
        """Return the reconstructions of the rows of X, each group from all others."""
        model = self.model

        def reconstruct(rows):
            x = model.module.complete(model.standardized(rows))
            rebuilt = np.zeros(rows.shape)
            for group, eta in self._by_group(x):
                rebuilt[:, group] = model.to_data(eta)[:, group]
            return rebuilt

        return model.map_rows(reconstruct, X, X.shape[1])
