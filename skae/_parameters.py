"""The parameters that the estimators share, their constraints, and the checks of their input."""

import math
from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from ._compat import (
    Interval,
    RegistryOptions,
    StrOptions,
    _check_sample_weight,
    validate_data,
)
from ._data import n_batches
from ._distributed import world
from ._inputs import as_array_like, keeps_type, one_entry_each
from ._strategies import constraints, kind_of, resolve
from ._training import resolve_batch_size
from .architectures import ACTIVATIONS, Architecture
from .architectures._custom import as_architecture
from .corruptions import Corruption
from .losses import Loss
from .optimizers import Optimizer
from .penalties import Penalty
from .schedules import Schedule
from .scorings import Scoring

# What max_iter="auto" aims at: a net that has learnt the bulk of the rows and not the others.
_STEPS, _MOST_EPOCHS = 150, 30
# learning_rate="auto", as a multiple of the optimizer's own: there are few steps to take.
_RATE = 4.0


class AutoencoderParameters(BaseEstimator):
    """The parameters of an autoencoder, what they may be, and what X may be beside them."""

    _parameter_constraints: dict = {
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
            None,
        ],
        # also what stands for one: an nn.Module class, or a pair of modules
        "architecture": [*constraints(Architecture), type, tuple],
        "hidden_layer_sizes": ["array-like", StrOptions({"auto"})],
        "activation": [RegistryOptions(ACTIVATIONS)],
        "input_shape": [tuple, list, None],
        "penalty": [*constraints(Penalty), None],
        "corruption": [*constraints(Corruption), None],
        "loss": constraints(Loss),
        "init": [StrOptions({"pca", "random"})],
        "optimizer": constraints(Optimizer),
        "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "schedule": [*constraints(Schedule), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
        "trim": [Interval(Real, 0, 1, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left"), None],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "callbacks": [list, tuple, None],
        "device": [str, torch.device],
        "distributed": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components: int | float | None = 2,
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
        device: str | torch.device = "auto",
        distributed: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
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
        self.device = device
        self.distributed = distributed
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        loss = kind_of(Loss, self.loss)
        tags.input_tags.positive_only = getattr(loss, "positive_only", False)
        tags.input_tags.sparse = self._takes_sparse()
        tags.input_tags.allow_nan = self._takes_missing()
        return tags

    def _new_generator(self):
        """Return a generator of its own, seeded by `random_state` or by the system."""
        seed = None
        if self.random_state is not None:
            seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        return np.random.default_rng(world().seed(seed))

    def _check_sizes(self):
        """Check what scikit-learn's constraints cannot: the entries of sequences."""
        sizes = () if isinstance(self.hidden_layer_sizes, str) else self.hidden_layer_sizes
        for name, width in [("hidden_layer_sizes", w) for w in sizes] + [
            ("input_shape", w) for w in self.input_shape or ()
        ]:
            if not isinstance(width, Integral) or width < 1:
                raise ValueError(
                    f"The {name!r} parameter must hold ints >= 1, got {getattr(self, name)!r}."
                )

    def _new_architecture(self):
        """Return a fresh, validated architecture."""
        return resolve(Architecture, as_architecture(self.architecture))

    def _takes_sparse(self):
        """Return whether X may be sparse: not where it has sequences with ends, or tokens."""
        discrete = getattr(kind_of(Loss, self.loss), "discrete", False)
        return not self._takes_padding() and not discrete

    def _takes_missing(self):
        """Return whether any entries of X may be NaN."""
        whole = getattr(kind_of(Loss, self.loss), "whole_rows", False)
        return not self._takes_padding() and not whole

    def _takes_padding(self):
        """Return whether rows may end in NaN."""
        return getattr(kind_of(Architecture, self.architecture), "padded", False)

    def _check_fit_input(self, X, sample_weight, reset):
        X = self._check_rows(X, reset=reset, ensure_min_samples=2)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
            if not sample_weight.any():
                raise ValueError(
                    "Sample weights must contain at least one non-zero number, but all are zero."
                )
        return X, sample_weight

    def _check_rows(self, X, reset=False, **check_params):
        """Validate X, which may have the samples' shape, and return it 2-D."""
        X = as_array_like(X)
        shape = None if self.input_shape is None else tuple(self.input_shape)
        ndim = getattr(X, "ndim", 2)
        if ndim > 2:
            if shape is None or tuple(X.shape[1:]) != shape:
                raise ValueError(
                    f"X has shape {tuple(X.shape)}: {type(self).__name__} takes a 2-D array, or "
                    f"samples of the shape given as input_shape (now {self.input_shape!r})."
                )
            X = X.reshape(len(X), -1)
        gaps = self._takes_missing() or self._takes_padding()
        X = validate_data(
            self,
            X,
            accept_sparse="csr" if self._takes_sparse() else False,
            dtype=None if keeps_type(X) else [np.float64, np.float32],
            reset=reset,
            ensure_all_finite="allow-nan" if gaps else True,
            **check_params,
        )
        if reset and shape is not None and X.shape[1] != np.prod(shape):
            raise ValueError(
                f"X has {X.shape[1]} features, but input_shape={shape} has {np.prod(shape)}."
            )
        if self._takes_padding():
            _check_padding(X, shape or (X.shape[1],))
        return one_entry_each(X) if sparse.issparse(X) else X


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


class DetectorParameters(AutoencoderParameters):
    """What the detector takes beyond that, with its own defaults."""

    _parameter_constraints: dict = {
        **AutoencoderParameters._parameter_constraints,
        "n_components": [
            StrOptions({"auto"}),
            *AutoencoderParameters._parameter_constraints["n_components"],
        ],
        "scoring": constraints(Scoring),
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int | float | str | None = "auto",
        *,
        scoring: str | Scoring = "mahalanobis",
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
        device: str | torch.device = "auto",
        distributed: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        super().__init__(
            n_components,
            architecture=architecture,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            input_shape=input_shape,
            penalty=penalty,
            corruption=corruption,
            loss=loss,
            init=init,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            alpha=alpha,
            gradient_clip=gradient_clip,
            trim=trim,
            batch_size=batch_size,
            max_iter=max_iter,
            tol=tol,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
            callbacks=callbacks,
            device=device,
            distributed=distributed,
            random_state=random_state,
            verbose=verbose,
        )
        self.scoring = scoring
        self.contamination = contamination
        self.n_folds = n_folds

    def _takes_sparse(self):
        return False

    def _takes_missing(self):
        # What a row has not, its score leaves out; but a sequence's end is no entry to complete.
        whole = getattr(kind_of(Loss, self.loss), "whole_rows", False)
        return not super()._takes_padding() and not whole

    def _takes_padding(self):
        return False

    def _net_params(self, n_rows):
        """Return the parameters of a net that trains on some rows."""
        own = {"scoring", "contamination", "n_folds", "random_state"}
        params = {k: v for k, v in self.get_params(deep=False).items() if k not in own}
        if isinstance(self.hidden_layer_sizes, str):
            sizes = self._new_architecture().default_sizes
            params["hidden_layer_sizes"] = tuple(width // 2 for width in sizes)
        if self.n_components == "auto":
            params["n_components"] = max(1, round(math.sqrt(self.n_features_in_)))
        if self.learning_rate == "auto":
            rate = resolve(Optimizer, self.optimizer).default_learning_rate
            params["learning_rate"] = _RATE * self._new_architecture().rate * rate
        if self.max_iter == "auto":
            size = resolve_batch_size(self.batch_size, n_rows)
            params["max_iter"] = min(_MOST_EPOCHS, math.ceil(_STEPS / n_batches(n_rows, size)))
        return params
