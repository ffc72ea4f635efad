"""X as users have it, as an array: tensors, datasets, frames, memory maps."""

import numpy as np
import torch
from scipy import sparse
from torch.utils.data import Dataset


def as_array_like(X):
    """Return X as something that scikit-learn's validation knows.

    Parameters
    ----------
    X : array-like, sparse matrix, torch.Tensor or torch.utils.data.Dataset
        The items of a dataset are rows, or tuples that begin with them; it needs a length.

    Returns
    -------
    X : array-like or sparse matrix
        The memory of a tensor on the CPU is used as it is; the rows of a dataset are put together.

    Raises
    ------
    TypeError
        If a dataset has no length.
    """
    if isinstance(X, Dataset):
        if not hasattr(X, "__len__"):
            raise TypeError(
                f"X is a dataset without a length, {type(X).__name__}. Pass its chunks to "
                "partial_fit instead."
            )
        rows = (X[i] for i in range(len(X)))
        X = torch.stack(
            [torch.as_tensor(row[0] if isinstance(row, tuple | list) else row) for row in rows]
        )
    if isinstance(X, torch.Tensor):
        return X.detach().cpu().numpy()
    return X


def keeps_type(X):
    """Return whether X is a memory map of numbers that must not be converted as a whole."""
    return isinstance(X, np.memmap) and X.dtype.kind in "iufb"


def is_missing(X):
    """Return where X, dense or the stored part of a sparse matrix, is NaN."""
    return np.isnan(X.data if sparse.issparse(X) else X)
