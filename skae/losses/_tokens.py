"""Sequences of tokens."""

from numbers import Integral

import torch

from .._utils.sklearn import Interval
from ._base import Loss
from ._links import log_above
from .likelihood import Likelihood
from .preparation import Indicators


class CategoricalCrossEntropy(Likelihood, Loss, name="categorical_cross_entropy"):
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

    def fit(self, X):
        super().fit(X)
        self.preparation = Indicators(self.n_tokens).fit(X)
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
