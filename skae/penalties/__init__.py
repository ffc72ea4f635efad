"""Penalties: terms of the loss that depend on the code."""

from ._base import PENALTIES, EncodedBatch, Penalty
from ._codes import Contractive, Ordered, Sparse
from ._priors import MMD, Adversarial, Variational

__all__ = [
    "MMD",
    "PENALTIES",
    "Adversarial",
    "Contractive",
    "EncodedBatch",
    "Ordered",
    "Penalty",
    "Sparse",
    "Variational",
]
