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
        # for each group, which features are in it
        n_features = model.plan.n_features
        self.masks = [torch.from_numpy(np.isin(np.arange(n_features), own)) for own in groups]
        # for each group, a column with the entries of the loss that it holds the whole of
        held = torch.where(torch.stack(self.masks), 0.0, torch.nan).double()
        self.entries = model.loss.observed(held).double().T

    def __getattr__(self, name):
        return getattr(self.model, name)

    def _outputs(self, x):
        """Return the net's outputs for rows, those of each group from a pass without the group.

        They are put together before the loss sees them: a loss of all features for each group would
        take longer than the passes.
        """
        eta = torch.zeros_like(x)
        for mask in self.masks:
            eta = torch.where(mask, self.model.module(torch.where(mask, 0.0, x)), eta)
        return eta

    @torch.no_grad()
    def residuals(self, x, missing):
        """Return codes, residuals and the losses of the groups of standardized, completed rows.

        The loss of a group without an observed entry is NaN.
        """
        module = self.model.module
        eta = self._outputs(x)
        residual = torch.where(missing, 0.0, x - module.reconstruction(eta))
        return Residuals(module.encode(x), residual, self._losses(eta, x, missing), x)

    @torch.no_grad()
    def losses(self, x, missing, groups):
        """Return the losses of the groups where some are hidden at once, others for each row.

        `groups` has their numbers, of shape (n, n_hidden). The losses are as those of `residuals`.
        """
        hidden = torch.stack(self.masks)[groups].any(1)
        return self._losses(self.model.module(torch.where(hidden, 0.0, x)), x, missing)

    def _losses(self, eta, x, missing):
        loss, target = self.model.loss, self.model.module.target(x)
        entries = loss.per_entry(eta, target)
        observed = loss.observed(target.masked_fill(missing, torch.nan))
        sums = torch.where(observed, entries, 0.0) @ self.entries
        return sums / (observed.to(x.dtype) @ self.entries)

    @torch.no_grad()
    def reconstruct(self, X):
        """Return the reconstructions of the rows of X, each group from all others."""
        model = self.model

        def reconstruct(rows):
            return model.to_data(self._outputs(model.module.complete(model.standardized(rows))))

        return model.map_rows(reconstruct, X, X.shape[1])
