"""The kind of strategy that a loss is."""

import numpy as np
import torch
from scipy import sparse

from .._strategies import Strategy


class Loss(Strategy):
    """Base class of the reconstruction losses.

    A subclass defines `per_entry`, or `per_sample` if it is no mean over the features. One whose
    output is not X itself sets ``identity = False`` and defines `link` and `inverse_link`; one that
    restricts X defines `bind`.

    Attributes
    ----------
    identity : bool
        Whether the net's output is X centred and scaled.
    positive_only : bool
        Whether X must not be negative.
    whole_rows : bool
        Whether the loss is about whole rows, of which no entry may be missing.
    discrete : bool
        Whether X holds tokens, which the net sees as indicators.
    free_scale : float or None
        The loss of an entry, times this and over its own mean, is minus its log likelihood but for
        a constant. None: it is so without any scale.
    """

    identity = True
    positive_only = False
    whole_rows = False
    discrete = False
    free_scale: float | None = None

    @property
    def entry_width(self):
        """The number of values that an entry of X is to the net: more than one for tokens."""
        return 1

    def bind(self, X):
        """Check that X lies in the loss's domain and learn what the loss needs of it.

        Parameters
        ----------
        X : ndarray or sparse matrix of shape (n_samples, n_features)
            The training data.

        Raises
        ------
        ValueError
            If a value of X is outside the domain.
        """

    def prepare(self, X):
        """Return X as the net sees it, and how much each row counts.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            The data.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            What the net sees.
        weight : ndarray of shape (n_samples,) or None
            The weight of each row's likelihood; None where all are equal.
        """
        return X, None

    def net_shape(self, shape):
        """Return the shape in which the net sees a sample.

        Parameters
        ----------
        shape : tuple of int
            The sample's own shape.

        Returns
        -------
        shape : tuple of int
            The same, but for tokens.
        """
        return shape

    def restore(self, mu):
        """Return reconstructions in the form of X, where `prepare` gave it another.

        Parameters
        ----------
        mu : ndarray of shape (n_samples, n)
            What `link` returned.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The reconstruction.
        """
        return mu

    def link(self, eta):
        """Map the net's output to the units of X.

        Parameters
        ----------
        eta : Tensor of shape (n, n_features)
            The net's output.

        Returns
        -------
        mu : Tensor of shape (n, n_features)
            The reconstruction.
        """
        return eta

    def inverse_link(self, mu, mean):
        """Map a reconstruction, moved into the domain, to the net's output.

        Parameters
        ----------
        mu : Tensor of shape (n, n_features)
            The reconstruction, in the units of X.
        mean : Tensor of shape (n_features,)
            The features' means, which say what is a small value.

        Returns
        -------
        eta : Tensor of shape (n, n_features)
            What the net would have put out for it.
        """
        return mu

    def per_sample(self, eta, x):
        """Return the loss of each row.

        Parameters
        ----------
        eta : Tensor of shape (n, n_features)
            The net's output.
        x : Tensor of shape (n, n_features)
            The target.

        Returns
        -------
        loss : Tensor of shape (n,)
            The mean over the features.
        """
        return self.per_entry(eta, x).mean(1)

    def per_entry(self, eta, x):
        """Return the loss of each entry.

        Parameters
        ----------
        eta : Tensor of shape (n, n_features)
            The net's output.
        x : Tensor of shape (n, n_features)
            The target.

        Returns
        -------
        loss : Tensor of shape (n, n_features)
            One number an entry.
        """
        raise NotImplementedError

    def per_observed(self, eta, x):
        """Return the loss of each row, over the entries that are there.

        Parameters
        ----------
        eta : Tensor of shape (n, n_features)
            The net's output.
        x : Tensor of shape (n, n_features)
            The target; NaN is not there.

        Returns
        -------
        loss : Tensor of shape (n,)
            The mean over the observed entries.
        """
        entries, observed = self._of_observed(self.per_entry, eta, x)
        return entries.sum(1) / observed.sum(1).clamp(min=1)

    def observed(self, x):
        """Return which entries are there.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
            The target; NaN is not there.

        Returns
        -------
        observed : Tensor of shape (n, n_entries), bool
            A token is there or not as a whole.
        """
        return ~torch.isnan(x.unflatten(1, (-1, self.entry_width))[..., 0])

    def noise(self, eta, x):
        """Return the scale of an error, which `log_likelihood` takes.

        Parameters
        ----------
        eta : Tensor of shape (n, n_features)
            The net's output for training rows.
        x : Tensor of shape (n, n_features)
            The target; NaN is not there.

        Returns
        -------
        noise : float
            The mean loss of an entry.
        """
        per_row = self.per_observed if torch.isnan(x).any() else self.per_sample
        return per_row(eta, x).mean().item()

    def log_likelihood(self, eta, x, noise):
        """Return the log likelihood of each entry, for losses that have one.

        Parameters
        ----------
        eta : Tensor of shape (n, n_features)
            The net's output.
        x : Tensor of shape (n, n_features)
            The target.
        noise : float
            What `noise` returned for training rows.

        Returns
        -------
        log_likelihood : Tensor of shape (n, n_features)
            In nats, the densities in the units of the target.
        """
        raise NotImplementedError

    def total_log_likelihood(self, eta, x, noise):
        """Return the log likelihood of each row: the sum over the entries that are there.

        Parameters
        ----------
        eta : Tensor of shape (n, n_features)
            The net's output.
        x : Tensor of shape (n, n_features)
            The target; NaN is not there.
        noise : float
            See `log_likelihood`.

        Returns
        -------
        log_likelihood : Tensor of shape (n,)
            In nats.
        """
        entries, _ = self._of_observed(lambda *pair: self.log_likelihood(*pair, noise), eta, x)
        return entries.sum(1)

    def _of_observed(self, function, eta, x):
        """Return a function of each entry, zero for those that are not there, and the others."""
        observed = self.observed(x)
        return torch.where(observed, function(eta, torch.nan_to_num(x)), 0.0), observed


def extremes(X):
    """Return the least and the largest value of X, dense or sparse."""
    values = X.data if sparse.issparse(X) else X
    low, high = np.fmin.reduce(values, None), np.fmax.reduce(values, None)
    if sparse.issparse(X) and X.nnz < X.shape[0] * X.shape[1]:
        low, high = np.fmin(low, 0), np.fmax(high, 0)
    return low, high


LOSSES = Loss.registry
