"""Losses of one reconstructed sample, each with the link that maps the net's output to X's units.

A loss is the mean over the features of one sample. Losses with the identity link are computed on X
centred and divided by one global scale, so that they do not depend on its units; the others on X
itself, because counts and probabilities have no other unit.
"""

from numbers import Real

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ._compat import Interval
from ._strategies import Strategy

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "BinaryCrossEntropy",
    "Huber",
    "Loss",
    "Multinomial",
    "Poisson",
    "SquaredError",
]


class Loss(Strategy):
    """Base class of the reconstruction losses.

    A subclass defines `per_sample`. One whose output is not X itself sets ``identity = False`` and
    defines `link` and `inverse_link`; one that restricts X defines `bind`.
    """

    identity = True
    positive_only = False

    def bind(self, X):
        """Check that X lies in the loss's domain and learn what the loss needs of it.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
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
        raise NotImplementedError


LOSSES = Loss.registry


def _check_range(feature_range):
    numbers = [value for value in feature_range if isinstance(value, Real)]
    if len(feature_range) == len(numbers) == 2 and numbers[0] < numbers[1]:
        return feature_range
    raise ValueError(
        "The 'feature_range' parameter of BinaryCrossEntropy must be two increasing numbers or "
        f"None, got {feature_range!r}."
    )


def _check_counts(X, name):
    if X.min() < 0:
        raise ValueError(
            f"Negative values in data: loss={name!r} needs counts, values of X that are >= 0, but "
            f"the smallest is {X.min():g}."
        )


def _log_above(mu, mean):
    """Return the log of mu, which is kept above a hundredth of the features' mean."""
    return torch.log(torch.maximum(mu, 0.01 * mean + torch.finfo(mu.dtype).tiny))


class SquaredError(Loss, name="squared_error"):
    """Squared error, PCA's own loss.

    Examples
    --------
    >>> from skae.losses import SquaredError
    >>> SquaredError()
    SquaredError()
    """

    def per_sample(self, eta, x):
        return (eta - x).square().mean(1)


class AbsoluteError(Loss, name="absolute_error"):
    """Absolute error: the median of a feature rather than its mean; robust to outlying entries.

    Examples
    --------
    >>> from skae.losses import AbsoluteError
    >>> AbsoluteError()
    AbsoluteError()
    """

    def per_sample(self, eta, x):
        return (eta - x).abs().mean(1)


class Huber(Loss, name="huber"):
    """Squared error near zero and absolute error beyond `delta`.

    Parameters
    ----------
    delta : float, default=1.0
        Where the loss turns linear, in units of X's global standard deviation.

    References
    ----------
    P. J. Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics
    35(1), 1964.

    Examples
    --------
    >>> from skae.losses import Huber
    >>> Huber(delta=0.5)
    Huber(delta=0.5)
    """

    _parameter_constraints: dict = {"delta": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, delta=1.0):
        self.delta = delta

    def per_sample(self, eta, x):
        return functional.huber_loss(eta, x, reduction="none", delta=self.delta).mean(1)


class BinaryCrossEntropy(Loss, name="binary_cross_entropy"):
    """Cross-entropy of values in [0, 1], with the logit link.

    Parameters
    ----------
    feature_range : (float, float) or None, default=(0, 1)
        The values that count as 0 and 1: X between them is mapped to [0, 1] linearly, and the
        reconstruction back. None takes the smallest and the largest entry of the training data.

    Notes
    -----
    The start is PCA's reconstruction moved into [0.001, 0.999], where the logit is finite.

    Examples
    --------
    >>> from skae.losses import BinaryCrossEntropy
    >>> BinaryCrossEntropy(feature_range=(0, 255))
    BinaryCrossEntropy(feature_range=(0, 255))
    """

    identity = False
    margin = 1e-3
    _parameter_constraints: dict = {"feature_range": [tuple, None]}

    def __init__(self, feature_range=(0, 1)):
        self.feature_range = feature_range

    def bind(self, X):
        if self.feature_range is not None:
            low, high = _check_range(self.feature_range)
        elif hasattr(self, "low_"):
            low, high = self.low_, self.low_ + self.width_  # later rows must lie in the first ones'
        else:
            low, high = X.min(), X.max()
        if X.min() < low or X.max() > high:
            raise ValueError(
                f"loss='binary_cross_entropy' needs values in [{low:g}, {high:g}], but X has "
                f"values in [{X.min():g}, {X.max():g}]. Scale X, or pass "
                "loss=BinaryCrossEntropy(feature_range=...)."
            )
        self.low_, self.width_ = float(low), float(high - low) or 1.0

    def link(self, eta):
        return self.low_ + self.width_ * torch.sigmoid(eta)

    def inverse_link(self, mu, mean):
        share = (mu - self.low_) / self.width_
        return torch.logit(share.clamp(self.margin, 1 - self.margin))

    def per_sample(self, eta, x):
        target = (x - self.low_) / self.width_
        return functional.binary_cross_entropy_with_logits(eta, target, reduction="none").mean(1)


