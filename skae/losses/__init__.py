"""Losses of one reconstructed sample, each with the link that maps the net's output to X's units.

A loss is the mean over the features of one sample. Losses with the identity link are computed on X
centred and divided by one scale, so that its units do not matter; the others on X itself.
"""

from ._base import LOSSES, Loss, Preparation, SquaredError
from ._links import BinaryCrossEntropy, CategoricalCrossEntropy, Multinomial, Poisson
from ._mixed import Mixed
from ._robust import AbsoluteError, Huber
from .likelihood import Likelihood

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "BinaryCrossEntropy",
    "CategoricalCrossEntropy",
    "Huber",
    "Likelihood",
    "Loss",
    "Mixed",
    "Multinomial",
    "Poisson",
    "Preparation",
    "SquaredError",
]
