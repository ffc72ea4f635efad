"""What the estimators share: parameters, constraints, the fit and the fitted state."""

import copy
import time
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state

from . import _data, _init
from ._compat import (
    Interval,
    RegistryOptions,
    StrOptions,
    _check_sample_weight,
    validate_data,
)
from ._strategies import Strategy
from ._training import Criterion, Net, one_thread, resolve_batch_size
from .architectures import ACTIVATIONS, Architecture, Autoencoder
from .losses import Head, Loss
from .optimizers import Optimizer
from .schedules import Schedule

# Rows that leave or enter the net at once outside of fit: what keeps its layers in the cache.
_CHUNK = 4096
# Rows over which the mean Jacobian of the decoder is taken.
_JACOBIAN_ROWS = 256


class BaseAutoencoder(BaseEstimator):
    """Parameters, fit and fitted state of an autoencoder.

    Think twice before adding something here: the transformer and the detector both carry it.
    """

    _parameter_constraints: dict = {
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
            None,
        ],
        "architecture": Architecture.constraints(),
        "hidden_layer_sizes": ["array-like"],
        "activation": [RegistryOptions(ACTIVATIONS)],
        "input_shape": [tuple, list, None],
        "loss": Loss.constraints(),
        "init": [StrOptions({"pca", "random"})],
        "optimizer": Optimizer.constraints(),
        "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "schedule": [*Schedule.constraints(), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left"), None],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
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
        loss: str | Loss = "squared_error",
        init: str = "pca",
        optimizer: str | Optimizer = "adam",
        learning_rate: float | str = "auto",
        schedule: str | Schedule | None = "one_cycle",
        alpha: float = 0.0,
        gradient_clip: float | None = 1.0,
        batch_size: int | str | None = "auto",
        max_iter: int = 200,
        tol: float = 1e-4,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 40,
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

    # -- fit -------------------------------------------------------------------------------------

    def _fit(self, X, sample_weight, *, one_pass=False):
        """Fit to X from the start, from the last fit, or with one pass more."""
        started = time.perf_counter()
        fitted = hasattr(self, "net_")
        resumed = fitted and (one_pass or self.warm_start)
        X, sample_weight = self._check_fit_input(X, sample_weight, reset=not resumed)
        if not resumed:
            self._resolve(X.shape[1])
        n_samples = len(X)
        with one_thread():
            X, weight = _data.merge_rows(X, sample_weight)
            self.loss_function_.bind(X)
            X, totals = self.loss_function_.prepare(X)
            if totals is not None:
                weight = totals if weight is None else totals * weight
            if resumed:
                x = self._to_net(X)
            else:
                self.mean_, self._scale, x = _data.centre_and_scale(X, weight)
                self._start(x, weight, n_samples)
            rows = _data.to_device(x, weight, self.net_.device)
            if one_pass:
                best = self._one_pass(rows, started)
            else:
                best = self._train(rows, resumed, started)
            self._finish(x, best)
        return self

    def _resolve(self, n_features):
        """Turn the parameters into the fitted strategies."""
        for name, width in [("hidden_layer_sizes", w) for w in self.hidden_layer_sizes] + [
            ("input_shape", w) for w in self.input_shape or ()
        ]:
            if not isinstance(width, Integral) or width < 1:
                raise ValueError(
                    f"The {name!r} parameter must hold ints >= 1, got {getattr(self, name)!r}."
                )
        self.architecture_ = Architecture.resolve(self.architecture)
        self.loss_function_ = Loss.resolve(self.loss)
        self.optimizer_ = Optimizer.resolve(self.optimizer)
        self.schedule_ = None if self.schedule is None else Schedule.resolve(self.schedule)
        if self.init == "pca" and not self.architecture_.linear_path:
            raise ValueError(
                "init='pca' needs an architecture with linear_path=True. Pass init='random' with "
                f"architecture={self.architecture_!r}."
            )
        seed = None
        if self.random_state is not None:
            seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        self._generator = np.random.default_rng(seed)

    def _start(self, x, weight, n_samples):
        """Choose the code's width and build the net at its start."""
        limit = min(n_samples, x.shape[1])
        n_components = limit if self.n_components is None else self.n_components
        components = None
        if self.init == "pca" or not isinstance(n_components, Integral):
            kept = min(int(n_components), limit) if n_components >= 1 else float(n_components)
            seed = int(self._generator.integers(np.iinfo(np.int32).max))
            components = _init.pca_start(x, weight, kept, seed)
            n_components = max(len(components), int(n_components))
        self.n_components_ = int(n_components)
        linear = None
        if self.init == "pca":
            linear = _init.linear_start(components, self.n_components_, self._generator)
        elif self.architecture_.linear_path:
            linear = _init.random_start(x.shape[1], self.n_components_, self._generator)
        self.module_ = self._build_module(linear)
        self.net_ = self._build_net()

    def _train(self, rows, resumed, started):
        """Train on all epochs; return the best one."""
        train, valid = rows, None
        if self.early_stopping:
            train_index, valid_index = _data.split_rows(
                len(rows.x), self.validation_fraction, self._generator
            )
            train, valid = (
                _data.Rows(*(None if t is None else t[index] for t in rows))
                for index in (train_index, valid_index)
            )
        net = self.net_
        if resumed:
            net.initialize_optimizer()
            net.initialize_history()
        # A single distinct row leaves nothing to learn beyond its mean.
        n_epochs = self.max_iter if len(train.x) else 0
        net.record_start(started, train if len(train.x) else rows, valid)
        if n_epochs == 0:
            return 0
        best = net.run(
            train,
            valid,
            n_epochs=n_epochs,
            batch_size=resolve_batch_size(self.batch_size, len(train.x)),
            schedule=self.schedule_,
            tol=self.tol,
            patience=self.n_iter_no_change,
            generator=self._torch_generator(),
        )
        if best > 0:
            self._take_weights()
        elif valid is not None:
            net.module_.load_state_dict(self.module_.state_dict())
        return best

    def _one_pass(self, rows, started):
        """Train on every row once, at a constant rate, with the optimizer as it is."""
        net = self.net_
        if len(net.history) == 0:
            net.record_start(started, rows, None)
            started = time.perf_counter()
        net.notify("on_train_begin", X=rows.x, y=None)
        net.notify("on_epoch_begin", dataset_train=rows, dataset_valid=None)
        for group in net.optimizer_.param_groups:
            group["lr"] = net.lr
        size = resolve_batch_size(self.batch_size, len(rows.x))
        net.record(started, train_loss=net.run_epoch(rows, size, self._torch_generator()))
        net.notify("on_epoch_end", dataset_train=rows, dataset_valid=None)
        net.notify("on_train_end", X=rows.x, y=None)
        self._take_weights()
        return net.history[-1, "epoch"]

    def _finish(self, x, best):
        self.best_iter_ = best
        self.history_ = [
            {key: value for key, value in row.items() if key != "batches"}
            for row in self.net_.history
        ]
        self.n_iter_ = self.history_[-1]["epoch"]
        row = self.history_[best]
        self.loss_ = row.get("valid_loss", row["train_loss"])
        self.components_ = self._mean_jacobian(x)

    def _take_weights(self):
        self.module_ = copy.deepcopy(self.net_.module_).cpu().double()

    def _torch_generator(self):
        seed = int(self._generator.integers(np.iinfo(np.int64).max))
        return torch.Generator().manual_seed(seed)

    def _mean_jacobian(self, x):
        """Return the derivative of the reconstruction by the code, averaged over rows."""
        rows = torch.from_numpy(x[:: -(-len(x) // _JACOBIAN_ROWS)].astype(np.float64))
        with torch.no_grad():
            z = self.module_.encode(rows)

            def slope(direction):
                _, tangent = torch.func.jvp(self._decode_to_data, (z,), (direction.expand_as(z),))
                return tangent.mean(0)

            directions = torch.eye(self.n_components_, dtype=z.dtype)
            return torch.stack([slope(d) for d in directions]).numpy() / self._scale

    def _decode_to_data(self, z):
        return self.module_.head.to_data(self.module_.decode(z))

    # -- the net ---------------------------------------------------------------------------------

    def _build_module(self, linear):
        """Build the module in float64, with random hidden layers."""
        f, g = self.architecture_.build(
            self.mean_.size,
            self.n_components_,
            tuple(int(width) for width in self.hidden_layer_sizes),
            self.activation,
            self._torch_generator(),
            self.init == "pca",
        )
        E, D = (None, None) if linear is None else map(_as_double, linear)
        head = Head(self.loss_function_, _as_double(self.mean_), self._scale)
        return Autoencoder(f, g, E, D, head)

    def _build_net(self):
        """Build the skorch net around a float32 copy of the module."""
        rate = self.learning_rate
        net = Net(
            copy.deepcopy(self.module_).float(),
            Criterion(self.loss_function_),
            optimizer=self.optimizer_,
            lr=self.optimizer_.default_learning_rate if rate == "auto" else float(rate),
            alpha=self.alpha,
            gradient_clip=self.gradient_clip,
            callbacks=clone(list(self.callbacks or ()), safe=False),
            device=resolve_device(self.device),
            verbose=int(self.verbose),
        )
        return net.initialize()

    # -- rows in and out -------------------------------------------------------------------------

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
        shape = None if self.input_shape is None else tuple(self.input_shape)
        ndim = getattr(X, "ndim", 2)
        if ndim > 2:
            if shape is None or tuple(X.shape[1:]) != shape:
                raise ValueError(
                    f"X has shape {tuple(X.shape)}: {type(self).__name__} takes a 2-D array, or "
                    f"samples of the shape given as input_shape (now {self.input_shape!r})."
                )
            X = X.reshape(len(X), -1)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=reset, **check_params)
        if reset and shape is not None and X.shape[1] != np.prod(shape):
            raise ValueError(
                f"X has {X.shape[1]} features, but input_shape={shape} has {np.prod(shape)}."
            )
        return X

    def _to_net(self, X):
        return ((X - self.mean_) / self._scale).astype(X.dtype)

    def _map(self, function, X, width):
        """Apply a function of tensors to X's rows, some at a time, in X's own float type."""
        out = np.empty((len(X), width), X.dtype)
        with torch.inference_mode():
            for start in range(0, len(X), _CHUNK):
                part = slice(start, start + _CHUNK)
                out[part] = function(X[part]).numpy()
        return out

    def _module_as(self, dtype):
        """Return the module in a float type; a copy where it is not float64."""
        return self.module_ if dtype == np.float64 else copy.deepcopy(self.module_).float()

    def _encode(self, X):
        module = self._module_as(X.dtype)
        X, _ = self.loss_function_.prepare(X)

        def encode(part):
            return module.encode(torch.from_numpy(self._to_net(part))) * self._scale

        return self._map(encode, X, self.n_components_)

    def _decode(self, Z):
        module = self._module_as(Z.dtype)

        def decode(part):
            return module.head.to_data(module.decode(torch.tensor(part) / self._scale))

        return self._map(decode, Z, self.mean_.size)

    # -- scikit-learn's protocols ----------------------------------------------------------------

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        loss = Loss.registry.get(self.loss) if isinstance(self.loss, str) else self.loss
        tags.input_tags.positive_only = getattr(loss, "positive_only", False)
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "module_")

    def __getstate__(self):
        """Return the state as NumPy arrays and plain Python, free of any device."""
        state = dict(super().__getstate__())
        if "net_" in state:
            state["module_"] = _to_numpy(self.module_.state_dict())
            state["net_"] = _to_numpy(state["net_"].optimizer_.state_dict())
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "net_" not in state:
            return
        weights, optimizer = _to_torch(state["module_"]), _to_torch(state["net_"])
        # Building draws random layers, which the weights replace: not from the fit's own stream.
        stream, self._generator = self._generator, np.random.default_rng(0)
        linear = (weights["E"], weights["D"]) if "E" in weights else None
        self.module_ = self._build_module(linear)
        self.module_.load_state_dict(weights)
        self._generator = stream
        self.net_ = self._build_net()
        self.net_.optimizer_.load_state_dict(optimizer)
        for row in self.history_:
            self.net_.history.new_epoch()
            for key, value in row.items():
                self.net_.history.record(key, value)


def resolve_device(device):
    """Return the name of a device that is there."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if str(device) == "auto":
        return "cuda" if cuda else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(
            f"The 'device' parameter must be 'auto', 'cpu', 'cuda', 'mps' or a torch.device, got "
            f"{device!r}."
        ) from error
    if (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        raise ValueError(f"device={device!r} is not available here; device='auto' takes what is.")
    return str(device)


def _as_double(array):
    # A copy: the array may be a read-only memory map, and the net's tensors are written to.
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float64)


def _to_numpy(value: Any):
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, dict):
        return {key: _to_numpy(item) for key, item in value.items()}
    return [_to_numpy(item) for item in value] if isinstance(value, list) else value


def _to_torch(value: Any):
    if isinstance(value, np.ndarray):
        return torch.tensor(np.asarray(value))
    if isinstance(value, dict):
        return {key: _to_torch(item) for key, item in value.items()}
    return [_to_torch(item) for item in value] if isinstance(value, list) else value