class Poisson(Loss, name="poisson"):
    """Half the Poisson deviance of counts, with the log link.

    Notes
    -----
    The start is PCA's reconstruction, at least a hundredth of the feature's mean, where the log is
    finite.

    References
    ----------
    M. Collins, S. Dasgupta, R. E. Schapire, "A Generalization of Principal Components Analysis to
    the Exponential Family", NIPS 2001.

    Examples
    --------
    >>> from skae.losses import Poisson
    >>> Poisson()
    Poisson()
    """

    identity = False
    positive_only = True

    def bind(self, X):
        _check_counts(X, "poisson")

    def link(self, eta):
        return torch.exp(eta)

    def inverse_link(self, mu, mean):
        return _log_above(mu, mean)

    def per_sample(self, eta, x):
        x = x.clamp(min=0)  # a zero that was centred and back is not quite zero
        return (torch.exp(eta) - x * eta + torch.xlogy(x, x) - x).mean(1)


class Multinomial(Loss, name="multinomial"):
    """Half the multinomial deviance of the counts of each row, given its total.

    The net sees and reconstructs proportions: a row divided by its sum. The total of a row is
    its weight; a row of zeros has none.

    Notes
    -----
    ``inverse_transform`` returns proportions and ``reconstruct(X)`` proportions times the totals
    of X. For a comparison with PCA on the same footing give both rows that sum to one.

    The start is PCA's reconstruction of the proportions, each at least a hundredth of the feature's
    mean.

    Examples
    --------
    >>> from skae.losses import Multinomial
    >>> Multinomial()
    Multinomial()
    """

    identity = False
    positive_only = True

    def bind(self, X):
        _check_counts(X, "multinomial")

    def prepare(self, X):
        total = X.sum(1)
        return X / np.where(total > 0, total, 1)[:, None], total

    def link(self, eta):
        return torch.softmax(eta, 1)

    def inverse_link(self, mu, mean):
        return _log_above(mu, mean)

    def per_sample(self, eta, x):
        x = x.clamp(min=0)  # as for counts
        return (torch.xlogy(x, x) - x * torch.log_softmax(eta, 1)).mean(1)


class Head(nn.Module):
    """Joins the linear and the nonlinear path of a decoder in the loss's own terms.

    Parameters
    ----------
    loss : Loss
    mean : Tensor of shape (n_features,)
    scale : float
        X is ``mean + scale * x`` for the ``x`` inside the net.
    """

    def __init__(self, loss, mean, scale):
        super().__init__()
        self.loss = loss
        self.scale = scale
        self.register_buffer("mean", mean)

    def forward(self, linear, nonlinear):
        if self.loss.identity:
            return linear + nonlinear
        return self.loss.inverse_link(self.mean + self.scale * linear, self.mean) + nonlinear

    def target(self, x):
        """Return the rows x of the net as the loss wants them."""
        return x if self.loss.identity else self.mean + self.scale * x

    def to_data(self, eta):
        """Return the net's output in the units of X."""
        return self.mean + self.scale * eta if self.loss.identity else self.loss.link(eta)

    def to_net(self, eta):
        """Return the net's output as centred and scaled rows."""
        return eta if self.loss.identity else (self.loss.link(eta) - self.mean) / self.scale
