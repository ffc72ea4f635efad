"""Sequences of tokens."""

from numbers import Integral

import numpy as np
import torch

from .._utils.sklearn import Interval
from ._base import Loss, Preparation
from ._links import log_above
from .likelihood import Likelihood


class _Indicators(Preparation):
    """Turn each token into indicators, one for each token of the vocabulary, and back.

    The attribute ``tokens_`` is the vocabulary: the whole numbers below `n_tokens`, or the distinct
    values of the training data. A reconstruction becomes the token with the largest probability.
    """

    def __init__(self, n_tokens):
        self.n_tokens = n_tokens

    @property
    def entry_width(self):
        return len(self.tokens_)

    def fit(self, X):
        if self.n_tokens is not None:
            self.tokens_ = np.arange(self.n_tokens, dtype=np.float64)
        else:
            self.tokens_ = np.unique(X[~np.isnan(X)]).astype(np.float64)
        return self

    def transform(self, X):
        n_tokens = len(self.tokens_)
        indicators = np.eye(n_tokens + 1, n_tokens, dtype=X.dtype)[self._positions(X)]
        indicators[np.isnan(X)] = np.nan
        return indicators.reshape(len(X), -1), None

    def inverse_transform(self, mu):
        positions = mu.reshape(len(mu), -1, len(self.tokens_)).argmax(2)
        return self.tokens_[positions].astype(mu.dtype)

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


class CategoricalCrossEntropy(Likelihood, Loss, name="categorical_cross_entropy"):
    """Cross-entropy of tokens, with the softmax link at each position.

    X holds one token a column: any distinct numbers, such as the ids of words. The net sees each as
    an indicator, so that its first linear layer is an embedding, and returns the log odds of every
    token at every position. ``inverse_transform`` and ``reconstruct`` return the likeliest tokens.

    Parameters
    ----------
    n_tokens : int or None, default=None
        The size of the vocabulary, if X holds whole numbers from 0 to `n_tokens` - 1. None: the
        vocabulary is the values of the training data; to the net any other is no token at all.

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

    def __init__(self, n_tokens=None):
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

    def log_likelihood(self, eta, x, noise):
        return -self.per_entry(eta, x)
