"""Reconstruction losses: the base class, what prepares rows for them, and the squared error."""

import math

import torch

from .._utils.registry import Strategy
from .._utils.stored import Stored
from .._utils.torch import is_tracing
from .likelihood import Likelihood


class Preparation(Stored):
    """Turn rows of X into what the net sees, and back. The base class leaves them as they are.

    A subclass defines `transform` and `inverse_transform`. If it learns from X, it defines `fit`,
    and the loss makes one for itself in its own ``fit``; otherwise the loss has it as a class
    attribute. What it returns is then centred and divided by one scale, as X is without it.

    Attributes
    ----------
    is_identity : bool
        Whether rows stay as they are: False for each subclass that defines `transform`.
    entry_width : int or float, default=1
        The number of values that an entry of X is to the net: more than one for tokens.

    Examples
    --------
    >>> import numpy as np
    >>> from skae import AutoencoderTransformer
    >>> from skae.losses import Huber, Preparation
    >>> class Logs(Preparation):
    ...     def transform(self, X):
    ...         return np.log1p(X), None
    ...
    ...     def inverse_transform(self, mu):
    ...         return np.expm1(mu)
    >>> class HuberOfLogs(Huber):
    ...     positive_only = True
    ...     preparation = Logs()
    >>> X = np.random.default_rng(0).poisson(5, size=(60, 4)).astype(float)
    >>> model = AutoencoderTransformer(4, loss=HuberOfLogs(), max_iter=0).fit(X)
    >>> bool(np.allclose(model.reconstruct(X), X))
    True
    """

    is_identity = True
    entry_width = 1

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.is_identity = cls.transform is Preparation.transform

    def fit(self, X):
        """Learn from the training rows. It is called once, at the start of a fit.

        Parameters
        ----------
        X : ndarray or sparse matrix of shape (n_samples, n_features)
            The training data. In an ndarray, NaN is missing.

        Returns
        -------
        self : Preparation
            The fitted preparation.
        """
        return self

    def transform(self, X):
        """Return rows of X as the net sees them, and how much each row counts.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            The data.

        Returns
        -------
        x : ndarray of shape (n_samples, n)
            What the net sees, in X's own float type.
        weight : ndarray of shape (n_samples,) or None
            The weight of each row's likelihood; None where all are equal.
        """
        return X, None

    def inverse_transform(self, mu):
        """Return reconstructions in the form of X.

        Parameters
        ----------
        mu : ndarray of shape (n_samples, n)
            What the loss's ``link`` returned.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The reconstruction.
        """
        return mu

    def transform_tensor(self, x):
        """Return what `transform` does of a tensor, by torch's operators where these are defined.

        The base class goes through NumPy, which has no gradient and cannot be exported.

        Parameters
        ----------
        x : Tensor of shape (n_samples, n_features)
            The data.

        Returns
        -------
        x : Tensor of shape (n_samples, n)
            What the net sees.
        weight : Tensor of shape (n_samples,) or None
            The weight of each row's likelihood; None where all are equal.

        Raises
        ------
        ValueError
            If a gradient or an export is asked for and the subclass does not define the method.
        """
        if self.is_identity:
            return x, None
        seen, weight = self.transform(self._to_numpy(x))
        return torch.from_numpy(seen), None if weight is None else torch.from_numpy(weight)

    def inverse_transform_tensor(self, mu):
        """Return what `inverse_transform` does of a tensor, as `transform_tensor`.

        Parameters
        ----------
        mu : Tensor of shape (n_samples, n)
            What the loss's ``link`` returned.

        Returns
        -------
        X : Tensor of shape (n_samples, n_features)
            The reconstruction.
        """
        if type(self).inverse_transform is Preparation.inverse_transform:
            return mu
        return torch.from_numpy(self.inverse_transform(self._to_numpy(mu.detach()))).to(mu)

    def _to_numpy(self, x):
        if is_tracing() or x.requires_grad:
            raise ValueError(
                f"{type(self).__name__} works in NumPy, which has no gradient by these rows "
                "and cannot be exported. Pass x.detach() for the one, and define transform_tensor "
                "and inverse_transform_tensor for the other."
            )
        return x.numpy(force=True)

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


