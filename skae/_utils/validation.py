"""X as users have it, checked and as an array: tensors, datasets, frames, memory maps."""

from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import check_array
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from .sklearn import _check_sample_weight, validate_data

# How much of the range of a float type X may take up: sums over a row need the rest.
_ROOM = 1e-6


def float_type(X):
    """Return the float type in which X is computed with: its own, or float64."""
    return X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)


@dataclass
class Accepted:
    """Which rows an estimator takes, and why it takes no NaN where others like it do."""

    sparse: bool
    missing: bool
    padding: bool
    positive_only: bool
    no_nan: str = ""

    def enter(self, tags):
        """Enter it in an estimator's tags."""
        tags.input_tags.positive_only = self.positive_only
        tags.input_tags.sparse = self.sparse
        tags.input_tags.allow_nan = self.missing
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def accepted(loss, architecture):
    """Return which rows a loss and an architecture take, by what their kinds declare."""
    padded = architecture.padded
    return Accepted(
        sparse=not padded and not loss.discrete,
        missing=not padded and not loss.whole_rows,
        padding=padded,
        positive_only=loss.positive_only,
    )


def as_array_like(X):
    """Return X as something that scikit-learn's validation knows.

    The memory of a tensor on the CPU is used as it is. The items of a torch dataset, which needs a
    length, are rows or tuples that begin with them; they are put together.
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


def check_sizes(params):
    """Check what scikit-learn's constraints cannot: the entries of sequences."""
    for name in ("hidden_layer_sizes", "input_shape"):
        sizes = params[name]
        for width in () if sizes is None or isinstance(sizes, str) else sizes:
            if not isinstance(width, Integral) or width < 1:
                raise ValueError(f"The {name!r} parameter must hold ints >= 1, got {sizes!r}.")


def check_rows(estimator, X, accepted, reset=False, **check_params):
    """Validate X, which may have the samples' shape, and return it as an array or CSR matrix.

    With `reset` the estimator learns the number and the names of the features. Any further
    parameters are those of scikit-learn's check.
    """
    X = as_array_like(X)
    shape = None if estimator.input_shape is None else tuple(estimator.input_shape)
    if getattr(X, "ndim", 2) > 2:
        if shape is None or tuple(X.shape[1:]) != shape:
            raise ValueError(
                f"X has shape {tuple(X.shape)}: {type(estimator).__name__} takes a 2-D array, or "
                f"samples of the shape given as input_shape (now {estimator.input_shape!r})."
            )
        X = X.reshape(len(X), -1)
    nan = accepted.missing or accepted.padding or accepted.no_nan
    with np.errstate(invalid="ignore"):  # scikit-learn adds up all entries, which may be infinite
        X = validate_data(
            estimator,
            X,
            accept_sparse="csr" if accepted.sparse else False,
            # A memory map of numbers must not be converted as a whole.
            dtype=None if _is_map_of_numbers(X) else [np.float64, np.float32],
            reset=reset,
            ensure_all_finite="allow-nan" if nan else True,
            **check_params,
        )
    _check_size(X)
    if reset and shape is not None and X.shape[1] != np.prod(shape):
        raise ValueError(
            f"X has {X.shape[1]} features, but input_shape={shape} has {np.prod(shape)}."
        )
    if accepted.padding:
        _check_padding(X, shape or (X.shape[1],))
    if accepted.no_nan and np.isnan(X).any():
        raise ValueError(f"Input X contains NaN. {accepted.no_nan}")
    return _one_entry_each(X) if sparse.issparse(X) else X


def check_weighted_rows(estimator, X, sample_weight, accepted, reset, fewest=2):
    """Validate what a fit is given, at least `fewest` rows, and return it."""
    X = check_rows(estimator, X, accepted, reset=reset, ensure_min_samples=fewest)
    if sample_weight is not None:
        sample_weight = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        if not sample_weight.any():
            raise ValueError(
                "Sample weights must contain at least one non-zero number, but all are zero."
            )
    return X, sample_weight


