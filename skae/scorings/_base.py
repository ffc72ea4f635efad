"""What scorings are given, their base class, and the plainest of them."""

from dataclasses import dataclass

import torch

from .._utils.registry import Strategy


@dataclass
class Residuals:
    """The codes, residuals and losses of some rows.

    Parameters
    ----------
    code : Tensor of shape (n, n_components)
        The codes.
    residual : Tensor of shape (n, n_features)
        The rows, centred and divided by one scale for all features, minus their reconstructions.
        The residual of a missing entry is zero.
    loss : Tensor of shape (n,)
        The reconstruction losses; of shape (n, n_groups) for a scoring that hides groups of
        features, NaN where none of a group is observed.
    row : Tensor of shape (n, n_features)
        The rows themselves, centred and divided by one scale. A missing entry is what the net
        fills in.

    Examples
    --------
    >>> import torch
    >>> from skae.scorings import Reconstruction, Residuals
    >>> residual = torch.tensor([[1.0, -1.0], [0.0, 2.0]])
    >>> loss = residual.square().mean(1)
    >>> residuals = Residuals(torch.zeros(2, 1), residual, loss, residual)
    >>> Reconstruction().distance(residuals)
    tensor([1., 2.])
    """

    code: torch.Tensor
    residual: torch.Tensor
    loss: torch.Tensor
    row: torch.Tensor


class Scoring(Strategy):
    """Base class of the anomaly scores.

    A subclass defines `distance`, and `fit` if it learns something from the training rows, as NumPy
    arrays and plain numbers in attributes that end in an underscore.

    Attributes
    ----------
    hidden : list of list of int or None, default=None
        Groups of features that are hidden from the net in turn, which then reconstructs each group
        from all others: residuals are those, and losses have a column for each group. None: the net
        sees whole rows.
    """

    hidden = None

    def fit(self, residuals, weight):
        """Learn what the distances of rows are measured from.

        Parameters
        ----------
        residuals : Residuals
            Codes, residuals and losses of the training rows, in float64.
        weight : ndarray of shape (n,)
            The weight of each row. A row with weight 2 counts as two equal rows.
        """

    def distance(self, residuals):
        """Return how unusual rows are.

        Parameters
        ----------
        residuals : Residuals
            Codes, residuals and losses of any rows, in float64.

        Returns
        -------
        distance : Tensor of shape (n,)
            Larger values are more unusual. Differentiable with respect to `residuals`.
        """
        raise NotImplementedError

    def by_group(self, residuals, losses):
        """Return how unusual each hidden group of features is, for a scoring that hides groups.

        Parameters
        ----------
        residuals : Residuals
            Codes, residuals and losses of any rows, in float64.
        losses : callable
            Takes a tensor of shape (n, n_hidden), for each row the numbers of groups that are
            hidden at once, and returns the losses of all groups then, of shape (n, n_groups).

        Returns
        -------
        parts : Tensor of shape (n, n_groups)
            Not negative. `distance` is attributed to the groups in proportion.
        """
        raise NotImplementedError


SCORINGS = Scoring.registry


class Reconstruction(Scoring, name="reconstruction", also=("mse", "reconstruction_error")):
    """The reconstruction loss of a row, which is the score of most autoencoder detectors.

    Examples
    --------
    >>> from skae.scorings import Reconstruction
    >>> Reconstruction()
    Reconstruction()
    """

    def distance(self, residuals):
        return residuals.loss
