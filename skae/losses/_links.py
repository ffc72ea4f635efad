"""Losses with a link: of values in [0, 1], of counts and of tokens."""

from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional

from .._utils.sklearn import Interval
from ._base import Loss, Preparation
from .likelihood import Likelihood

# So many tokens are no trouble, even if each occurs once.
_FEW_TOKENS = 1000
# Where the logit of a fraction is finite.
_INSIDE = 1e-3, 1 - 1e-3


def _extremes(X):
    """Return the least and the largest value of X, dense or sparse."""
    if sparse.issparse(X):
        return X.nanmin(), X.nanmax()
    return np.fmin.reduce(X, None), np.fmax.reduce(X, None)


def _check_range(feature_range):
    numbers = [value for value in feature_range if isinstance(value, Real)]
    if len(feature_range) == len(numbers) == 2 and numbers[0] < numbers[1]:
        return feature_range
    raise ValueError(
        "The 'feature_range' parameter of BinaryCrossEntropy must be two increasing numbers or "
        f"None, got {feature_range!r}."
    )


def _check_counts(X, name):
    least, _ = _extremes(X)
    if least < 0:
        raise ValueError(
            f"Negative values in data: loss={name!r} needs counts, values of X that are >= 0, but "
            f"the smallest is {least:g}."
        )


def _above(mu, mean):
    """Return mu, kept above a hundredth of the features' mean, and that bound."""
    least = 0.01 * mean + torch.finfo(mu.dtype).tiny
    return torch.maximum(mu, least), least


def log_above(mu, mean):
    """Return the log of mu, which is kept above a hundredth of the features' mean."""
    return torch.log(_above(mu, mean)[0])


def slope_of_log_above(mu, mean):
    """Return the derivative of `log_above` by mu: zero where mu is kept above."""
    above, least = _above(mu, mean)
    return torch.where(mu > least, 1 / above, 0.0)


def _softmax_residual(eta, x):
    """Return the residual of the cross-entropy over the last axis."""
    return x - x.sum(-1, keepdim=True) * torch.softmax(eta, -1)


def _softmax_curvature(eta, x, d):
    """Return its curvature: the variance of d, times the total of x."""
    p = torch.softmax(eta, -1)
    return x.sum(-1) * (p * (d - (p * d).sum(-1, keepdim=True)).square()).sum(-1)


class BinaryCrossEntropy(
    Likelihood, Loss, name="binary_cross_entropy", also=("bce", "log_loss", "bce_with_logits")
):
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
    _parameter_constraints: dict = {"feature_range": [tuple, None]}

    def __init__(self, feature_range: tuple[float, float] | None = (0, 1)):
        self.feature_range = feature_range

    def fit(self, X):
        low, high = _extremes(X) if self.feature_range is None else _check_range(self.feature_range)
        self.width_ = float(high - low) or 1.0
        # The sum of the least value and the width can be less than the largest value by rounding.
        self.low_, self.high_ = float(low), max(float(high), float(low) + self.width_)
        return super().fit(X)

    def check(self, X):
        smallest, largest = _extremes(X)
        if smallest < self.low_ or largest > self.high_:
            raise ValueError(
                f"loss='binary_cross_entropy' needs values in [{self.low_:g}, {self.high_:g}], but "
                f"X has values in [{smallest:g}, {largest:g}]. Scale X, or pass "
                "loss=BinaryCrossEntropy(feature_range=...)."
            )

    def link(self, eta):
        return self.low_ + self.width_ * torch.sigmoid(eta)

    def _fraction(self, x):
        return (x - self.low_) / self.width_

    def inverse_link(self, mu, mean):
        return torch.logit(self._fraction(mu).clamp(*_INSIDE))

    def inverse_slope(self, mu, mean):
        fraction = self._fraction(mu)
        low, high = _INSIDE
        inside = fraction.clamp(low, high)
        moving = (fraction > low) & (fraction < high)
        return torch.where(moving, 1 / (self.width_ * inside * (1 - inside)), 0.0)

    def per_entry(self, eta, x):
        target = self._fraction(x)
        return functional.binary_cross_entropy_with_logits(eta, target, reduction="none")

    def residual(self, eta, x):
        return self._fraction(x) - torch.sigmoid(eta)

    def curvature(self, eta, x, d):
        p = torch.sigmoid(eta)
        return (p * (1 - p) * d.square()).sum(1)


