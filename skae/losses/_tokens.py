"""Sequences of tokens."""

from numbers import Integral

import numpy as np
import torch

from .._compat import Interval
from ._base import Loss
from ._links import log_above


class CategoricalCrossEntropy(Loss, name="categorical_cross_entropy"):
    """Cross-entropy of tokens, with the softmax link at each position.

    X holds one token a column: any distinct numbers, such as the ids of words. The net sees each as
    an indicator, so that its first linear layer is an embedding, and returns the log odds of every
    token at every position. ``inverse_transform`` and ``reconstruct`` return the likeliest tokens.

    Parameters
    ----------
    n_tokens : int or None, default=None
        The size of the vocabulary: X holds whole numbers from 0 to `n_tokens` - 1, and nothing
        else. None: the distinct values of the training data; a token that is not among them is to
        the net no token at all.

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

    def bind(self, X):
        if self.n_tokens is not None:
            self.tokens_ = np.arange(self.n_tokens, dtype=np.float64)
        elif not hasattr(self, "tokens_"):
            self.tokens_ = np.unique(X[~np.isnan(X)]).astype(np.float64)

    @property
    def entry_width(self):
        return len(self.tokens_)

    def net_shape(self, shape):
        return (*shape, len(self.tokens_))

    def _find(self, X):
        """Return the place of each entry of X among the tokens; one more for those unknown."""
        places = np.searchsorted(self.tokens_, X).clip(max=len(self.tokens_) - 1)
        unknown = (self.tokens_[places] != X) & ~np.isnan(X)
        if self.n_tokens is not None and unknown.any():
            raise ValueError(
                f"X has the token {X[unknown][0]:g}, but loss={self!r} takes whole numbers from 0 "
                f"to {self.n_tokens - 1}."
            )
        places[unknown] = len(self.tokens_)
        return places

    def prepare(self, X):
        n_tokens = len(self.tokens_)
        indicators = np.eye(n_tokens + 1, n_tokens, dtype=X.dtype)[self._find(X)]
        indicators[np.isnan(X)] = np.nan
        return indicators.reshape(len(X), -1), None

    def restore(self, mu):
        places = mu.reshape(len(mu), -1, len(self.tokens_)).argmax(2)
        return self.tokens_[places].astype(mu.dtype)

    def _positions(self, eta):
        return eta.unflatten(1, (-1, len(self.tokens_)))

    def link(self, eta):
        return torch.softmax(self._positions(eta), 2).flatten(1)

    def inverse_link(self, mu, mean):
        return log_above(mu, mean)

    def per_entry(self, eta, x):
        log_odds = torch.log_softmax(self._positions(eta), 2)
        return -(self._positions(x) * log_odds).sum(2)

    def log_likelihood(self, eta, x, noise):
        return -self.per_entry(eta, x)
