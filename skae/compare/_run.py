"""The function that compares PCA and the autoencoder."""

import sys
import time
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, check_cv
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.multiclass import type_of_target
from tqdm import tqdm

from .. import AutoencoderTransformer
from ..losses import Mixed
from ..metrics import explained_variance, reconstruction_error
from ..tables import TableEncoder
from ._result import ComparisonResult, rows_of


def compare_with_pca(
    X: Any,
    y: Any = None,
    *,
    n_components: Any = (2, 8, 16),
    cv: Any = 3,
    estimator: Any = None,
    scale: bool = True,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
) -> ComparisonResult:
    """Fit PCA and the autoencoder on the same folds and measure both on the held-out rows.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        The data. A DataFrame with text, categories, dates or missing entries is encoded by
        `skae.tables.TableEncoder`, fitted on the training rows of each fold. Of any DataFrame,
        constant columns and those that only identify a row are left out.
    y : array-like of shape (n_samples,), default=None
        A target. If it is given, a linear model of the target is fitted to the codes and scored on
        the held-out rows: logistic regression by its accuracy if the target holds classes, and
        ridge regression by its R^2 if it holds numbers.
    n_components : int or sequence of int, default=(2, 8, 16)
        Widths of the code.
    cv : int or cross-validator, default=3
        The number of shuffled folds, or a cross-validator.
    estimator : AutoencoderTransformer, default=None
        The autoencoder. Each fit uses a clone with another ``n_components``. None stands for an
        autoencoder with default parameters.
    scale : bool, default=True
        Whether the features are standardized, by the means and standard deviations of the training
        rows of each fold.
    random_state : int or None, default=None
        Seed of the folds, and of the autoencoder if its ``random_state`` is None.
    verbose : int, default=0
        With 1 a progress bar is written to standard error.

    Returns
    -------
    result : ComparisonResult
        The results of every fold, with methods for tables and pictures.

    Raises
    ------
    ValueError
        If a width is not an int between 1 and the smaller of the number of training rows of a fold
        and the number of features.

    Warns
    -----
    UserWarning
        If columns of a DataFrame are left out.

    See Also
    --------
    skae.metrics.explained_variance_scorer : A scorer for a search over PCA and the autoencoder.

    Notes
    -----
    Of an encoded table PCA sees the means where entries are missing, and the autoencoder is trained
    by ``loss="mixed"``. The error of both is the mean squared error of what the encoder makes of
    the entries that are not missing: standardized numbers, and indicators of categories.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae.compare import compare_with_pca
    >>> result = compare_with_pca(load_iris().data, n_components=1, cv=2, random_state=0)
    >>> sorted(set(result.results["model"].tolist()))
    ['PCA', 'autoencoder']
    """
    encoder = None
    if hasattr(X, "iloc"):
        found = TableEncoder().fit(X)
        columns = [*found.columns_]
        if _is_numeric(X[columns]):
            X = X[[name for name in X if name in found.columns_]]
        else:
            # The same columns in each fold.
            encoder = TableEncoder(columns=columns)
            n_features, scale = len(found.get_feature_names_out()), False
    if encoder is None:
        X = check_array(X, dtype=[np.float64, np.float32], ensure_min_samples=4)
        n_features = X.shape[1]
    check_consistent_length(X, y)
    y = None if y is None else np.asarray(y)
    if isinstance(cv, Integral):
        if not 2 <= int(cv) <= len(X):
            raise ValueError(f"cv must be in [2, {len(X)}], the number of rows; got {cv}.")
        cv = KFold(cv, shuffle=True, random_state=random_state)
    folds = list(check_cv(cv).split(X, y))
    widths = [n_components] if isinstance(n_components, Integral) else list(n_components)
    limit = min(min(len(train) for train, _ in folds), n_features)
    for k in widths:
        if not isinstance(k, Integral) or not 1 <= int(k) <= limit:
            raise ValueError(
                f"n_components must be ints in [1, {limit}], where {limit} is the smaller of the "
                f"training rows and the features; got {k}."
            )
    autoencoder = AutoencoderTransformer() if estimator is None else estimator
    if autoencoder.random_state is None:
        autoencoder = clone(autoencoder).set_params(random_state=random_state)
    models = {"PCA": PCA(random_state=random_state), "autoencoder": autoencoder}
    runs = [(k, f, m) for k in widths for f in range(len(folds)) for m in models]
    rows, kept, columns = [], {}, []
    for k, fold, name in tqdm(runs, unit="fit", disable=verbose < 1, file=sys.stderr):
        train, test = folds[fold]
        model = clone(models[name]).set_params(n_components=k)
        if encoder is None:
            model = make_pipeline(*([StandardScaler()] if scale else []), model)
        elif name == "PCA":
            model = make_pipeline(encoder, SimpleImputer(keep_empty_features=True), model)
        else:
            blocks = encoder.fit(X.iloc[train]).blocks_
            model = make_pipeline(encoder, model.set_params(loss=Mixed(blocks)))
        model = clone(model)
        began = time.perf_counter()
        model.fit(rows_of(X, train))
        row = {"model": name, "n_components": k, "fold": fold}
        row["fit_seconds"] = time.perf_counter() - began
        measured, by_column = _measure(model, X, y, train, test)
        row |= measured
        if by_column is not None:
            columns.append(by_column.assign(model=name, n_components=k, fold=fold))
        if name == "PCA":
            pca_error = row["error"]
        # PCA with all components reconstructs without an error.
        row["ratio_to_pca"] = row["error"] / pca_error if pca_error > 0 else np.nan
        rows.append(row)
        if fold == 0:
            kept[name, k] = (model, test)
    order = ["model", "n_components", "fold", "error", "ratio_to_pca", "explained_variance"]
    order += ["fit_seconds"] if y is None else ["fit_seconds", "downstream_score"]
    results = {name: np.array([row[name] for row in rows]) for name in order}
    return ComparisonResult(results, kept, X, y, scale, columns or None, random_state)


def _is_numeric(table):
    """Return whether a DataFrame holds nothing but numbers without gaps."""
    numeric = all(dtype.kind in "iuf" for dtype in table.dtypes)
    return numeric and not table.isna().to_numpy().any()


def _measure(model, X, y, train, test):
    """Return a model's results on held-out rows, in the units that it was fitted in.

    The second is a table of the columns' errors, or None.
    """
    x = rows_of(X, test)
    if len(model) > 1:
        x = model[0].transform(x)
        codes = model[1:].transform(x)
    else:
        codes = model.transform(x)
    reconstructed = model[-1].inverse_transform(codes)
    row = {
        "error": reconstruction_error(x, reconstructed),
        "explained_variance": explained_variance(x, reconstructed),
    }
    if y is not None:
        linear = LogisticRegression(max_iter=1000) if is_classes(y) else Ridge()
        downstream = make_pipeline(StandardScaler(), linear)
        downstream.fit(model.transform(rows_of(X, train)), y[train])
        row["downstream_score"] = downstream.score(codes, y[test])
    first = model[0]
    by_column = isinstance(first, TableEncoder)
    return row, first.column_errors(x, reconstructed) if by_column else None


def is_classes(y):
    """Return whether a target holds classes rather than numbers."""
    most = max(2, len(y) // 5)
    return type_of_target(y) in ("binary", "multiclass") and len(np.unique(y)) <= most