class Poisson(Likelihood, Loss, name="poisson", also=("poisson_nll",)):
    """Half the Poisson deviance of counts, with the log link.

    Notes
    -----
    The start is PCA's reconstruction, at least a hundredth of the feature's mean.

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

    def check(self, X):
        _check_counts(X, "poisson")

    def link(self, eta):
        return torch.exp(eta)

    def inverse_link(self, mu, mean):
        return log_above(mu, mean)

    def inverse_slope(self, mu, mean):
        return slope_of_log_above(mu, mean)

    def per_entry(self, eta, x):
        x = x.clamp(min=0)  # a zero that was centred and back is not quite zero
        return torch.exp(eta) - x * eta + torch.xlogy(x, x) - x

    def residual(self, eta, x):
        return x.clamp(min=0) - torch.exp(eta)

    def curvature(self, eta, x, d):
        return (torch.exp(eta) * d.square()).sum(1)

    def log_likelihood(self, eta, x, noise):
        x = x.clamp(min=0)
        return x * eta - torch.exp(eta) - torch.lgamma(x + 1)


class _Proportions(Preparation):
    """Divide each row by its sum, which is its weight. A row of zeros stays one."""

    def transform(self, X):
        total = X.sum(1)
        return X / np.where(total > 0, total, 1)[:, None], total

    def transform_tensor(self, x):
        total = x.sum(1)
        return x / torch.where(total > 0, total, 1)[:, None], total


class Multinomial(Loss, name="multinomial"):
    """Half the multinomial deviance of the counts of each row, given its total.

    The net sees and reconstructs proportions: a row divided by its sum. The total of a row is
    its weight; a row of zeros has none.

    Notes
    -----
    ``inverse_transform`` returns proportions and ``reconstruct(X)`` proportions times the totals
    of X. The start is PCA's reconstruction of the proportions, each at least a hundredth of the
    feature's mean. For a comparison with PCA on the same footing give both rows that sum to one.

    Examples
    --------
    >>> from skae.losses import Multinomial
    >>> Multinomial()
    Multinomial()
    """

    identity = False
    positive_only = True
    whole_rows = True
    preparation = _Proportions()

    def check(self, X):
        _check_counts(X, "multinomial")
        if np.isnan(X.data if sparse.issparse(X) else X).any():
            raise ValueError(
                "X has missing steps (NaN): loss='multinomial' is about whole rows and takes none."
            )
        if not _extremes(X)[1] > 0:
            raise ValueError(
                "loss='multinomial' needs rows with a total above zero, and all of X is zero."
            )

    def link(self, eta):
        return torch.softmax(eta, 1)

    def inverse_link(self, mu, mean):
        return log_above(mu, mean)

    def inverse_slope(self, mu, mean):
        return slope_of_log_above(mu, mean)

    def per_entry(self, eta, x):
        x = x.clamp(min=0)  # as for counts
        return torch.xlogy(x, x) - x * torch.log_softmax(eta, 1)

    def residual(self, eta, x):
        return _softmax_residual(eta, x.clamp(min=0))

    def curvature(self, eta, x, d):
        return _softmax_curvature(eta, x.clamp(min=0), d)


def _check_tokens(n_tokens, n_entries):
    """Check that a vocabulary that was read off the data is one."""
    if n_tokens == 0:
        raise ValueError("X holds nothing but NaN.")
    if n_tokens > max(_FEW_TOKENS, n_entries / 2):
        raise ValueError(
            f"loss='categorical_cross_entropy' needs tokens that occur again and again, but the "
            f"{n_entries} entries of X have {n_tokens} distinct values. Pass another loss for "
            "numbers, such as 'squared_error', or loss=CategoricalCrossEntropy(n_tokens=...) for "
            "a vocabulary that X shows a part of."
        )


class _Indicators(Preparation):
    """Turn each token into indicators, one for each token of the vocabulary, and back.

    The attribute ``tokens_`` is the vocabulary: the whole numbers below `n_tokens`, or the distinct
    values of the training data. A reconstruction becomes the token with the largest probability.
    """

    def __init__(self, n_tokens: int | None):
        self.n_tokens = n_tokens

    @property
    def entry_width(self):
        return len(self.tokens_)

    def fit(self, X):
        if self.n_tokens is not None:
            self.tokens_ = np.arange(self.n_tokens, dtype=np.float64)
        else:
            observed = X[~np.isnan(X)]
            self.tokens_ = np.unique(observed).astype(np.float64)
            _check_tokens(len(self.tokens_), len(observed))
        return self

    def transform(self, X):
        n_tokens, positions = len(self.tokens_), self._positions(X)
        indicators = np.zeros((*X.shape, n_tokens), dtype=X.dtype)
        known = np.nonzero(positions < n_tokens)
        indicators[(*known, positions[known])] = 1
        indicators[np.isnan(X)] = np.nan
        return indicators.reshape(len(X), -1), None

    def inverse_transform(self, mu):
        positions = mu.reshape(len(mu), -1, len(self.tokens_)).argmax(2)
        return self.tokens_[positions].astype(mu.dtype)

    def transform_tensor(self, x):
        indicators = (x[:, :, None] == torch.from_numpy(self.tokens_)).to(x.dtype)
        return torch.where(x.isnan()[:, :, None], torch.nan, indicators).flatten(1), None

    def inverse_transform_tensor(self, mu):
        positions = mu.unflatten(1, (-1, len(self.tokens_))).argmax(2)
        return torch.from_numpy(self.tokens_)[positions].to(mu.dtype)

    def net_shape(self, shape):
        return (*shape, len(self.tokens_))

    def _positions(self, X):
        """Return each entry's position in the vocabulary; one past the end if it is not in it."""
        positions = np.searchsorted(self.tokens_, X).clip(max=len(self.tokens_) - 1)
        unknown = (self.tokens_[positions] != X) & ~np.isnan(X)
        if self.n_tokens is not None and unknown.any():
            raise ValueError(
                f"X has the token {X[unknown][0]:g}, but "
                f"loss=CategoricalCrossEntropy(n_tokens={self.n_tokens}) takes whole numbers from "
                f"0 to {self.n_tokens - 1}."
            )
        positions[unknown] = len(self.tokens_)
        return positions


