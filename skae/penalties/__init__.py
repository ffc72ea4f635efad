"""What is asked of the code beside a good reconstruction."""

from ._base import PENALTIES, Coding, Penalty
from ._codes import Contractive, Ordered, Sparse
from ._priors import MMD, Adversarial, Variational

__all__ = [
    "MMD",
    "PENALTIES",
    "Adversarial",
    "Coding",
    "Contractive",
    "Ordered",
    "Penalty",
    "Sparse",
    "Variational",
]
