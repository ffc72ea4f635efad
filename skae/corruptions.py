"""What is done to the input while training; the target stays clean."""

from numbers import Real

import torch

from ._compat import Interval
from ._strategies import Strategy

__all__ = ["CORRUPTIONS", "Corruption", "ResidualNoise"]


class Corruption(Strategy):
    """Base class of the corruptions.

    A subclass defines `corrupt`. Rows inside the net are centred and divided by one global scale,
    so that an entry has a variance of 1 on average.
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

    _parameter_constraints: dict = {"level": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, level=0.7):
        self.level = level

    def corrupt(self, x, error, generator):
        noise = torch.empty(x.shape).normal_(std=self.level * error, generator=generator)
        return x + noise.to(x.device)
