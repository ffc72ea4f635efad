"""Optimizers: strategies that build an optimizer of torch.optim."""

from ._base import OPTIMIZERS, Optimizer
from ._elementwise import SGD, Adagrad, Adam, AdamW, Momentum, RMSprop
from ._matrices import SOAP, Muon

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "SOAP",
    "Adagrad",
    "Adam",
    "AdamW",
    "Momentum",
    "Muon",
    "Optimizer",
    "RMSprop",
]
