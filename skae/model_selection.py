"""Searches that train many autoencoders at once."""

import copy
import math
import time
from functools import partial
from typing import Any, Self

import joblib
import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from sklearn import get_config
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable

from ._fit import fit_side_by_side
from ._transformer import AutoencoderTransformer
from ._utils.sklearn import _safe_indexing

__all__ = ["BatchedGridSearchCV"]

# Fits that are held at once while they are trained.
_MOST_FITS = 256


class BatchedGridSearchCV(GridSearchCV):
    """``GridSearchCV`` that trains the nets of all candidates and folds at once.

    Small nets spend most of their time between the products of matrices. Here the weights of many
    are one stack, and a step of all of them is one product of stacks. Parameters, attributes and
    scores are those of :class:`sklearn.model_selection.GridSearchCV`; each fit has the draws that
    it would have alone, so that the scores differ by rounding only.

    Parameters
    ----------
    estimator : estimator
        An `AutoencoderTransformer`, or a pipeline that ends in one. Others are fitted as
        ``GridSearchCV`` does.
    param_grid : dict or list of dict
        Names of parameters, and the values to try.
    scoring : str, callable, list, tuple or dict, default=None
        As in ``GridSearchCV``. None is the estimator's ``score``.
    n_jobs : int, default=None
        Number of processes, which share the fits and the scores.
    refit : bool, str or callable, default=True
        Whether, or by which scorer, the best candidate is fitted to the whole X; that is done in
        the usual way.
    cv : int, cross-validation generator or iterable, default=None
        As in ``GridSearchCV``.
    verbose : int, default=0
        As in ``GridSearchCV``; from 1 on a line says how many fits were trained at once.
    pre_dispatch : int or str, default="2*n_jobs"
        As in ``GridSearchCV``.
    error_score : "raise" or float, default=np.nan
        The score of a fit that fails.
    return_train_score : bool, default=False
        Whether ``cv_results_`` has scores on the training rows.

    Attributes
    ----------
    cv_results_ : dict of ndarrays
        As that of ``GridSearchCV``. The fit time of a fit that was trained beside others is its
        share of the time of all of them.
    best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_ : various
        As those of ``GridSearchCV``.
    refit_time_ : float
        Seconds of the last fit, to the whole X.
    n_batched_ : int
        The number of fits that were trained at once, out of candidates times folds. The others
        were fitted one by one.
    classes_, n_features_in_, feature_names_in_ : various
        Those of the best estimator, where it has them.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : The same, fit by fit.

    Notes
    -----
    Candidates may differ in any parameter, also of the steps before the net, which are fitted once
    for the candidates that share them. Nets with the same layers are trained at once: those with
    other values of `n_components` or `hidden_layer_sizes` come in a stack of their own.

    Fitted one by one are nets with convolutional or recurrent layers or modules of one's own, with
    a `penalty`, a `loss` other than the squared error, callbacks, missing entries or very large
    layers; fits that fail; and all fits where ``fit`` gets metadata other than ``groups``.

    All fitted candidates are held until they are scored. Of candidates that tie to within rounding,
    another one may be the best than in ``GridSearchCV``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoencoderTransformer
    >>> from skae.model_selection import BatchedGridSearchCV
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(1, max_iter=20, random_state=0)
    >>> grid = {"learning_rate": [1e-3, 1e-2], "alpha": [0.0, 1e-3]}
    >>> search = BatchedGridSearchCV(autoencoder, grid, cv=3).fit(X)
    >>> search.n_batched_
    12
    >>> sorted(search.best_params_)
    ['alpha', 'learning_rate']
    """

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Search the grid, and fit the best candidate to X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The training data.
        y : array-like of shape (n_samples,), default=None
            What scorers compare with; autoencoders ignore it.
        **params : dict of str -> object
            ``groups`` for the splitter, and metadata as ``GridSearchCV`` takes it.

        Returns
        -------
        self : BatchedGridSearchCV
            The fitted search.

        Raises
        ------
        ValueError
            If a parameter is not allowed, or if all fits fail.
        """
        self._validate_params()
        search, trained, seconds = copy.copy(self), [], np.zeros(0)
        if not params or (set(params) == {"groups"} and not _routing()):
            X, y = indexable(X, y)
            cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
            # Splitters may draw: what is trained on must be what is scored.
            search.cv = list(cv.split(X, y, **params))
            trained, seconds = self._train(X, y, search.cv)
            search.estimator = _Clones(self.estimator, trained).original()
        search.n_batched_ = sum(estimator is not None for estimator in trained)
        if self.verbose > 0:
            print(f"Trained {search.n_batched_} fits at once")
        super(BatchedGridSearchCV, search).fit(X, y, **params)
        if search.n_batched_:
            _add_fit_times(search.cv_results_, seconds.reshape(-1, search.n_splits_))
        names = self.get_params(deep=False)
        self.__dict__.update({key: v for key, v in vars(search).items() if key not in names})
        return self

    def _train(self, X, y, splits):
        """Return the estimators of candidates times splits and their seconds, or None and 0."""
        candidates = [
            clone(self.estimator).set_params(**clone(params, safe=False))
            for params in ParameterGrid(self.param_grid)
        ]
        # Those of a split share its rows.
        tasks = [
            (candidate, split)
            for split in range(len(splits))
            for candidate in range(len(candidates))
        ]
        n_parts = max(effective_n_jobs(self.n_jobs), math.ceil(len(tasks) / _MOST_FITS))
        parts = np.array_split(np.array(tasks).reshape(-1, 2), min(n_parts, max(len(tasks), 1)))
        done = Parallel(n_jobs=self.n_jobs)(
            delayed(_train_some)(
                [(clone(candidates[i]), split) for i, split in part.tolist()],
                X,
                y,
                [train for train, _ in splits],
            )
            for part in parts
        )
        trained = [None] * len(tasks)
        seconds = np.zeros(len(tasks))
        places = (i * len(splits) + split for i, split in tasks)
        results = (pair for part in done for pair in part)
        for place, (estimator, share) in zip(places, results, strict=True):
            trained[place], seconds[place] = estimator, share
        return trained, seconds


def _routing():
    return get_config()["enable_metadata_routing"]


def _train_some(tasks, X, y, trains):
    """Train estimators on the rows of a split each, at once.

    Returns pairs of an estimator, or None where it is to be fitted alone, and its share of the
    seconds.
    """
    started = time.perf_counter()
    shared, calls = {}, {}
    for i, (estimator, split) in enumerate(tasks):
        try:
            calls[i] = _call(estimator, X, y, trains[split], split, shared)
        except Exception:
            # The fit by itself raises it again.
            continue
    calls = {i: call for i, call in calls.items() if call is not None}
    fits = dict(zip(calls, fit_side_by_side(list(calls.values())), strict=True))
    found = [None] * len(tasks)
    for i, fitted in fits.items():
        if fitted is not None:
            found[i] = tasks[i][0]
            _autoencoder(found[i])._take(calls[i]["X"], fitted)
    share = (time.perf_counter() - started) / max(1, sum(e is not None for e in found))
    return [(estimator, 0.0 if estimator is None else share) for estimator in found]


def _autoencoder(estimator):
    return estimator.steps[-1][1] if type(estimator) is Pipeline else estimator


def _call(estimator, X, y, train, split, shared):
    """Return the arguments of the fit of an estimator's net, or None where it has no such net.

    The steps before it are fitted. What several have in common is kept in `shared`.
    """
    net = _autoencoder(estimator)
    if type(net) is not AutoencoderTransformer or hasattr(net, "_skl_callbacks"):
        return None
    steps = estimator.steps[:-1] if net is not estimator else []
    key = split, _key_of(steps)
    if key not in shared:
        rows = _safe_indexing(X, train)
        if steps:
            before = estimator[:-1]
            rows = before.fit_transform(rows, None if y is None else _safe_indexing(y, train))
            steps = before.steps
        shared[key] = {"steps": steps, "rows": rows}
    known = shared[key]
    if steps:
        estimator.steps[:-1] = known["steps"]
    net._validate_params()
    call = net._call(known["rows"])
    # The same array for all, as nets that see the same batches share them.
    call["X"] = known.setdefault("X", call["X"])
    return call


def _key_of(steps):
    """Return the same for steps with the same parameters."""
    try:
        return joblib.hash(steps)
    except Exception:
        # A function without a name cannot be compared.
        return object()


def _add_fit_times(results, seconds):
    """Put the fit times of what was trained before into the results of a search."""
    results["mean_fit_time"] += seconds.mean(axis=1)
    whole = (seconds > 0).all(axis=1)
    results["std_fit_time"] = np.where(whole, seconds.std(axis=1), results["std_fit_time"])


class _Clones:
    """What scikit-learn's search clones: it gets estimators whose ``fit`` is done already.

    The search clones its estimator once, and that clone for every fit in the order of candidates
    and splits, and at last for the best candidate.
    """

    def __init__(self, estimator, trained):
        self.estimator = estimator
        self.trained = iter(trained)

    def original(self):
        """Return the estimator of the search."""
        estimator = clone(self.estimator)
        estimator.__sklearn_clone__ = self._base
        return estimator

    def _base(self):
        estimator = clone(self.estimator)
        estimator.__sklearn_clone__ = self._next
        return estimator

    def _next(self):
        estimator, trained = clone(self.estimator), next(self.trained, None)
        if trained is not None:
            estimator.fit = partial(_take_over, estimator, trained)
        return estimator

    def __getstate__(self):
        # Workers get the search, too, and make no fits of it.
        return {"estimator": self.estimator, "trained": iter(())}


def _take_over(estimator, trained, X, y=None):
    """Fit an estimator by what was fitted before."""
    del estimator.fit
    vars(estimator).update(vars(trained))
    return estimator
