"""The autoencoder as an anomaly detector: IsolationForest's interface."""

import math
from numbers import Integral, Real
from os import PathLike
from typing import Any, Literal, Self, overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.stats import false_discovery_control
from sklearn.utils import ClassifierTags
from sklearn.utils.validation import check_is_fitted

from ._anomaly.bounds import conditional, false_discoveries
from ._anomaly.calibration import Calibration, RecentRows, proportions
from ._anomaly.crossfit import CrossFit
from ._anomaly.probability import posterior
from ._data.rows import mean_row
from ._data.selection import merge_rows, n_batches, resolve_batch_size
from ._fit import PARAMETER_CONSTRAINTS, new_generator, resolve_architecture
from ._training.checkpoint import check_checkpoint, remove_checkpoints
from ._training.tasks import EpochTasks
from ._utils.registry import check_unchanged, constraints, declared, resolve, suggesting
from ._utils.sklearn import (
    BaseEstimator,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    Interval,
    Options,
    OutlierMixin,
    StrOptions,
    TransformerMixin,
    _fit_context,
    as_output,
)
from ._utils.stored import VersionedMixin
from ._utils.torch import limit_threads
from ._utils.validation import (
    accepted,
    check_codes,
    check_fraction,
    check_rows,
    check_sizes,
    check_weighted_rows,
    unchanged_by_errors,
)
from .architectures import Architecture
from .corruptions import Corruption
from .losses import Loss
from .optimizers import Optimizer
from .penalties import Penalty
from .schedules import Schedule
from .scorings import Scoring

