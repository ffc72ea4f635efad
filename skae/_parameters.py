"""The parameters that the estimators share, and their constraints."""

from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator

from ._compat import Interval, RegistryOptions, StrOptions
from ._strategies import constraints
from .architectures import ACTIVATIONS, Architecture
from .corruptions import Corruption
from .losses import Loss
from .optimizers import Optimizer
from .schedules import Schedule


class AutoencoderParameters(BaseEstimator):
    """The parameters of an autoencoder, what they may be, and what they default to."""

    _parameter_constraints: dict = {
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
            None,
        ],
        "architecture": constraints(Architecture),
        "hidden_layer_sizes": ["array-like"],
        "activation": [RegistryOptions(ACTIVATIONS)],
        "input_shape": [tuple, list, None],
        "corruption": [*constraints(Corruption), None],
        "loss": constraints(Loss),
        "init": [StrOptions({"pca", "random"})],
        "optimizer": constraints(Optimizer),
        "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "schedule": [*constraints(Schedule), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left"), None],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "callbacks": [list, tuple, None],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components: int | float | None = 2,
        *,
        architecture: str | Architecture = "dense",
        hidden_layer_sizes: tuple[int, ...] = (256, 128),
        activation: str = "silu",
        input_shape: tuple[int, ...] | None = None,
        corruption: str | Corruption | None = "residual",
        loss: str | Loss = "squared_error",
        init: str = "pca",
        optimizer: str | Optimizer = "adam",
        learning_rate: float | str = "auto",
        schedule: str | Schedule | None = "one_cycle",
        alpha: float = 0.0,
        gradient_clip: float | None = 1.0,
        batch_size: int | str | None = "auto",
        max_iter: int | str = "auto",
        tol: float = 1e-4,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 100,
        warm_start: bool = False,
        callbacks: list | None = None,
        device: str | torch.device = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.n_components = n_components
        self.architecture = architecture
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.input_shape = input_shape
        self.corruption = corruption
        self.loss = loss
        self.init = init
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.alpha = alpha
        self.gradient_clip = gradient_clip
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        loss = Loss.registry.get(self.loss) if isinstance(self.loss, str) else self.loss
        tags.input_tags.positive_only = getattr(loss, "positive_only", False)
        return tags
