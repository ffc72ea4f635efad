"""What turns rows of counts and tokens into what the net sees, and reconstructions back."""

import numpy as np

from ._base import Preparation


class Proportions(Preparation):
    """Divide each row by its sum, which is its weight. A row of zeros stays one."""

    def transform(self, X):
        total = X.sum(1)
        return X / np.where(total > 0, total, 1)[:, None], total


class Indicators(Preparation):
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
