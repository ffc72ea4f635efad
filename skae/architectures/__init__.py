"""The nets, and the strategies that build them."""

from ._base import ACTIVATIONS, ARCHITECTURES, Architecture, Plan
from ._convolutional import Convolutional
from ._custom import Module, Pair
from ._dense import Dense
from ._recurrent import Recurrent

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "Architecture",
    "Convolutional",
    "Dense",
    "Module",
    "Pair",
    "Plan",
    "Recurrent",
]
