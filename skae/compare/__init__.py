"""The comparison of PCA and the autoencoder on the same folds of the same data."""

from ._result import ComparisonResult
from ._run import compare_with_pca

__all__ = ["ComparisonResult", "compare_with_pca"]
