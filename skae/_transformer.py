"""The autoencoder as a transformer: PCA's interface."""

from numbers import Integral
from os import PathLike
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from . import metrics
from ._components import choose_components
from ._data.rows import dense_rows, row_blocks
from ._fit import PARAMETER_CONSTRAINTS, Fitted, Settings, fit_autoencoder
from ._model.modules import Decoder, Encoder
from ._training.checkpoint import check_checkpoint, remove_checkpoints
from ._training.tasks import EpochTasks
from ._utils.registry import declared, suggesting
from ._utils.sklearn import (
    BaseEstimator,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    Interval,
    StrOptions,
    TransformerMixin,
    _check_sample_weight,
    _fit_context,
    as_output,
    available_if,
)
from ._utils.stored import VersionedMixin
from ._utils.torch import limit_threads
from ._utils.validation import (
    accepted,
    check_codes,
    check_rows,
    check_sizes,
    check_target,
    check_weighted_rows,
    unchanged_by_errors,
)
from .architectures import Architecture
from .corruptions import Corruption
from .losses import Likelihood, Loss
from .optimizers import Optimizer
from .penalties import EncodedBatch, Penalty
from .schedules import Schedule

# A mixture has at most so many normal distributions, each of at least so many codes.
_MOST_COMPONENTS, _FEWEST_CODES = 10, 20
# The variance of codes that are all the same, of which a mixture can make no more than one.
_ALL_THE_SAME = 1e-12


def _has_bound(self):
    """Return whether the loss is a bound of the likelihood, or say why not."""
    # What was fitted counts, whatever a parameter is now.
    own = self._fitted.model if "_fitted" in vars(self) else self
    loss = declared(Loss, own.loss)
    kind = loss if isinstance(loss, type) else type(loss)
    if not declared(Penalty, own.penalty).bound or not issubclass(kind, Likelihood):
        raise AttributeError(
            "score_samples needs a bound of the likelihood: penalty='variational' and a loss that "
            f"is one, but here are penalty={own.penalty!r} and loss={own.loss!r}."
        )
    return True


