"""Corruptions change the input of the encoder in training; the target stays clean."""

from numbers import Real

import numpy as np
import torch

from ._utils.registry import Strategy
from ._utils.sklearn import Interval, StrOptions

__all__ = ["CORRUPTIONS", "Corruption", "Gaussian", "Masking", "ResidualNoise", "SaltAndPepper"]

# By how many standard deviations a value may be beyond the rows: float32 still has its square.
_FARTHEST = 1e15


class Corruption(Strategy):
    """Base class of the corruptions.

    A subclass defines `corrupt`, and `fit` if it has to know the training rows. A corruption sees
    standardized rows: features are centred, and divided by one scale for a mean variance of 1.

    Attributes
    ----------
    denoises : bool, default=True
        Whether the purpose of the net is to reconstruct corrupted rows. The best epoch is the one
        with the smallest loss on held-out rows, which are corrupted if so, and otherwise clean.
    several : bool, default=False
        Whether `corrupt` also takes the errors of k nets, of shape (k, 1, 1), and rows of shape
        (1, n, n_features), and returns rows of shape (1 or k, n, n_features), all by the draws that
        it takes for one net. Nets that are trained side by side then share their draws.
    """

    denoises = True
    several = False

    def fit(self, n_features, extremes, standardize):
        """Learn what the corruption has to know about the training rows.

        Parameters
        ----------
        n_features : int
            The number of features of a standardized row.
        extremes : callable
            Called without arguments, it returns the smallest and the largest standardized value of
            each feature, as two ndarrays of shape (n_features,). The call reads all training rows.
        standardize : callable
            Returns an ndarray of shape (n, n_features), rows in the units of X, standardized.
        """

    def corrupt(self, x, error, generator):
        """Return corrupted rows, the input of the encoder.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
            Clean rows.
        error : float
            The latest estimate of the root mean squared reconstruction error of training rows.
        generator : torch.Generator
            The only source of random numbers.

        Returns
        -------
        corrupted : Tensor of shape (n, n_features)
            A new tensor.
        """
        raise NotImplementedError


CORRUPTIONS = Corruption.registry


class ResidualNoise(Corruption, name="residual"):
    """Gaussian noise whose size is `level` times the current reconstruction error.

    Rows that differ by less than the reconstruction error look alike to the net, which keeps it
    from memorising single rows. As the noise shrinks with the error, it does not limit the net.

    Parameters
    ----------
    level : float, default=0.7
        Standard deviation of the noise, as a multiple of the root mean squared error.

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
    several = True
    _parameter_constraints: dict = {"level": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, level: float = 0.7):
        self.level = level

    def corrupt(self, x, error, generator):
        return x + _normal(x, self.level * error, generator)


class Gaussian(Corruption, name="gaussian", also=("noise", "normal")):
    """The denoising autoencoder: Gaussian noise of a fixed size is added to every entry.

    Parameters
    ----------
    level : float, default=0.5
        Standard deviation of the noise, as a multiple of the root of the features' mean variance.

    References
    ----------
    P. Vincent et al., "Stacked Denoising Autoencoders", JMLR 11, 2010.

    Examples
    --------
    >>> from skae.corruptions import Gaussian
    >>> Gaussian(level=1.0)
    Gaussian(level=1.0)
    """

    several = True
    _parameter_constraints: dict = {"level": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, level: float = 0.5):
        self.level = level

    def corrupt(self, x, error, generator):
        return x + _normal(x, self.level, generator)


class Masking(Corruption, name="masking", also=("dropout", "mask")):
    """In each step a random part of the entries is masked: set to a fixed value.

    Parameters
    ----------
    fraction : float, default=0.3
        The fraction of the entries that is masked.
    fill : "mean" or float, default="mean"
        The value of masked entries: the mean of the feature, or a number in the units of X.
    groups : list of list of int or None, default=None
        Features that are masked together, such as the indicators of a category; each feature is in
        one group. None masks each by itself.

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

    several = True
    _parameter_constraints: dict = {
        "fraction": [Interval(Real, 0, 1, closed="neither")],
        "fill": [StrOptions({"mean"}), Real],
        "groups": [list, None],
    }

    def __init__(
        self, fraction: float = 0.3, fill: float | str = "mean", groups: list | None = None
    ):
        self.fraction = fraction
        self.fill = fill
        self.groups = groups

    def fit(self, n_features, extremes, standardize):
        groups = [[j] for j in range(n_features)] if self.groups is None else self.groups
        columns = [j for group in groups for j in group]
        if sorted(columns) != [*range(n_features)]:
            raise ValueError(
                "The 'groups' parameter of Masking must hold each of the "
                f"{n_features} features of X once, got {self.groups!r}."
            )
        # The group of each feature; None where each is its own.
        self.group_ = None
        if self.groups is not None:
            self.group_ = np.empty(n_features, dtype=int)
            self.group_[columns] = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
        self.fill_ = np.zeros(n_features)
        if self.fill != "mean":
            with np.errstate(over="ignore"):
                self.fill_ = standardize(np.full((1, n_features), float(self.fill)))[0]
            if not np.abs(self.fill_).max() < _FARTHEST:
                raise ValueError(
                    f"The 'fill' parameter of Masking must be of the size of X, got {self.fill!r}, "
                    f"which is {np.abs(self.fill_).max():.2g} times as far from its mean."
                )

    def corrupt(self, x, error, generator):
        mask = _uniform(x, generator) < self.fraction
        if self.group_ is not None:
            mask = mask[:, torch.as_tensor(self.group_, device=x.device)]
        return torch.where(mask, _as_tensor_like(self.fill_, x), x)


class SaltAndPepper(Corruption, name="salt_and_pepper"):
    """In each step random entries are set to the smallest or largest value of their feature.

    Parameters
    ----------
    fraction : float, default=0.1
        The fraction of the entries that is changed, half of them to each value.

    References
    ----------
    P. Vincent et al., "Stacked Denoising Autoencoders", JMLR 11, 2010.

    Examples
    --------
    >>> from skae.corruptions import SaltAndPepper
    >>> SaltAndPepper(fraction=0.2)
    SaltAndPepper(fraction=0.2)
    """

    several = True
    _parameter_constraints: dict = {"fraction": [Interval(Real, 0, 1, closed="neither")]}

    def __init__(self, fraction: float = 0.1):
        self.fraction = fraction

    def fit(self, n_features, extremes, standardize):
        self.low_, self.high_ = extremes()

    def corrupt(self, x, error, generator):
        uniform = _uniform(x, generator)
        x = torch.where(uniform < self.fraction / 2, _as_tensor_like(self.low_, x), x)
        return torch.where(uniform > 1 - self.fraction / 2, _as_tensor_like(self.high_, x), x)


def _normal(x, deviation, generator):
    draws = torch.empty(x.shape[-2:]).normal_(generator=generator).to(x.device)
    return draws * deviation


def _uniform(x, generator):
    return torch.rand(x.shape, generator=generator).to(x.device)


def _as_tensor_like(row, x):
    return torch.as_tensor(row, dtype=x.dtype, device=x.device)
