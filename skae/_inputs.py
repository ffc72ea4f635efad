"""X as users have it, as an array: tensors, datasets, frames, memory maps."""

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from ._data import float_type


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
        If a dataset cannot be indexed or has other items, or if a tensor is sparse.
    """
    if isinstance(X, TensorDataset):
        X = X.tensors[0]
    if isinstance(X, Dataset):
        return _read(X)
    return _as_array(X) if isinstance(X, torch.Tensor) else X


def _as_array(tensor):
    if tensor.layout != torch.strided:
        raise TypeError(
            f"X is a sparse tensor, of layout {tensor.layout}. Pass a scipy.sparse matrix, or "
            "X.to_dense()."
        )
    # NumPy has no bfloat16, and float32 has all of its numbers
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return tensor.numpy(force=True)


def _read(dataset):
    """Return the rows of a dataset as an array."""
    name = type(dataset).__name__
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise TypeError(
            f"X is a dataset without a length or an index, {name}. Pass its chunks to partial_fit "
            "instead."
        )
    X = None
    for i in range(len(dataset)):
        row = _row_of(dataset[i], name)
        if X is None:
            X = np.empty((len(dataset), *row.shape), float_type(row))
        if row.shape != X.shape[1:]:
            raise ValueError(
                f"X is a dataset, {name}, whose rows have different shapes: {X.shape[1:]} and "
                f"{row.shape}."
            )
        X[i] = row
    return np.empty((0, 1)) if X is None else X


def _row_of(item, name):
    """Return the row that an item of a dataset is, or begins with."""
    # a list of numbers is a row, a list of arrays a pair of row and target
    if isinstance(item, tuple) or (isinstance(item, list) and item and np.ndim(item[0])):
        item = item[0]
    row = _as_array(item) if isinstance(item, torch.Tensor) else np.asarray(item)
    if row.dtype.kind not in "biuf" or not row.ndim:
        raise TypeError(
            f"X is a dataset, {name}, whose items must be rows of numbers, or tuples that begin "
            f"with them, got {item!r:.100}."
        )
    return row


def keeps_type(X):
    """Return whether X is a memory map of numbers that must not be converted as a whole."""
    return isinstance(X, np.memmap) and X.dtype.kind in "iufb"


def one_entry_each(X):
    """Return a CSR matrix in which no entry is stored in parts; X itself stays as it is."""
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X
