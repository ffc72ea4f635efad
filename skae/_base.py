"""What the estimators share: the fit and the fitted state."""

import copy
import time
from numbers import Integral

import numpy as np
import torch
from sklearn.base import clone

from . import _data, _init, _state
from ._parameters import AutoencoderParameters
from ._strategies import resolve
from ._training import Criterion, Net, one_thread, resolve_batch_size, resolve_max_iter
from .architectures import Architecture, Autoencoder
from .corruptions import Corruption
from .losses import Head, Loss
from .optimizers import Optimizer
from .schedules import Schedule

# Rows that leave or enter the net at once outside of fit: what keeps its layers in the cache.
_CHUNK = 4096
# Rows over which the mean Jacobian of the decoder is taken.
_JACOBIAN_ROWS = 256


class BaseAutoencoder(AutoencoderParameters):
    """Fit and fitted state of an autoencoder.

    Think twice before adding something here: the transformer and the detector both carry it.
    """

    # -- fit -------------------------------------------------------------------------------------

    def _fit(self, X, sample_weight, *, one_pass=False):
        """Fit to X from the start, from the last fit, or with one pass more."""
        started = time.perf_counter()
        resumed = self.__sklearn_is_fitted__() and (one_pass or self.warm_start)
        self._check_sizes()
        X, sample_weight = self._check_fit_input(X, sample_weight, reset=not resumed)
        if not resumed:
            # A fit that fails must not leave half of itself beside the last one.
            vars(self).pop("components_", None)
            self._resolve()
        if not (resumed and one_pass):
            self._resolve_training()
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

    def _resolve_training(self):
        """Turn the parameters that a warm start may change into strategies."""
        self.corruption_ = None if self.corruption is None else resolve(Corruption, self.corruption)
        self.optimizer_ = resolve(Optimizer, self.optimizer)
        self.schedule_ = None if self.schedule is None else resolve(Schedule, self.schedule)

    def _resolve(self):
        """Turn the parameters that decide what the net is into strategies and a seed."""
        self.architecture_ = resolve(Architecture, self.architecture)
        self.loss_function_ = resolve(Loss, self.loss)
        if self.init == "pca" and not self.architecture_.linear_path:
            raise ValueError(
                "init='pca' needs an architecture with linear_path=True. Pass init='random' with "
                f"architecture={self.architecture_!r}."
            )
        self._generator = self._new_generator()

    def _start(self, x, weight, n_samples):
        """Choose the code's width and build the net at its start."""
        limit = min(n_samples, x.shape[1])
        n_components = self.n_components
        if n_components is None:
            # Rows that are there twice add no direction, and a weight of 2 must not either.
            n_components = min(x.shape)
        components = None
        # Drawn for either start, so that the same seed holds out the same rows.
        seed = int(self._generator.integers(np.iinfo(np.int32).max))
        if self.init == "pca" or not isinstance(n_components, Integral):
            kept = min(int(n_components), limit) if n_components >= 1 else float(n_components)
            components = _init.pca_start(x, weight, kept, seed)
            n_components = max(len(components), int(n_components))
        self.n_components_ = int(n_components)
        linear = None
        if self.init == "pca":
            linear = _init.linear_start(components, self.n_components_, self._generator)
        elif self.architecture_.linear_path is True:
            linear = _init.random_start(x.shape[1], self.n_components_, self._generator)
        self.module_ = self._build_module(linear)
        self.net_ = self._build_net()
        self._split_generator = copy.deepcopy(self._generator)

    def _train(self, rows, resumed, started):
        """Train on all epochs; return the best one."""
        train, valid = rows, None
        if resumed:
            self.net_ = self._build_net()
        if self.early_stopping:
            # A warm start holds out the same of the same rows: those it has not been trained on.
            generator = copy.deepcopy(self._split_generator) if resumed else self._generator
            indices = _data.split_rows(len(rows.x), self.validation_fraction, generator)
            train, valid = map(rows.take, indices)
        net = self.net_
        if len(train.x) == 0:
            # A single distinct row leaves nothing to learn beyond its mean.
            net.record_start(started, rows, valid)
            return 0
        net.record_start(started, train, valid)
        batch_size = resolve_batch_size(self.batch_size, len(train.x))
        n_epochs = resolve_max_iter(self.max_iter, _data.n_batches(len(train.x), batch_size))
        if n_epochs == 0:
            return 0
        net.generator_ = self._torch_generator()
        best = net.run(
            train,
            valid,
            n_epochs=n_epochs,
            batch_size=batch_size,
            schedule=self.schedule_,
            tol=self.tol,
            patience=self.n_iter_no_change,
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
        net.generator_ = self._torch_generator()
        size = resolve_batch_size(self.batch_size, len(rows.x))
        net.record(started, train_loss=net.run_epoch(rows, size))
        net.end_epoch(rows, None)
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
            # torch.func.jvp warns of its own use of torch.jit.script
            _, tangent = torch.autograd.functional.jvp(
                self._decode_to_data, z, direction.expand_as(z)
            )
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
        E, D = (None, None) if linear is None else map(_state.as_double, linear)
        head = Head(self.loss_function_, _state.as_double(self.mean_), self._scale)
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
            trim=self.trim,
            corruption=self.corruption_,
            callbacks=clone(list(self.callbacks or ()), safe=False),
            device=_state.resolve_device(self.device),
            verbose=int(self.verbose),
        )
        return net.initialize()

    # -- rows in and out -------------------------------------------------------------------------

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

    def __sklearn_is_fitted__(self):
        return hasattr(self, "components_")

    def __getstate__(self):
        """Return the state as NumPy arrays and plain Python, free of any device."""
        state = dict(super().__getstate__())
        if "net_" in state:
            state["module_"] = _state.to_numpy(self.module_.state_dict())
            state["net_"] = _state.to_numpy(state["net_"].optimizer_.state_dict())
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "net_" not in state:
            return
        weights, optimizer = _state.to_torch(state["module_"]), _state.to_torch(state["net_"])
        # Building draws random layers, which the weights replace: not from the fit's own stream.
        stream, self._generator = self._generator, np.random.default_rng(0)
        linear = (weights["E"], weights["D"]) if "E" in weights else None
        self.module_ = self._build_module(linear)
        self.module_.load_state_dict(weights)
        self._generator = stream
        self.net_ = self._build_net()
        self.net_.optimizer_.load_state_dict(optimizer)
        for row in state.get("history_", []):
            self.net_.history.new_epoch()
            for key, value in row.items():
                self.net_.history.record(key, value)