def check_target(target, X, estimator):
    """Validate what is to be reconstructed of the rows of X, and return it as X is."""
    target = as_array_like(target)
    target = target.reshape(len(target), -1) if getattr(target, "ndim", 2) > 2 else target
    target = check_array(
        target,
        accept_sparse="csr",
        dtype=[np.float64, np.float32],
        ensure_all_finite="allow-nan",
        input_name="target",
        estimator=estimator,
    )
    if target.shape != X.shape:
        raise ValueError(
            f"target must have the shape of X, {X.shape}, a row for each row of X, but it has "
            f"shape {target.shape}."
        )
    values = target.data if sparse.issparse(target) else target
    dense = not (sparse.issparse(target) or sparse.issparse(X))
    unknown = np.isnan(values) & ~np.isnan(X) if dense else np.isnan(values)
    if unknown.any():
        raise ValueError(
            "target contains NaN where X does not, and there is nothing to reconstruct. Leave such "
            "rows out, or impute the target first."
        )
    return _one_entry_each(target) if sparse.issparse(target) else target


def hstack(X, target):
    """Return pairs of rows side by side."""
    if sparse.issparse(X) or sparse.issparse(target):
        return sparse.hstack([X, target], "csr")
    return np.hstack([X, target])


def vstack(rows, others):
    """Return rows and others below them."""
    if sparse.issparse(rows) or sparse.issparse(others):
        return sparse.vstack([rows, others], "csr")
    return np.concatenate([rows, others])


def check_fraction(name, value, otherwise=""):
    """Check that the parameter of a method is a float between 0 and 1."""
    if not (isinstance(value, Real) and 0 < value < 1):
        raise ValueError(
            f"The {name!r} parameter must be a float in (0, 1){otherwise}, got {value!r}."
        )


def check_codes(estimator, X, model):
    """Validate codes of an autoencoder, and return them as an array of floats."""
    n_components = model.n_components
    with np.errstate(invalid="ignore"):
        X = check_array(X, dtype=[np.float64, np.float32], input_name="X")
    _check_size(X, model.scale)
    if X.shape[1] != n_components:
        name = type(estimator).__name__
        raise ValueError(
            f"X has {X.shape[1]} columns, but {name} has n_components_={n_components}."
        )
    return X


def as_matrix(X):
    """Return X as a 2-D array or CSR matrix of floats, without an estimator that knows of it."""
    X = as_array_like(X)
    X = X.reshape(len(X), -1) if getattr(X, "ndim", 2) > 2 else X
    dtype = [np.float64, np.float32]
    return check_array(X, accept_sparse="csr", dtype=dtype, ensure_all_finite="allow-nan")


def _check_size(X, unit=1.0):
    """Check that sums and differences of the entries, in a unit, fit in their float type."""
    values = X.data if sparse.issparse(X) else X
    if not values.size:
        return
    largest = max(float(np.fmax.reduce(values, None)), -float(np.fmin.reduce(values, None)))
    dtype = float_type(X)
    limit = min(1.0, _ROOM * max(1.0, float(unit))) * float(np.finfo(dtype).max)
    if largest > limit:
        raise ValueError(
            f"X has values as large as {largest:.3g}, which are too large to compute with in "
            f"{dtype}: they must be at most {limit:.3g}. Divide X by a constant."
        )


def _is_map_of_numbers(X):
    return isinstance(X, np.memmap) and X.dtype.kind in "iufb"


def _one_entry_each(X):
    """Return a CSR matrix in which no entry is stored in parts; X itself stays as it is."""
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def _check_padding(X, shape):
    """Check that what is NaN is the end of a sequence that has a beginning."""
    missing = np.isnan(X)
    if not missing.any():
        return
    missing = missing.reshape(len(X), shape[0], -1)
    steps = missing.all(2)
    if (
        (missing.any(2) != steps).any()
        or steps[:, 0].any()
        or (steps[:, :-1] & ~steps[:, 1:]).any()
    ):
        raise ValueError(
            "X contains NaN elsewhere than in whole steps at the end of a sequence, which is what "
            f"marks a shorter sequence of input_shape={shape}. Impute the others first."
        )


@contextmanager
def unchanged_by_errors(estimator):
    """Give an estimator back the attributes that it had, where an error leaves the block."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
