"""The losses that are minus a log likelihood."""

import torch


class Likelihood:
    """Mixin of the losses that are minus a log likelihood, but for a scale and a constant.

    A loss inherits from it before `Loss`, and defines `log_likelihood` unless that is minus the
    loss itself. A variational model with such a loss has a lower bound of the log likelihood of
    rows, ``score_samples``.

    Examples
    --------
    >>> import math
    >>> import torch
    >>> from skae.losses import Likelihood, Loss
    >>> class Logistic(Likelihood, Loss):
    ...     def per_entry(self, eta, x):
    ...         return 2 * torch.log(torch.cosh((eta - x) / 2))
    ...
    ...     def log_likelihood(self, eta, x, noise):
    ...         return -self.per_entry(eta, x) - math.log(4)
    >>> eta, x = torch.zeros(1, 2), torch.tensor([[0.0, torch.nan]])
    >>> Logistic().total_log_likelihood(eta, x, noise=1.0)
    tensor([-1.3863])
    """

    def noise(self, eta, x):
        """Return the scale of an error, which `log_likelihood` takes.

        Parameters
        ----------
        eta, x : Tensor of shape (n, n_features)
            The net's output for training rows and the target, where NaN is missing.

        Returns
        -------
        noise : float
            The mean loss of an entry.
        """
        per_row = self.per_observed if torch.isnan(x).any() else self.per_sample
        return per_row(eta, x).mean().item()

    def log_likelihood(self, eta, x, noise):
        """Return the log likelihood of each entry.

        Parameters
        ----------
        eta, x : Tensor of shape (n, n_features)
            The net's output and the target.
        noise : float
            What `noise` returned for training rows.

        Returns
        -------
        log_likelihood : Tensor of shape (n, n_features)
            In nats, the densities in the units of the target. By default minus the loss.
        """
        return -self.per_entry(eta, x)

    def total_log_likelihood(self, eta, x, noise):
        """Return the log likelihood of each row: the sum over the entries that are observed.

        Parameters
        ----------
        eta, x : Tensor of shape (n, n_features)
            The net's output and the target, where NaN is missing.
        noise : float
            What `noise` returned for training rows.

        Returns
        -------
        log_likelihood : Tensor of shape (n,)
            In nats.
        """
        entries = self.log_likelihood(eta, torch.nan_to_num(x), noise)
        return torch.where(self.observed(x), entries, 0.0).sum(1)
