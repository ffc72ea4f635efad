"""New rows from a fitted autoencoder, and how likely rows are."""

from numbers import Integral

import numpy as np
import torch
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._likelihood import lower_bound
from ._runtime import one_thread
from ._strategies import kind_of
from .losses import Loss
from .penalties import Penalty

# A mixture of at most so many normal distributions, each of at least so many codes.
_MOST_COMPONENTS, _FEWEST_CODES = 10, 20


def _check_count(name, value, least=1):
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f"The {name!r} parameter must be an int >= {least}, got {value!r}.")


def _has_bound(self):
    """Return whether the loss is a bound of the likelihood, or say why not."""
    penalty, loss = kind_of(Penalty, self.penalty), kind_of(Loss, self.loss)
    kind = loss if isinstance(loss, type) else type(loss)
    if not getattr(penalty, "bound", False) or kind.log_likelihood is Loss.log_likelihood:
        raise AttributeError(
            "score_samples needs a bound of the likelihood: penalty='variational' and a loss that "
            f"is one, but here are penalty={self.penalty!r} and loss={self.loss!r}."
        )
    return True


class GenerationMixin:
    """The methods that make rows of codes that no row has."""

    def sample(self, n_samples=1, random_state=None) -> np.ndarray:
        """Return new rows.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        random_state : int, RandomState instance or None, default=None
            Seed of the codes.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The reconstructions of codes drawn from the prior, with a penalty that has one
            ("variational", "adversarial", "mmd"); else from a mixture of at most ten normal
            distributions, fitted to the codes of (at most 2,000) training rows. In float64, without
            the noise that a likelihood would add.

        Raises
        ------
        ValueError
            If `n_samples` is not an int >= 1.
        """
        check_is_fitted(self)
        _check_count("n_samples", n_samples)
        random = check_random_state(random_state)
        if self.penalty_ is not None and self.penalty_.prior:
            Z = random.normal(size=(n_samples, self.n_components_))
            Z *= self.module_.spread.numpy() * self._scale
        else:
            Z = self._mixture(random).sample(n_samples)[0]
            # the mixture's own order is by component
            random.shuffle(Z)
        return self._decode(Z)

    def _mixture(self, random):
        codes = self._codes
        n_components = max(1, min(_MOST_COMPONENTS, len(codes) // _FEWEST_CODES))
        with one_thread():
            # codes that are all the same have no spread to take a share of
            floor = max(1e-6 * codes.var(axis=0).max(), 1e-12)
            mixture = GaussianMixture(n_components, reg_covar=floor, random_state=0)
            mixture.fit(codes if len(codes) > 1 else np.repeat(codes, 2, axis=0))
        return mixture.set_params(random_state=random)

    def interpolate(self, a, b, n_steps=10) -> np.ndarray:
        """Return the rows between pairs of rows, evenly spaced along the line between their codes.

        Parameters
        ----------
        a, b : array-like of shape (n_features,) or (n_samples, n_features)
            Where to begin and where to end; in the samples' shape, `input_shape`, too.
        n_steps : int, default=10
            How many rows, the reconstructions of a and b among them.

        Returns
        -------
        path : ndarray of shape (n_steps, n_features) or (n_samples, n_steps, n_features)
            In X's own float type.

        Raises
        ------
        ValueError
            If a and b differ in shape, or if `n_steps` is not an int >= 2.
        """
        check_is_fitted(self)
        _check_count("n_steps", n_steps, least=2)
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            raise ValueError(f"a and b must have one shape, got {a.shape} and {b.shape}.")
        one = a.shape in ((self.n_features_in_,), tuple(self.input_shape or ()))
        start, end = (self._encode(self._check_rows(x[None] if one else x)) for x in (a, b))
        shares = np.linspace(0, 1, n_steps, dtype=start.dtype)[:, None]
        codes = (1 - shares) * start[:, None] + shares * end[:, None]
        path = self._decode(codes.reshape(-1, codes.shape[2])).reshape(len(start), n_steps, -1)
        return path[0] if one else path

    @available_if(_has_bound)
    def score_samples(self, X, n_draws=16) -> np.ndarray:
        """Return a lower bound of the log likelihood of the rows of X.

        Only with ``penalty="variational"`` and a loss that is a likelihood.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, *input_shape)
            The data.
        n_draws : int, default=16
            Codes drawn for each row; the same noise for every row.

        Returns
        -------
        bound : ndarray of shape (n_samples,)
            The evidence lower bound in nats, in float64. Densities are in the units of X.

        Raises
        ------
        ValueError
            If `n_draws` is not an int >= 1.

        Notes
        -----
        A squared error is a normal likelihood and an absolute error a Laplace one, each with the
        scale that the training rows have at the end of the fit.
        """
        check_is_fitted(self)
        _check_count("n_draws", n_draws)

        def bound(rows):
            loss = self.loss_function_
            x = torch.from_numpy(self._to_net(loss.prepare(rows.astype(np.float64))[0]))
            found = lower_bound(self.module_, loss, self.penalty_, x, self._noise, n_draws)
            if loss.identity:
                found -= (~torch.isnan(x)).sum(1, dtype=x.dtype) * np.log(self._scale)
            return found[:, None]

        return self._map(bound, self._check_rows(X), 1, np.float64)[:, 0]