class Loss(Strategy):
    """Base class of the reconstruction losses.

    A subclass defines `per_entry`, or `per_sample` if the loss is no mean over the features. A loss
    whose output is not X itself sets ``identity = False`` and defines `link` and `inverse_link`. A
    loss that restricts X defines `check`. A loss that learns from X, or whose `preparation` does,
    extends `fit`. A loss that is minus a log likelihood also inherits from `Likelihood`. Codes are
    refined after the encoder if the loss defines `residual` and `curvature`, and `inverse_slope` if
    it has an `inverse_link`; a subclass of such a loss has to define `curvature` anew.

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
        a constant. None: the loss is so without any scale.
    preparation : Preparation
        What turns rows of X into what the net sees, and back. By default rows stay as they are.
    """

    identity = True
    positive_only = False
    whole_rows = False
    discrete = False
    free_scale: float | None = None
    # All losses share this object: a loss whose preparation learns makes its own in `fit`.
    preparation = Preparation()

    def fit(self, X):
        """Check the training data and learn from them. It is called once, at the start of a fit.

        Parameters
        ----------
        X : ndarray or sparse matrix of shape (n_samples, n_features)
            The training data. In an ndarray, NaN is missing.

        Returns
        -------
        self : Loss
            The fitted loss.
        """
        self.check(X)
        return self

    def check(self, X):
        """Check that X lies in the loss's domain, and learn nothing.

        It is called by `fit`, and with the rows of a warm start or of a later ``partial_fit``.

        Parameters
        ----------
        X : ndarray or sparse matrix of shape (n_samples, n_features)
            The data. In an ndarray, NaN is missing.

        Raises
        ------
        ValueError
            If a value of X is outside the loss's domain.
        """

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
            The features' means, to which small values are compared.

        Returns
        -------
        eta : Tensor of shape (n, n_features)
            What the net would have put out for it.
        """
        return mu

    def inverse_slope(self, mu, mean):
        """Return the derivative of `inverse_link` by mu.

        Parameters
        ----------
        mu, mean : Tensor
            As `inverse_link` takes them.

        Returns
        -------
        slope : Tensor of shape (n, n_features)
            One number an entry.
        """
        if self.identity:
            return torch.ones_like(mu)
        raise NotImplementedError

    @property
    def has_curvature(self):
        """Whether the loss defines its derivatives."""
        return "curvature" in vars(type(self))

    def residual(self, eta, x):
        """Return minus the gradient of each row's loss by the net's output.

        Of the sum over the entries, not of their mean, and over `free_scale` if that is a number.

        Parameters
        ----------
        eta, x : Tensor of shape (n, n_features)
            The net's output and the target, without NaN.

        Returns
        -------
        residual : Tensor of shape (n, n_features)
            For the squared error, by how much the target exceeds the output.
        """
        raise NotImplementedError

    def curvature(self, eta, x, d):
        """Return the second derivative of each row's loss along a direction, in `residual`'s units.

        Parameters
        ----------
        eta, x : Tensor of shape (n, n_features)
            The net's output and the target, without NaN.
        d : Tensor of shape (n, n_features)
            A direction for each row.

        Returns
        -------
        curvature : Tensor of shape (n,)
            An upper bound of it where the second derivative is zero or jumps.
        """
        raise NotImplementedError

    def per_sample(self, eta, x):
        """Return the loss of each row.

        Parameters
        ----------
        eta, x : Tensor of shape (n, n_features)
            The net's output and the target.

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
        eta, x : Tensor of shape (n, n_features)
            The net's output and the target.

        Returns
        -------
        loss : Tensor of shape (n, n_features)
            One number an entry.
        """
        raise NotImplementedError

    def per_observed(self, eta, x):
        """Return the loss of each row over its observed entries.

        Parameters
        ----------
        eta, x : Tensor of shape (n, n_features)
            The net's output and the target, where NaN is missing.

        Returns
        -------
        loss : Tensor of shape (n,)
            The mean over the observed entries.
        """
        observed = self.observed(x)
        entries = torch.where(observed, self.per_entry(eta, torch.nan_to_num(x)), 0.0)
        return entries.sum(1) / observed.sum(1).clamp(min=1)

    def observed(self, x):
        """Return which entries are observed.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
            The target; NaN is missing.

        Returns
        -------
        observed : Tensor of shape (n, n_entries), bool
            A token is observed or missing as a whole.
        """
        return ~torch.isnan(x.unflatten(1, (-1, self.preparation.entry_width))[..., 0])


class SquaredError(Likelihood, Loss, name="squared_error", also=("mse", "l2")):
    """Squared error, PCA's own loss.

    Examples
    --------
    >>> from skae.losses import SquaredError
    >>> SquaredError()
    SquaredError()
    """

    free_scale = 2.0

    def per_entry(self, eta, x):
        return (eta - x).square()

    def residual(self, eta, x):
        return x - eta

    def curvature(self, eta, x, d):
        return d.square().sum(1)

    def log_likelihood(self, eta, x, noise):
        return -self.per_entry(eta, x) / (2 * noise) - 0.5 * math.log(2 * math.pi * noise)


LOSSES = Loss.registry