class CategoricalCrossEntropy(
    Likelihood, Loss, name="categorical_cross_entropy", also=("cross_entropy", "nll")
):
    """Cross-entropy of tokens, with the softmax link at each position.

    X holds one token a column: any distinct numbers, such as the ids of words. The net sees each as
    an indicator, so that its first linear layer is an embedding, and returns the log odds of every
    token at every position. ``inverse_transform`` and ``reconstruct`` return the likeliest tokens.

    Parameters
    ----------
    n_tokens : int or None, default=None
        The size of the vocabulary: X may only hold whole numbers from 0 to `n_tokens` - 1. None: it
        is the values of the training data, and to the net any other is no token at all.

    Notes
    -----
    The start is PCA of the indicators, each reconstruction at least a hundredth of its mean.

    Examples
    --------
    >>> import numpy as np
    >>> from skae import AutoencoderTransformer
    >>> X = np.random.default_rng(0).integers(5, size=(60, 1)) + np.arange(3)
    >>> model = AutoencoderTransformer(
    ...     4, loss="categorical_cross_entropy", corruption=None, max_iter=20, random_state=0
    ... )
    >>> bool((model.fit(X).reconstruct(X) == X).all())
    True
    """

    identity = False
    discrete = True
    _parameter_constraints: dict = {"n_tokens": [Interval(Integral, 2, None, closed="left"), None]}

    def __init__(self, n_tokens: int | None = None):
        self.n_tokens = n_tokens

    def fit(self, X):
        super().fit(X)
        self.preparation = _Indicators(self.n_tokens).fit(X)
        return self

    def _by_position(self, values):
        """Return what belongs to each position of the sequences, a value for each token."""
        return values.unflatten(1, (-1, self.preparation.entry_width))

    def link(self, eta):
        return torch.softmax(self._by_position(eta), 2).flatten(1)

    def inverse_link(self, mu, mean):
        return log_above(mu, mean)

    def per_entry(self, eta, x):
        log_odds = torch.log_softmax(self._by_position(eta), 2)
        return -(self._by_position(x) * log_odds).sum(2)

    def inverse_slope(self, mu, mean):
        return slope_of_log_above(mu, mean)

    def residual(self, eta, x):
        return _softmax_residual(self._by_position(eta), self._by_position(x)).flatten(1)

    def curvature(self, eta, x, d):
        return _softmax_curvature(*map(self._by_position, (eta, x, d))).sum(1)
