"""What is done to the input while training; the target stays clean."""

from numbers import Real

import numpy as np
import torch

from ._compat import Interval, StrOptions
from ._strategies import Strategy

__all__ = [
    "CORRUPTIONS",
    "Corruption",
    "Gaussian",
    "Masking",
    "ResidualNoise",
    "SaltAndPepper",
]


class Corruption(Strategy):
    """Base class of the corruptions.

    A subclass defines `corrupt`. Rows inside the net are centred and divided by one global scale,
    so that an entry has a variance of 1 on average.

    Attributes
    ----------
    denoises : bool
        Whether corrupted rows are what the net is for: the best epoch is then the one that
        reconstructs corrupted held-out rows best.
    """

    denoises = True

    def bind(self, n_features, extremes, to_net):
        """Learn what the corruption needs of the training rows.

        Parameters
        ----------
        n_features : int
            The number of values of a row inside the net.
        extremes : callable
            Returns the least and the largest value of each feature inside the net, two ndarrays of
            shape (n_features,). It reads all rows.
        to_net : callable
            Returns rows of X, of shape (n, n_features), as they are inside the net.
        """

    def corrupt(self, x, error, generator):
        """Return the rows as the encoder is to see them.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
            Clean rows.
        error : float
            The root of the mean squared reconstruction error of training rows, lately.
        generator : torch.Generator
            The only source of randomness.

        Returns
        -------
        corrupted : Tensor of shape (n, n_features)
            A new tensor.
        """
        raise NotImplementedError


CORRUPTIONS = Corruption.registry


class ResidualNoise(Corruption, name="residual"):
    """Gaussian noise as large as the reconstruction error is at the time, times `level`.

    Rows that are not told apart by the reconstruction yet are treated as neighbours, which keeps
    the net from learning single rows by heart. The noise fades as the reconstruction gets better
    and so does not limit it.

    Parameters
    ----------
    level : float, default=0.7
        Standard deviation of the noise as a multiple of the root mean squared error.

    References
    ----------
    P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and Composing Robust Features
    with Denoising Autoencoders", ICML 2008 (there with noise of a fixed size).

    Examples
    --------
    >>> from skae.corruptions import ResidualNoise
    >>> ResidualNoise(level=0.5)
    ResidualNoise(level=0.5)
    """

    denoises = False
    _parameter_constraints: dict = {"level": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, level=0.7):
        self.level = level

    def corrupt(self, x, error, generator):
        return x + _normal(x, self.level * error, generator)


class Gaussian(Corruption, name="gaussian"):
    """Gaussian noise of a fixed size on every entry: the denoising autoencoder.

    Parameters
    ----------
    level : float, default=0.5
        Standard deviation of the noise, in units of the root of the features' mean variance.

    References
    ----------
    P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio, P.-A. Manzagol, "Stacked Denoising
    Autoencoders", JMLR 11, 2010.

    Examples
    --------
    >>> from skae.corruptions import Gaussian
    >>> Gaussian(level=1.0)
    Gaussian(level=1.0)
    """

    _parameter_constraints: dict = {"level": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, level=0.5):
        self.level = level

    def corrupt(self, x, error, generator):
        return x + _normal(x, self.level, generator)


class Masking(Corruption, name="masking"):
    """Some entries, drawn anew in each step, are set to one value.

    Parameters
    ----------
    fraction : float, default=0.3
        Share of the entries.
    fill : "mean" or float, default="mean"
        What they are set to: the feature's mean, or a number in the units of X.

    References
    ----------
    P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and Composing Robust Features
    with Denoising Autoencoders", ICML 2008.

    Examples
    --------
    >>> from skae.corruptions import Masking
    >>> Masking(fraction=0.5, fill=0.0)
    Masking(fill=0.0, fraction=0.5)
    """

    _parameter_constraints: dict = {
        "fraction": [Interval(Real, 0, 1, closed="neither")],
        "fill": [StrOptions({"mean"}), Real],
    }

    def __init__(self, fraction=0.3, fill="mean"):
        self.fraction = fraction
        self.fill = fill

    def bind(self, n_features, extremes, to_net):
        self.fill_ = np.zeros(n_features)
        if self.fill != "mean":
            self.fill_ = to_net(np.full((1, n_features), float(self.fill)))[0]

    def corrupt(self, x, error, generator):
        masked = _uniform(x, generator) < self.fraction
        return torch.where(masked, _like(self.fill_, x), x)


class SaltAndPepper(Corruption, name="salt_and_pepper"):
    """Some entries, drawn anew in each step, are set to the feature's least or largest value.

    Parameters
    ----------
    fraction : float, default=0.1
        Share of the entries, half of them to each end.

    References
    ----------
    P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio, P.-A. Manzagol, "Stacked Denoising
    Autoencoders", JMLR 11, 2010.

    Examples
    --------
    >>> from skae.corruptions import SaltAndPepper
    >>> SaltAndPepper(fraction=0.2)
    SaltAndPepper(fraction=0.2)
    """

    _parameter_constraints: dict = {"fraction": [Interval(Real, 0, 1, closed="neither")]}

    def __init__(self, fraction=0.1):
        self.fraction = fraction

    def bind(self, n_features, extremes, to_net):
        self.low_, self.high_ = extremes()

    def corrupt(self, x, error, generator):
        draw = _uniform(x, generator)
        x = torch.where(draw < self.fraction / 2, _like(self.low_, x), x)
        return torch.where(draw > 1 - self.fraction / 2, _like(self.high_, x), x)


def _normal(x, deviation, generator):
    return torch.empty(x.shape).normal_(std=deviation, generator=generator).to(x.device)


def _uniform(x, generator):
    return torch.rand(x.shape, generator=generator).to(x.device)


def _like(row, x):
    return torch.as_tensor(row, dtype=x.dtype, device=x.device)
