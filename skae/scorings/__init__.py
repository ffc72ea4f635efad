"""Scorings: how far a row is from the training rows, measured by its code and its residual."""

from ._base import SCORINGS, Reconstruction, Residuals, Scoring
from ._mahalanobis import Latent, Mahalanobis, Whitened
from ._neighbors import Combined, Neighbors

__all__ = [
    "SCORINGS",
    "Combined",
    "Latent",
    "Mahalanobis",
    "Neighbors",
    "Reconstruction",
    "Residuals",
    "Scoring",
    "Whitened",
]