class AutoencoderTransformer(
    VersionedMixin,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Nonlinear dimensionality reduction that starts as PCA and only gets better.

    An encoder maps a sample to a code of `n_components` numbers and a decoder maps the code back.
    Both have a linear path, which starts as PCA's, and a nonlinear path, which starts at zero: the
    net is PCA before the first step. Training changes all of it, and the epoch with the lowest loss
    on held-out rows, the start included, is kept.

    Read more in the :doc:`User Guide </user_guide>`.

    Parameters
    ----------
    n_components : int, float, "auto", "mle" or None, default=2
        Width of the code. A float in (0, 1): as many components as PCA needs for that part of the
        variance. "auto": as many as are more than noise, found by a short fit before; see
        :ref:`n-components-auto`. "mle": what PCA guesses by Minka's rule, at least one; it needs as
        many samples as features. None: ``min(n_samples, n_features)``, where equal rows count once.
        In a wider code PCA fills the first components and the rest start at random.
    architecture : str, Architecture, type or tuple, default="dense"
        A name in `skae.architectures.ARCHITECTURES`, or an object with its own parameters. Also a
        ``torch.nn.Module`` class with ``encode`` and ``decode``, which stands for
        `skae.architectures.Module`, and a pair of modules, for `skae.architectures.Pair`.
    hidden_layer_sizes : array-like of int or "auto", default="auto"
        Units or channels of the encoder's hidden layers, from input to code; the decoder mirrors
        them. "auto": the architecture's ``default_sizes``, (256, 128) for a dense net.
    activation : str, default="silu"
        A name in `skae.architectures.ACTIVATIONS`.
    input_shape : tuple of int or None, default=None
        Shape of one sample: an image's (H, W) or (C, H, W), a sequence's (T,) or (T, F). Where it
        is given, arrays of shape ``(n_samples, *input_shape)`` are taken too; results are 2-D.
    penalty : str, Penalty or None, default=None
        What is asked of the codes beside a good reconstruction: a name in
        `skae.penalties.PENALTIES`, or an object with its own parameters.
    corruption : str, Corruption or None, default="residual"
        What is done to the input while training; the target stays clean. A name in
        `skae.corruptions.CORRUPTIONS`, an object, or None.
    loss : str or Loss, default="squared_error"
        A name in `skae.losses.LOSSES`, or an object with its own parameters.
    init : {"pca", "random"}, default="pca"
        How the net starts. "pca" needs an architecture with a linear path; "random" leaves it out,
        unless the architecture asks for it.
    optimizer : str or Optimizer, default="adam"
        A name in `skae.optimizers.OPTIMIZERS`, or an object with its own parameters.
    learning_rate : float or "auto", default="auto"
        The largest learning rate. "auto" is the optimizer's ``default_learning_rate`` times
        the architecture's ``rate``. X is scaled inside, so its units do not matter.
    schedule : str, Schedule or None, default="one_cycle"
        How the learning rate changes during ``fit``: a name in `skae.schedules.SCHEDULES`, an
        object, or None for a constant one.
    alpha : float, default=0.0
        Weight decay.
    gradient_clip : float or None, default=1.0
        Largest norm of a step's gradient; None does not clip.
    trim : float, default=0.0
        Fraction of each step's rows, those with the largest losses, that count a hundredth in the
        step, so that outliers are not learnt.
    batch_size : int, "auto" or None, default="auto"
        Rows of a step. "auto" grows with the number of rows, from 32 to 256, and is 64 at least
        where that leaves 400 steps. None takes all rows.
    max_iter : int or "auto", default="auto"
        Largest number of epochs; at 0 the estimator is PCA. "auto" is 200 epochs, or as few as 10
        where X has many rows, for about 16,000 steps.
    tol : float, default=1e-4
        The relative fall of the loss that counts as one.
    early_stopping : bool, default=True
        Whether rows are held out to choose the epoch. Otherwise all are trained on, to the last.
    validation_fraction : float, default=0.1
        Fraction of the distinct rows that is held out; at least 30 rows, or a quarter of them where
        that is fewer.
    n_iter_no_change : int, default=100
        Epochs without a fall of the loss after which the training ends.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the last fit's weights.
    callbacks : list of skorch callbacks or None, default=None
        The objects given are used, not copies; pairs of a name and one too. See :ref:`skorch-net`.
    checkpoint : path-like or None, default=None
        A file from which a ``fit`` that was killed goes on, to the same bits: it is written while
        the training runs and removed when the fit has ended. It needs an int as `random_state` and
        no `callbacks`. See :doc:`/checkpoints`.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is one, else the CPU. What is fitted is on the CPU.
    distributed : bool, default=False
        Whether ``fit`` is shared by the processes that ``torchrun`` or ``accelerate launch``
        started, each with the same X; needs accelerate. See :doc:`/distributed`.
    random_state : int, RandomState instance or None, default=None
        Seed of the hidden layers, the held-out rows and the batches; None takes a fresh one from
        the system. The global generators of NumPy and torch are neither read nor changed.
    verbose : int, default=0
        1: a progress bar, after a line while the rows are read. 2: a line an epoch.
    transform_max_iter : int, default=2
        Number of steps from the encoder's code of a row to the code with the smallest error, in
        ``transform`` and ``reconstruct``. 0 leaves the codes as the encoder has them, which is
        faster. Dense and convolutional nets take them, but not with a penalty, denoising, a target
        and ``loss="absolute_error"``; see :ref:`refined-codes`.
    whiten : bool, default=False
        Whether ``transform`` divides each code by its standard deviation on the training rows, and
        ``inverse_transform`` multiplies by it, as PCA does. Training does not see it. Unlike PCA's,
        the codes of a trained net may be correlated.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The loadings: the derivative of the reconstruction by the code, averaged over (at most 256)
        training rows. PCA's where the start was kept. Computed when it is first asked for.
    explained_variance_ : ndarray of shape (n_components,)
        Variance of each code on the training rows, with ``n_samples - 1`` degrees of freedom.
        This and the three attributes below are measured on at most 100,000 rows, evenly spaced,
        where the start was not kept.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        The explained fraction of the variance of the training rows, ``score(X)``, divided
        among the codes in proportion to `explained_variance_`.
    singular_values_ : ndarray of shape (n_components,)
        The norms of the codes of the training rows about their means.
    noise_variance_ : float
        The variance that the reconstruction leaves, over the ``min(n_samples, n_features) -
        n_components`` directions that are left. 0 where there are none.
    mean_ : ndarray of shape (n_features,)
        Mean of the training rows.
    n_components_ : int
        Width of the code.
    n_samples_ : int
        Number of training rows.
    n_iter_ : int
        Number of epochs run.
    best_iter_ : int
        The epoch whose weights are kept; 0 is the start.
    history_ : list of dict
        One a epoch, epoch 0 being the start: ``epoch``, ``train_loss``, ``valid_loss`` (with
        `early_stopping`), ``learning_rate`` and ``duration`` in seconds. With a `penalty` also each
        term of the losses, such as ``train_reconstruction`` and ``valid_divergence``.
    loss_ : float
        Loss at the best epoch: on the held-out rows if there are any, else on the training rows.
    architecture_, corruption_, loss_function_, optimizer_, penalty_, schedule_ : strategies
        What the parameters of the same name stand for.
    module_ : torch.nn.Module
        The fitted net, in float64 on the CPU, for centred and scaled rows.
    encoder_, decoder_ : torch.nn.Module
        What ``transform`` and ``inverse_transform`` do, of tensors in the units of X, with
        gradients. Each access makes a new copy in float64 on the CPU, which may be moved and
        trained: the estimator stays as it is.
    net_ : skorch.NeuralNet
        The skorch net that trained it, with a copy of the module in float32. See
        :ref:`skorch-net`.
    n_features_in_ : int
        Number of features of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has names that are all strings.

    See Also
    --------
    sklearn.decomposition.PCA : The start, and the measure of what the training gains.
    skae.compare.compare_with_pca : Both over the same folds.

    Notes
    -----
    The promise about unseen rows is about the loss that is asked for. A `penalty` is a part of it,
    and a `corruption` that denoises compares reconstructions of corrupted rows. Losses in
    `history_` are those of X centred and divided by the root of its mean variance, so that
    predicting the mean has a squared error of 1.

    With ``loss="categorical_cross_entropy"`` X holds tokens, which the net sees as indicators:
    `mean_` and `components_` have a column for each token at each position.

    Where the start was kept, `explained_variance_` and what else is named as in PCA are PCA's. The
    units are those of `mean_` and `components_`. After ``partial_fit`` they are those of (at most
    2,000) rows of the last call. See :ref:`variances`.

    Equal rows are merged into one with their summed weight, and the order of the rows is not used:
    a weight of 2 is a row given twice and a weight of 0 a row left out, to the last bit. The same
    seed gives the same bits at the same number of threads, and small nets give them at any.

    X may also be a memory map, a pandas, polars or Arrow frame, a torch tensor or dataset, or
    sparse. It is never copied whole: see :doc:`/large_data`.

    Entries that are NaN are missing: the loss leaves them out, and the net sees its own
    reconstruction in their place. See :doc:`/missing`.

    An error in ``fit`` or ``partial_fit`` leaves the estimator as it was before the call. Ctrl-C
    ends the training, with the best epoch kept.

    A row that loses more on PCA than any row that the net was trained on (or than any of 100,000
    of them, evenly spaced) is reconstructed as by PCA, and so is one beyond the range of these rows
    that loses on PCA at all. The last component of its code is then outside the range of theirs.
    ``partial_fit`` does without this.

    The losses in `history_` and `loss_` are those of the encoder's codes, before the steps that
    `transform_max_iter` is about.

    References
    ----------
    G. E. Hinton, R. R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks",
    Science 313, 2006.

    P. Baldi, K. Hornik, "Neural Networks and Principal Component Analysis: Learning from Examples
    Without Local Minima", Neural Networks 2(1), 1989.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from skae import AutoencoderTransformer
    >>> from skae.metrics import explained_variance_scorer
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(n_components=1, random_state=0).fit(X)
    >>> autoencoder.transform(X).shape
    (150, 1)
    >>> autoencoder.score(X) > explained_variance_scorer(PCA(1).fit(X), X)
    True
    """

    mean_: np.ndarray
    n_components_: int
    n_samples_: int
    n_iter_: int
    best_iter_: int
    history_: list[dict[str, Any]]
    loss_: float

    _parameter_constraints: dict = {
        **PARAMETER_CONSTRAINTS,
        "n_components": [StrOptions({"auto", "mle"}), *PARAMETER_CONSTRAINTS["n_components"]],
        "transform_max_iter": [Interval(Integral, 0, None, closed="left")],
        "whiten": ["boolean"],
    }

    def __init__(
        self,
        n_components: int | float | str | None = 2,
        *,
        architecture: str | Architecture | type | tuple = "dense",
        hidden_layer_sizes: tuple[int, ...] | str = "auto",
        activation: str = "silu",
        input_shape: tuple[int, ...] | None = None,
        penalty: str | Penalty | None = None,
        corruption: str | Corruption | None = "residual",
        loss: str | Loss = "squared_error",
        init: str = "pca",
        optimizer: str | Optimizer = "adam",
        learning_rate: float | str = "auto",
        schedule: str | Schedule | None = "one_cycle",
        alpha: float = 0.0,
        gradient_clip: float | None = 1.0,
        trim: float = 0.0,
        batch_size: int | str | None = "auto",
        max_iter: int | str = "auto",
        tol: float = 1e-4,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 100,
        warm_start: bool = False,
        callbacks: list | None = None,
        checkpoint: str | PathLike[str] | None = None,
        device: str | torch.device = "auto",
        distributed: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        transform_max_iter: int = 2,
        whiten: bool = False,
    ):
        self.n_components = n_components
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
        self.random_state = random_state
        self.verbose = verbose
        self.transform_max_iter = transform_max_iter
        self.whiten = whiten

    def _validate_params(self):
        with suggesting(self):
            super()._validate_params()

    # -- fit -------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None, target: Any = None
    ) -> Self:
        """Fit the autoencoder to X.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The training data.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts.
        target : array-like or sparse matrix of the shape of X, default=None
            What is to be reconstructed of each row, to learn denoising from pairs: X is what the
            encoder sees. None is X itself. The start is the PCA of X, and the best epoch is that
            with the lowest loss on held-out pairs. Not for losses that prepare rows as multinomial.

        Returns
        -------
        self : AutoencoderTransformer
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or a parameter is not allowed, or if the training diverges.
        """
        tasks = None
        if hasattr(self, "_skl_callbacks"):
            # An autoencoder's targets are what it reconstructs.
            targets = (X if target is None else target) if y is None else y
            tasks = EpochTasks.of(self, X, targets, sample_weight, self._attributes)
        return self._fit(X, sample_weight, one_pass=False, target=target, tasks=tasks)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train on the rows of X once; the start is the incremental PCA of all rows so far.

        The mean, the scale and the start follow the rows as those of ``IncrementalPCA`` do, and at
        ``max_iter=0`` the estimator is one. Otherwise each call is one pass, at half of
        `learning_rate`, and the net that is trained has the running mean of its weights. With
        `early_stopping` each chunk tests the net before it is trained on: the net predicts where it
        is better on such rows than the start, beyond chance, and the start predicts otherwise. Of
        the parameters only `batch_size`, `learning_rate` and `max_iter` may change between calls.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The next rows, or only one.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts.

        Returns
        -------
        self : AutoencoderTransformer
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or a parameter is not allowed, or if the training diverges.
        """
        return self._fit(X, sample_weight, one_pass=True)

    def _fit(self, X, sample_weight, one_pass, target=None, tasks=None):
        with unchanged_by_errors(self):
            call = self._call(X, sample_weight, one_pass, target) | {"tasks": tasks}
            fitted = fit_autoencoder(**call)
        self._take(call["X"], fitted)
        if self.checkpoint is not None and not one_pass:
            remove_checkpoints(self.checkpoint)
        return self

    def _call(self, X, sample_weight=None, one_pass=False, target=None):
        """Return the arguments of `fit_autoencoder` for a fit to X, which is validated."""
        resumed = hasattr(self, "_fitted") and (one_pass or self.warm_start)
        params = self.get_params(deep=False)
        check_sizes(params)
        if self.checkpoint is not None and not one_pass:
            check_checkpoint(params, resumed)
        X, sample_weight = check_weighted_rows(
            self, X, sample_weight, self._accepted(), not resumed, 1 if one_pass else 2
        )
        if target is not None:
            target = check_target(target, X, self)
        previous, settings = self._fitted if resumed else None, Settings(params)
        if self.n_components == "auto":
            settings.n_components = choose_components(X, sample_weight, settings, previous, target)
        if resumed:
            settings = previous.settings.going_on(settings, one_pass)
        return {
            "X": X,
            "sample_weight": sample_weight,
            "settings": settings,
            "previous": previous,
            "one_pass": one_pass,
            "target": target,
        }

    def _take(self, X, fitted):
        """Let the estimator have what was fitted to X."""
        self.n_samples_ = X.shape[0]
        vars(self).update(self._attributes(fitted))
        return self

    @staticmethod
    def _attributes(fitted):
        """Return the attributes of an estimator that has fitted this."""
        row = fitted.history[fitted.best]
        return {
            "_fitted": fitted,
            "n_components_": fitted.model.n_components,
            "mean_": fitted.model.standardization.mean,
            "history_": fitted.history,
            "n_iter_": fitted.history[-1]["epoch"],
            "best_iter_": fitted.best,
            "loss_": row.get("valid_loss", row["train_loss"]),
            "architecture_": fitted.model.architecture,
            "loss_function_": fitted.model.loss,
            "penalty_": fitted.model.penalty,
            "corruption_": fitted.settings.corruption,
            "optimizer_": fitted.settings.optimizer,
            "schedule_": fitted.settings.schedule,
            "_n_features_out": fitted.model.n_components,
        }

    @property
    def components_(self) -> np.ndarray:
        check_is_fitted(self)
        return self._fitted.model.components()

    @property
    def explained_variance_(self) -> np.ndarray:
        return self._deviations() ** 2

    @property
    def explained_variance_ratio_(self) -> np.ndarray:
        check_is_fitted(self)
        return self._fitted.variances.ratio

    @property
    def singular_values_(self) -> np.ndarray:
        return self._deviations() * max(self._fitted.variances.count - 1, 1) ** 0.5

    @property
    def noise_variance_(self) -> float:
        check_is_fitted(self)
        return self._fitted.variances.noise * self._fitted.model.scale**2

    def _deviations(self):
        """Return the standard deviations of the codes, in the units of X."""
        check_is_fitted(self)
        return np.sqrt(self._fitted.variances.explained) * self._fitted.model.scale

    @property
    def module_(self) -> torch.nn.Module:
        check_is_fitted(self)
        return self._fitted.model.module

    @property
    def encoder_(self) -> torch.nn.Module:
        check_is_fitted(self)
        ones = np.ones(self.n_components_)
        divisor = self._deviations().clip(min=np.finfo(float).eps) if self.whiten else ones
        return Encoder(self._fitted.model, divisor)

    @property
    def decoder_(self) -> torch.nn.Module:
        check_is_fitted(self)
        factor = self._deviations() if self.whiten else np.ones(self.n_components_)
        return Decoder(self._fitted.model, factor)

    @property
    def net_(self) -> Any:
        check_is_fitted(self)
        return self._fitted.net

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
        X = self._checked(X)
        codes = self._fitted.model.encode(X)
        if self.whiten:
            # as PCA does where a component has no variance
            codes /= self._deviations().clip(min=np.finfo(codes.dtype).eps).astype(codes.dtype)
        return codes

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return the reconstructions that belong to codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            In the codes' own float type. A frame with the input's feature names if ``set_output``
            asks for one.

        Raises
        ------
        ValueError
            If the codes do not have ``n_components_`` columns.
        """
        check_is_fitted(self)
        Z = check_codes(self, X, self._fitted.model)
        if self.whiten:
            Z = Z * self._deviations().astype(Z.dtype)
        return as_output(self, self._fitted.model.decode(Z, self.n_features_in_), X)

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
            NaN in the padding of shorter sequences. A frame with the input's feature names if
            ``set_output`` asks for one.
        """
        rows = self._checked(X)
        return as_output(self, self._fitted.model.reconstruct(rows), X)

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return the fraction of the variance of X that its reconstruction explains.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts.

        Returns
        -------
        fraction : float
            At most 1, which is best. `skae.metrics.explained_variance_scorer` is the same of PCA.
            With ``loss="categorical_cross_entropy"``, the fraction of the tokens that are right.
        """
        X = self._checked(X)
        model = self._fitted.model
        if sample_weight is not None:
            sample_weight = metrics.relative_weight(
                _check_sample_weight(sample_weight, X, ensure_non_negative=True)
            )
        if model.loss.discrete:
            observed = (~np.isnan(X)).sum(1)
            fraction = (model.reconstruct(X) == X).sum(1) / observed.clip(min=1)
            # A row with nothing in it says nothing.
            weight = (observed > 0) * (1.0 if sample_weight is None else sample_weight)
            return float(np.average(fraction, weights=weight)) if weight.any() else 1.0

        def blocks():
            for part in row_blocks(*X.shape):
                yield dense_rows(X, part), None if sample_weight is None else sample_weight[part]

        return metrics.explained_variance_of_blocks(blocks, model.reconstruct)

    # -- the covariance --------------------------------------------------------------------------

    def get_covariance(self) -> np.ndarray:
        """Return the covariance of the rows by the linear model that is nearest to the net.

        Its loadings are `components_`, its codes have the covariance that they have on the training
        rows, and the directions left have the variance `noise_variance_`. Where the start was kept
        it is the covariance of PCA's model.

        Returns
        -------
        covariance : ndarray of shape (n_features, n_features)
            The covariance, with a row for each entry of `mean_`.
        """
        return self._as_pca().get_covariance()

    def get_precision(self) -> np.ndarray:
        """Return the inverse of the covariance.

        Returns
        -------
        precision : ndarray of shape (n_features, n_features)
            The inverse of what ``get_covariance`` returns, by the matrix inversion lemma.
        """
        return self._as_pca().get_precision()

    def _as_pca(self):
        """Return a PCA with the covariance of the nearest linear model."""
        check_is_fitted(self)
        fitted = self._fitted
        variance, axes = np.linalg.eigh(fitted.variances.unbiased * fitted.variances.codes)
        scaled = fitted.model.scale * (np.sqrt(variance.clip(min=0)) * axes).T
        _, deviation, loadings = np.linalg.svd(scaled @ self.components_, full_matrices=False)
        pca = PCA()
        pca.components_, pca.explained_variance_ = loadings, deviation**2
        pca.noise_variance_, pca.n_components_ = self.noise_variance_, len(loadings)
        return pca

    # -- generation ------------------------------------------------------------------------------

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None
    ) -> np.ndarray:
        """Return new rows.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        random_state : int, RandomState instance or None, default=None
            Seed of the codes.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The reconstructions, without noise, of codes drawn from the penalty's prior, if it has
            one; else from a mixture of at most ten normal distributions, fitted to the codes of (at
            most 2,000) training rows. In float64.

        Raises
        ------
        ValueError
            If `n_samples` is not an int >= 1.
        """
        check_is_fitted(self)
        _check_count("n_samples", n_samples)
        random = check_random_state(random_state)
        model = self._fitted.model
        if model.penalty is not None and model.penalty.prior:
            Z = random.normal(size=(n_samples, model.n_components))
            Z *= model.module.spread.numpy() * model.scale
        else:
            Z = _mixture(model.codes, random).sample(n_samples)[0] * model.scale
            # the mixture's own order is by component
            random.shuffle(Z)
        return model.decode(Z, self.n_features_in_)

    def interpolate(self, a: ArrayLike, b: ArrayLike, n_steps: int = 10) -> np.ndarray:
        """Return the rows between pairs of rows, evenly spaced along the line between their codes.

        Parameters
        ----------
        a, b : array-like of shape (n_features,) or (n_samples, n_features)
            Where to begin and where to end; in the samples' shape, `input_shape`, too.
        n_steps : int, default=10
            How many rows, the reconstructions of a and b among them.

        Returns
        -------
        path : ndarray of shape (n_steps, n_features) or (n_samples, n_steps, n_features)
            In X's own float type.

        Raises
        ------
        ValueError
            If a and b differ in shape, or if `n_steps` is not an int >= 2.
        """
        check_is_fitted(self)
        _check_count("n_steps", n_steps, least=2)
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            raise ValueError(f"a and b must have one shape, got {a.shape} and {b.shape}.")
        one = a.shape in ((self.n_features_in_,), tuple(self.input_shape or ()))
        model = self._fitted.model
        start, end = (model.encode(self._checked(x[None] if one else x)) for x in (a, b))
        steps = np.linspace(0, 1, n_steps, dtype=start.dtype)[:, None]
        codes = (1 - steps) * start[:, None] + steps * end[:, None]
        path = model.decode(codes.reshape(-1, codes.shape[2]), self.n_features_in_)
        path = path.reshape(len(start), n_steps, -1)
        return path[0] if one else path

    @available_if(_has_bound)
    def score_samples(self, X: Any, n_draws: int = 16) -> np.ndarray:
        """Return a lower bound of the log likelihood of the rows of X.

        Only with ``penalty="variational"`` and a loss that is a likelihood.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, *input_shape)
            The data.
        n_draws : int, default=16
            Codes drawn for each row; the same noise for every row.

        Returns
        -------
        bound : ndarray of shape (n_samples,)
            The evidence lower bound in nats, in float64. Densities are in the units of X.

        Raises
        ------
        ValueError
            If `n_draws` is not an int >= 1.

        Notes
        -----
        A squared error is a normal likelihood and an absolute error a Laplace one, each with the
        scale that the training rows have at the end of the fit.
        """
        X = self._checked(X)
        _check_count("n_draws", n_draws)
        model = self._fitted.model

        def bound(rows):
            x = model.standardized(rows.astype(np.float64))
            found = _lower_bound(model, x, n_draws)
            if model.loss.identity:
                found -= (~torch.isnan(x)).sum(1, dtype=x.dtype) * np.log(model.scale)
            return found[:, None]

        return model.map_rows(bound, X, 1, np.float64)[:, 0]

    # -- scikit-learn's protocols ----------------------------------------------------------------

    def _checked(self, X):
        check_is_fitted(self)
        return check_rows(self, X, self._accepted())

    def _accepted(self):
        return accepted(declared(Loss, self.loss), declared(Architecture, self.architecture))

    def __sklearn_tags__(self):
        return self._accepted().enter(super().__sklearn_tags__())

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "_fitted" in state:
            state["_fitted"] = self._fitted.stored_with(self.callbacks).to_state()
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "_fitted" in state:
            self._fitted = Fitted.from_state(state["_fitted"])


def _check_count(name, value, least=1):
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f"The {name!r} parameter must be an int >= {least}, got {value!r}.")


def _mixture(codes, random):
    """Return a mixture of normal distributions fitted to codes."""
    spread = codes.var(axis=0).max()
    n_components = max(1, min(_MOST_COMPONENTS, len(codes) // _FEWEST_CODES))
    if spread < _ALL_THE_SAME:
        n_components = 1
    with limit_threads(1):
        floor = max(1e-6 * spread, _ALL_THE_SAME)
        mixture = GaussianMixture(n_components, reg_covar=floor, random_state=0)
        mixture.fit(codes if len(codes) > 1 else np.repeat(codes, 2, axis=0))
    return mixture.set_params(random_state=random)


def _lower_bound(model, x, n_draws):
    """Return the evidence lower bound of each of some standardized rows, in units of these."""
    module, penalty = model.module, model.penalty
    target = module.target(x)
    total = torch.zeros(len(x), dtype=x.dtype)
    batch = EncodedBatch.of(module.complete(x), module, None)
    normal = torch.Generator().manual_seed(0)
    for _ in range(n_draws):
        # The same for every row, whose bound then does not depend on the rows beside it.
        row = torch.randn(1, module.n_components, generator=normal, dtype=x.dtype)
        batch.noise = lambda *shape, row=row: row.expand(shape)
        eta = module.decode(penalty.draw(batch))
        total += model.loss.total_log_likelihood(eta, target, model.noise)
    return total / n_draws - penalty.divergence(batch)