# contamination="auto"
_CONTAMINATION = 0.05
# What max_iter="auto" aims at: a net that has learnt the bulk of the rows and not the others.
_STEPS, _MOST_EPOCHS = 150, 30
# learning_rate="auto", as a multiple of the optimizer's own: there are few steps to take.
_RATE = 4.0
# Two ranges, as scikit-learn's checks want one without 0.
_FRACTIONS = [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right"), Options(Real, {0})]


class AutoencoderAnomalyDetector(
    VersionedMixin,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    OutlierMixin,
    BaseEstimator,
):
    """Anomaly detection with autoencoders, a robust distance and calibrated thresholds.

    A row is anomalous if its code or its residual is far from those of the other rows, or if no
    other row is near it. A few small nets are trained on a part of the rows each, and no row is
    ever scored by a net that was trained on it: the scores of the training rows are those of unseen
    rows, and the threshold taken from them holds for new rows.

    Read more in the :doc:`User Guide </anomaly_detection>`.

    Parameters
    ----------
    n_components : int, float, None or "auto", default="auto"
        Width of the code. "auto": the rounded root of the number of features. Others as for
        `AutoencoderTransformer`.
    scoring : str or Scoring, default="combined"
        How unusual a row is: a name in `skae.scorings.SCORINGS`, or an object.
    contamination : float or "auto", default="auto"
        Fraction of the training rows, in [0, 0.5], that is to be predicted as anomalous. If the
        training rows are clean, it is also the fraction of new clean rows that is: the false-alarm
        rate; anomalies among them make false alarms rarer. "auto" is 0.05. With 0 no training row
        is anomalous: the threshold is their lowest score, which one in n + 1 new clean rows is
        below.
    n_folds : int, default=3
        Number of parts of the training rows, and of nets, each trained on one part.
    architecture : str, Architecture, type or tuple, default="dense"
        As for `AutoencoderTransformer`.
    hidden_layer_sizes : array-like of int or "auto", default="auto"
        As for `AutoencoderTransformer`, but "auto" is half the architecture's ``default_sizes``,
        (128, 64) for a dense net.
    activation : str, default="silu"
        A name in `skae.architectures.ACTIVATIONS`.
    input_shape : tuple of int or None, default=None
        As for `AutoencoderTransformer`.
    penalty : str, Penalty or None, default=None
        As for `AutoencoderTransformer`.
    corruption : str, Corruption or None, default=None
        As for `AutoencoderTransformer`.
    loss : str or Loss, default="squared_error"
        A name in `skae.losses.LOSSES`, or an object with its own parameters.
    init : {"pca", "random"}, default="random"
        As for `AutoencoderTransformer`.
    optimizer : str or Optimizer, default="adam"
        A name in `skae.optimizers.OPTIMIZERS`, or an object with its own parameters.
    learning_rate : float or "auto", default="auto"
        The largest. "auto" is four times the transformer's, because the training is short.
    schedule : str, Schedule or None, default="one_cycle"
        As for `AutoencoderTransformer`.
    alpha : float, default=0.0
        Weight decay.
    gradient_clip : float or None, default=0.1
        Largest norm of a step's gradient; None does not clip.
    trim : float, default=0.5
        As for `AutoencoderTransformer`.
    batch_size : int, "auto" or None, default=128
        As for `AutoencoderTransformer`.
    max_iter : int or "auto", default="auto"
        Largest number of epochs. "auto": as many as make 150 steps, and at most 30.
    tol : float, default=1e-4
        The relative fall of the loss that counts as one.
    early_stopping : bool, default=False
        As for `AutoencoderTransformer`.
    validation_fraction : float, default=0.1
        As for `AutoencoderTransformer`.
    n_iter_no_change : int, default=100
        Epochs without a fall of the loss after which the training ends.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the last fit's weights.
    callbacks : list of skorch callbacks or None, default=None
        As for `AutoencoderTransformer`; they are used by each net's training in turn.
    checkpoint : path-like or None, default=None
        As for `AutoencoderTransformer`; the files of the nets end in ".0", ".1" and so on.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is one, else the CPU. What is fitted is on the CPU.
    distributed : bool, default=False
        As for `AutoencoderTransformer`.
    n_jobs : int or None, default=None
        Number of nets that are trained at the same time, each in a process of its own unless
        ``joblib.parallel_config`` says otherwise; None is 1, -1 as many as there are cores. What is
        fitted does not depend on it. As the processes take some seconds to start, it pays where a
        fit takes longer. Small dense nets with the squared error are always trained side by side in
        one process. With `callbacks` or `distributed` the nets are trained in turn.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds, the layers and the batches. See `AutoencoderTransformer`.
    verbose : int, default=0
        1: a progress bar, after a line while the rows are read. 2: a line an epoch.

    Attributes
    ----------
    offset_ : float
        The threshold: ``decision_function`` is ``score_samples - offset_``.
    classes_ : ndarray of shape (2,)
        The labels -1 and 1, in the order of the columns of `predict_proba`.
    models_ : list of Autoencoder
        The autoencoders, each trained on the rows of its fold. ``transform``,
        ``inverse_transform`` and ``reconstruct`` are those of the first one.
    nets_ : list of skorch.NeuralNet
        The skorch nets that trained them.
    scorings_ : list of Scoring
        The fitted scorings, one a net.
    centre_ : ndarray of shape (n_features,)
        Mean of the more normal half of the training rows. `explain` compares with the mean of these
        rows as each net sees them.
    n_iter_ : int
        Number of epochs run.
    n_features_in_ : int
        Number of features of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has names that are all strings.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Faster; its threshold comes from the rows it was trained on.
    skae.scorings : The scores.

    Notes
    -----
    A training row is recognised by its values, also after a cast to float32, and its score is the
    mean over the nets that were not trained on it; any other row's is the mean over all nets. A
    mean over more nets has a lighter tail: by what the scores of single nets show of that, those of
    training rows are moved, in their order, to where new rows' are. That makes ``fit_predict`` as
    honest as ``predict``, and flags exactly the fraction `contamination` of the training rows, ties
    aside. The least false-alarm rate that n rows can promise is 1 / (n + 1): below it, the
    threshold is the lowest score of a training row.

    In thresholds and p-values, n is the effective number of rows: the exponential of the entropy of
    the weights' proportions, the number of distinct rows where all weigh the same. Of the rows
    given to earlier calls the latest 65,536 are recognised; those before count as new rows.

    Features should be on one scale, as for PCA: put a scaler before the detector. Entries that are
    NaN are missing: the net sees its own reconstruction of them, and they have no residual.
    Sequences for a recurrent net must be whole.

    References
    ----------
    F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation Forest", ICDM 2008.

    V. Vovk, "Cross-Conformal Predictors", Annals of Mathematics and AI 74, 2015.

    S. Bates, E. Candès, L. Lei, Y. Romano, M. Sesia, "Testing for Outliers with Conformal
    p-Values", Annals of Statistics 51(1), 2023.

    Y. Shen, S. Sanghavi, "Learning with Bad Training Data via Iterative Trimmed Loss Minimization",
    ICML 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import scale
    >>> from skae import AutoencoderAnomalyDetector
    >>> X = scale(load_wine().data)
    >>> detector = AutoencoderAnomalyDetector(contamination=0.1, random_state=0).fit(X)
    >>> int((detector.predict(X) == -1).sum())
    17
    >>> odd = X[:1].copy()
    >>> odd[0, 6] = 9.0
    >>> int(detector.predict(odd)[0]), int(np.argmin(detector.explain(odd)))
    (-1, 6)
    """

    offset_: float
    classes_: np.ndarray
    centre_: np.ndarray
    scorings_: list[Scoring]
    n_iter_: int

    _parameter_constraints: dict = {
        **PARAMETER_CONSTRAINTS,
        "n_components": [StrOptions({"auto"}), *PARAMETER_CONSTRAINTS["n_components"]],
        "scoring": constraints(Scoring),
        "contamination": _FRACTIONS,
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_components: int | float | str | None = "auto",
        *,
        scoring: str | Scoring = "combined",
        contamination: float | str = "auto",
        n_folds: int = 3,
        architecture: str | Architecture | type | tuple = "dense",
        hidden_layer_sizes: tuple[int, ...] | str = "auto",
        activation: str = "silu",
        input_shape: tuple[int, ...] | None = None,
        penalty: str | Penalty | None = None,
        corruption: str | Corruption | None = None,
        loss: str | Loss = "squared_error",
        init: str = "random",
        optimizer: str | Optimizer = "adam",
        learning_rate: float | str = "auto",
        schedule: str | Schedule | None = "one_cycle",
        alpha: float = 0.0,
        gradient_clip: float | None = 0.1,
        trim: float = 0.5,
        batch_size: int | str | None = 128,
        max_iter: int | str = "auto",
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 100,
        warm_start: bool = False,
        callbacks: list | None = None,
        checkpoint: str | PathLike[str] | None = None,
        device: str | torch.device = "auto",
        distributed: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.n_components = n_components
        self.scoring = scoring
        self.contamination = contamination
        self.n_folds = n_folds
        self.architecture = architecture
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.input_shape = input_shape
        self.penalty = penalty
        self.corruption = corruption
        self.loss = loss
        self.init = init
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.alpha = alpha
        self.gradient_clip = gradient_clip
        self.trim = trim
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.device = device
        self.distributed = distributed
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _validate_params(self):
        with suggesting(self):
            super()._validate_params()

    # -- fit -------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train the nets on X and calibrate the threshold.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The training data; a minority of anomalies is allowed.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts beside the others, also in thresholds and p-values. Only the
            proportions matter: a row with twice the weight of the others is the row twice.

        Returns
        -------
        self : AutoencoderAnomalyDetector
            Fitted.

        Raises
        ------
        ValueError
            If X or a parameter is not allowed, or if the training diverges.
        """
        tasks = None
        if hasattr(self, "_skl_callbacks"):
            tasks = EpochTasks.of(self, X, y, sample_weight, dict)
        return self._fit(X, sample_weight, one_pass=False, tasks=tasks)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train the nets on the rows of X once and calibrate the threshold on the latest rows.

        Thresholds and p-values are those of the (at most 4,096) rows given to it last.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The next rows.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts beside the others, also in thresholds and p-values. Only the
            proportions matter: a row with twice the weight of the others is the row twice.

        Returns
        -------
        self : AutoencoderAnomalyDetector
            Fitted.

        Raises
        ------
        ValueError
            If X or a parameter is not allowed, or if the training diverges.
        """
        return self._fit(X, sample_weight, one_pass=True)

    def _fit(self, X, sample_weight, one_pass, tasks=None):
        resumed = hasattr(self, "offset_") and (one_pass or self.warm_start)
        with unchanged_by_errors(self):
            check_sizes(self.get_params(deep=False))
            if self.checkpoint is not None and not one_pass:
                check_checkpoint(self.get_params(deep=False), resumed)
            X, sample_weight = check_weighted_rows(
                self, X, sample_weight, self._accepted(), reset=not resumed
            )
            if resumed:
                crossfit = self._crossfit.copy()
                check_unchanged("n_folds", len(crossfit.fits), self.n_folds, one_pass)
            else:
                crossfit = CrossFit(self.n_folds, new_generator(self))
            recent = None
            with limit_threads(1):
                index, weight = merge_rows(X, sample_weight)
                rows = X[index].astype(np.float64, copy=False)
                if weight is None:
                    total = X.shape[0] if sample_weight is None else sample_weight.sum()
                    weight = np.full(len(index), total / len(index))
            in_turn = self.callbacks or self.distributed or tasks is not None
            n_jobs = 1 if in_turn else self.n_jobs
            if tasks is not None:
                tasks.begin(len(crossfit.fits))
            crossfit.train(rows, proportions(weight), self._net_params, one_pass, n_jobs, tasks)
            if one_pass:
                previous = self._recent if resumed else None
                recent = RecentRows.after(previous, rows, weight, crossfit.generator)
                rows, weight = recent.rows, recent.weight
            weight = proportions(weight)
            scores = -crossfit.fit_scorings(rows, weight, self.scoring)
            calibration = Calibration(scores, weight)
            normal = scores >= calibration.threshold(0.5)
            with limit_threads(1):
                centre = mean_row(rows[normal], weight[normal])
                crossfit.fit_baselines(rows[normal], weight[normal])
            fraction = _CONTAMINATION if self.contamination == "auto" else self.contamination
            fitted = {
                "_crossfit": crossfit,
                "_recent": recent,
                "_calibration": calibration,
                "scorings_": crossfit.scorings,
                "centre_": centre,
                "_fraction": fraction,
                "offset_": float(calibration.threshold(fraction)),
                "classes_": np.array([-1, 1]),
                "n_iter_": max(fit.history[-1]["epoch"] for fit in crossfit.fits),
            }
            if tasks is not None:
                tasks.end(fitted)
        vars(self).update(fitted)
        if self.checkpoint is not None and not one_pass:
            remove_checkpoints(self.checkpoint, self.n_folds)
        return self

    def _net_params(self, n_rows):
        """Return the parameters of a net that trains on some rows."""
        architecture = resolve_architecture(self.architecture)
        own = {"scoring", "contamination", "n_folds", "n_jobs", "random_state"}
        params = {k: v for k, v in self.get_params(deep=False).items() if k not in own}
        if isinstance(self.hidden_layer_sizes, str):
            sizes = architecture.default_sizes
            params["hidden_layer_sizes"] = tuple(width // 2 for width in sizes)
        if self.n_components == "auto":
            params["n_components"] = max(1, round(math.sqrt(self.n_features_in_)))
        if self.learning_rate == "auto":
            rate = resolve(Optimizer, self.optimizer).default_learning_rate
            params["learning_rate"] = _RATE * architecture.rate * rate
        if self.max_iter == "auto":
            size = resolve_batch_size(self.batch_size, n_rows, max_iter=1)
            params["max_iter"] = min(_MOST_EPOCHS, math.ceil(_STEPS / n_batches(n_rows, size)))
        return params

    @property
    def models_(self) -> list[Any]:
        check_is_fitted(self)
        return [fit.model for fit in self._crossfit.fits]

    @property
    def nets_(self) -> list[Any]:
        check_is_fitted(self)
        return [fit.net for fit in self._crossfit.fits]

    @property
    def _n_features_out(self):
        return self.models_[0].n_components

    # -- rows to codes and back ------------------------------------------------------------------

    def transform(self, X: Any) -> np.ndarray:
        """Return the codes of X.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components)
            In X's own float type.
        """
        return self.models_[0].encode(self._checked(X))

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return the reconstructions that belong to codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            In the codes' own float type.

        Raises
        ------
        ValueError
            If the codes have another number of columns.
        """
        model = self.models_[0]
        Z = check_codes(self, X, model)
        return as_output(self, model.decode(Z, self.n_features_in_), X)

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return X as the autoencoder sees it: encoded and decoded.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            ``inverse_transform(transform(X))``; with a multinomial loss times the rows' totals.
            NaN in the padding of shorter sequences.
        """
        return as_output(self, self.models_[0].reconstruct(self._checked(X)), X)

    # -- scores ----------------------------------------------------------------------------------

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal the rows of X are.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Minus the distance that `scoring` defines, in float64: higher is more normal.
        """
        X = self._checked(X)
        return -self._crossfit.distances(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return by how much the rows of X are on the normal side of the threshold.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``: negative for anomalies.
        """
        return self.score_samples(X) - self.offset_

    @overload
    def p_values(self, X: Any, confidence: float | None = ...) -> np.ndarray: ...

    @overload
    def p_values(
        self, X: Any, confidence: float | None = ..., *, return_scores: Literal[True]
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def p_values(
        self, X: Any, confidence: float | None = None, *, return_scores: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the conformal p-values of the rows of X.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data.
        confidence : float or None, default=None
            None: a new row like the training rows has a p-value of at most alpha with a probability
            of at most alpha, over the draw of the training rows and of the row. A float in (0, 1):
            with this probability over the draw of the training rows, that holds for all new rows
            and every alpha, given the training rows. These p-values are larger.
        return_scores : bool, default=False
            Whether to return the scores that the p-values are of as well, so that the rows go
            through the nets once for both.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            The fraction of the training rows, the row itself among them, whose score is as low or
            lower: small for anomalies, and uniform for rows like the training ones. At least
            1 / (n + 1) for a new row, where n is the effective number of rows.
        scores : ndarray of shape (n_samples,)
            ``score_samples(X)``. Only where `return_scores` is true.

        Raises
        ------
        ValueError
            If `confidence` is not in (0, 1).

        References
        ----------
        S. Bates, E. Candes, L. Lei, Y. Romano, M. Sesia, "Testing for Outliers with Conformal
        p-values", Annals of Statistics 51(1), 2023.
        """
        if confidence is not None:
            check_fraction("confidence", confidence)
        X = self._checked(X)
        known = self._crossfit.folds.find(X) >= 0
        scores = -self._crossfit.distances(X)
        p_values = self._calibration.p_values(scores, known)
        if confidence is not None:
            p_values = conditional(p_values, self._calibration.total, confidence)
        return (p_values, scores) if return_scores else p_values

    def predict_proba(self, X: Any, roc_auc: float = 0.65) -> np.ndarray:
        """Return the probabilities that the rows of X are anomalies, and that they are not.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data.
        roc_auc : float, default=0.65
            How well the scores tell anomalies from other rows: the area under the ROC curve, in
            [0.5, 1). Give it where some labels tell. With 0.5 the probability is the same for all.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, 2)
            The columns are those of `classes_`: anomalies first. A lower score never has a lower
            probability of an anomaly, and a row's does not depend on the others in X.

        Raises
        ------
        ValueError
            If `roc_auc` is not in [0.5, 1).

        Notes
        -----
        The model is binormal: new rows are like the training rows, of which the fraction
        `contamination` are anomalies, and some monotone transformation makes the scores of both
        kinds normal with equal variances. No label is needed, but the probabilities are off where
        `contamination` or `roc_auc` is: the default of the latter has the least log-loss over
        eighty real tables. With ``contamination=0`` no row is an anomaly.

        References
        ----------
        J. A. Hanley, "The Robustness of the 'Binormal' Assumptions Used in Fitting ROC Curves",
        Medical Decision Making 8(3), 1988.
        """
        if roc_auc != 0.5:
            check_fraction("roc_auc", roc_auc)
        if roc_auc < 0.5:
            raise ValueError(f"The 'roc_auc' parameter must be at least 0.5, got {roc_auc!r}.")
        odd = posterior(self.p_values(X), self._fraction, roc_auc)
        return np.column_stack([odd, 1 - odd])

    def precision_bound(self, X: Any, confidence: float | None = 0.95) -> np.ndarray:
        """Return lower bounds on the precision of flagging each row of X and all that are odder.

        The precision is the fraction of anomalies among the rows of X whose score is as low or
        lower. The bounds of all rows hold together, so that a threshold can be chosen after a look
        at them: flag the rows up to the last one whose bound is high enough.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            New rows, which are judged together.
        confidence : float, default=0.95
            Probability, over the draw of the training rows and of X, that all bounds hold.

        Returns
        -------
        precision : ndarray of shape (n_samples,)
            From 0 to 1.

        Raises
        ------
        ValueError
            If `confidence` is not in (0, 1).

        Notes
        -----
        Rows of X that are no anomalies must be like the training rows. Anomalies among the training
        rows make the bounds lower.

        References
        ----------
        U. Gazin, G. Blanchard, E. Roquain, "Transductive Conformal Inference with Adaptive Scores",
        AISTATS 2024.

        G. Blanchard, P. Neuvial, E. Roquain, "Post Hoc Confidence Bounds on False Positives Using
        Reference Families", Annals of Statistics 48(3), 2020.
        """
        check_fraction("confidence", confidence)
        scores = self.score_samples(X)
        counts, total = self._calibration.counts(scores)
        found, up_to = false_discoveries(counts, total, confidence)
        return 1 - found / up_to

    def predict(self, X: Any, fdr: float | None = None) -> np.ndarray:
        """Return which rows of X are anomalies.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data.
        fdr : float or None, default=None
            None: anomalies are the rows below the threshold `offset_`. A float in (0, 1): the rate
            of false alarms to expect at most among the anomalies found in X, by the procedure of
            Benjamini and Hochberg on the p-values; the rows of X are then judged together.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            1 for inliers, -1 for anomalies.

        Raises
        ------
        ValueError
            If `fdr` is not in (0, 1).
        """
        if fdr is None:
            return np.where(self.decision_function(X) < 0, -1, 1)
        check_fraction("fdr", fdr, " or None")
        return np.where(false_discovery_control(self.p_values(X)) <= fdr, -1, 1)

    def explain(self, X: Any, keep_shape: bool = False, details: bool = False) -> Any:
        """Return how much each feature contributes to the score of each row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data.
        keep_shape : bool, default=False
            Whether each row of the result has the shape `input_shape`.
        details : bool, default=False
            Whether to return a DataFrame with a line for each row and feature: what the value is,
            what was expected, and how odd it is.

        Returns
        -------
        contributions : ndarray or DataFrame of shape (n_samples, n_features)
            They add up to ``score_samples(X)``: the most negative one is the oddest feature. A
            pandas or polars DataFrame with X's columns where X is one.

            With ``details=True`` a pandas DataFrame with the columns ``row`` (its label where X is
            a pandas DataFrame, else its number), ``feature``, ``value``, ``expected`` (the
            reconstruction, in the feature's unit), ``deviation`` (the difference of the two over
            the typical one of the training rows: 1.48 times the median of its size; NaN where there
            is none, and where the loss prepares rows) and ``contribution``. The rows are in X's
            order, and the oddest feature of each comes first.

        Raises
        ------
        ValueError
            If X is not allowed, or both `keep_shape` and `details` are true.
        ImportError
            If `details` is true and pandas is not installed.

        Notes
        -----
        Integrated gradients of the score along the line from the centre to the row, with sixteen
        nodes and as many passes over X. What quadrature and the score of the centre itself leave
        over is spread in proportion. Entries of more than 1e140 units are taken for as many.

        References
        ----------
        M. Sundararajan, A. Taly, Q. Yan, "Axiomatic Attribution for Deep Networks", ICML 2017.
        """
        if keep_shape and details:
            raise ValueError("keep_shape=True and details=True exclude each other: pass one.")
        rows = self._checked(X)
        contributions = -self._crossfit.contributions(rows)
        if details:
            return self._details(X, rows, contributions)
        if keep_shape and self.input_shape is not None:
            return contributions.reshape(-1, *self.input_shape)
        library = type(X).__module__.partition(".")[0]
        if library == "pandas":
            return type(X)(contributions, index=X.index, columns=X.columns)
        if library == "polars":
            return type(X)(contributions, schema=list(X.columns))
        return contributions

    def _details(self, X, rows, contributions):
        try:
            import pandas as pd
        except ImportError:
            raise ImportError(
                "details=True needs pandas: install it with pip install 'skae[plot]'."
            ) from None
        n_rows, n_features = rows.shape
        names = getattr(self, "feature_names_in_", np.arange(n_features))
        labels = X.index if isinstance(X, pd.DataFrame) else np.arange(n_rows)
        values = rows.toarray() if sparse.issparse(rows) else rows
        expected, typical = self._crossfit.expected(rows)
        typical[typical == 0] = np.nan
        parts = {
            "value": values,
            "expected": expected,
            "deviation": (values - expected) / typical,
            "contribution": contributions,
        }
        order = np.argsort(contributions, axis=1, kind="stable")
        sorted_parts = {k: np.take_along_axis(v, order, axis=1).ravel() for k, v in parts.items()}
        row = np.repeat(np.arange(n_rows), n_features)
        return pd.DataFrame(
            {"row": labels.take(row), "feature": names[order.ravel()]} | sorted_parts
        )

    # -- scikit-learn's protocols ----------------------------------------------------------------

    def _checked(self, X):
        check_is_fitted(self)
        return check_rows(self, X, self._accepted())

    def _accepted(self):
        allowed = accepted(declared(Loss, self.loss), declared(Architecture, self.architecture))
        if allowed.padding:
            # A sequence's end is no entry to complete.
            allowed.padding = False
            allowed.no_nan = (
                f"{type(self).__name__} takes sequences of one length only: cut them into windows, "
                "or pass it the codes of an AutoencoderTransformer, which takes any lengths."
            )
        return allowed

    def __sklearn_tags__(self):
        tags = self._accepted().enter(super().__sklearn_tags__())
        # scikit-learn's checks take predict_proba for a classifier's: it has two columns.
        tags.classifier_tags = ClassifierTags(multi_class=False)
        return tags

    def __getstate__(self):
        crossfit = getattr(self, "_crossfit", None)
        own = {} if crossfit is None else {"_crossfit": crossfit.stored_with(self.callbacks)}
        return super().__getstate__() | own
