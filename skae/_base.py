"""What the estimators share: the fit and the fitted state."""

import copy
import time
from numbers import Integral

import numpy as np
import torch

from . import _data, _init, _state
from ._averaging import GrowingAverage
from ._building import CHUNK, NetBuilder
from ._likelihood import mean_loss
from ._runtime import one_thread
from ._training import resolve_batch_size, resolve_max_iter

# Rows over which the mean Jacobian of the decoder is taken.
_JACOBIAN_ROWS = 256
# Training rows whose codes are kept to draw samples like them.
_KEPT_ROWS = 2000


class BaseAutoencoder(NetBuilder):
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
            self._resolve_training(resumed)
        n_samples = len(X)
        with one_thread():
            X, weight = _data.merge_rows(X, sample_weight)
            self.loss_function_.bind(X)
            X, totals = self.loss_function_.prepare(X)
            if totals is not None:
                weight = totals if weight is None else totals * weight
            if resumed:
                x = self._to_net(X)
                if not one_pass:
                    self._bind_corruption(x)
            else:
                self.mean_, self._scale, x = _data.centre_and_scale(X, weight)
                self._start(x, weight, min(n_samples, x.shape[1]))
            rows = _data.to_device(x, weight, self.net_.device)
            if one_pass:
                best = self._one_pass(rows, started)
            else:
                best = self._train(rows, resumed, started)
            self._finish(x, weight, best)
        return self

    def _start(self, x, weight, limit):
        """Choose the code's width and build the net at its start.

        `limit` is the number of components that PCA has at most.
        """
        n_components = self.n_components
        if n_components is None:
            # Rows that are there twice add no direction, and a weight of 2 must not either.
            n_components = min(limit, *x.shape)
        components = None
        # Drawn for either start, so that the same seed holds out the same rows.
        seed = int(self._generator.integers(np.iinfo(np.int32).max))
        if self.init == "pca" or not isinstance(n_components, Integral):
            kept = min(int(n_components), limit) if n_components >= 1 else float(n_components)
            # The padding of a shorter sequence is the mean.
            components = _init.pca_start(np.nan_to_num(x), weight, kept, seed)
            n_components = max(len(components), int(n_components))
        self.n_components_ = int(n_components)
        linear = None
        if self.architecture_.tied and self.n_components_ > limit and self.init == "pca":
            raise ValueError(
                f"n_components={self.n_components_} is more than PCA has, {limit}: a tied decoder "
                "cannot start as PCA with them. Pass Dense(tied=False) or fewer components."
            )
        if self.init == "pca":
            linear = _init.linear_start(components, self.n_components_, self._generator)
        elif self.architecture_.linear_path is True:
            linear = _init.random_start(x.shape[1], self.n_components_, self._generator)
        self.module_ = self._build_module(linear)
        if self.penalty_ is not None:
            self._measure_start(x, weight)
        self._bind_corruption(x)
        self.net_ = self._build_net()
        self._split_generator = copy.deepcopy(self._generator)

    def _bind_corruption(self, x):
        if self.corruption_ is not None:
            self.corruption_.bind(x, self._to_net)

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
        with self._seeded():
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
            self._take_weights(net.module_)
        elif valid is not None:
            net.module_.load_state_dict(self.module_.state_dict())
        return best

    def _one_pass(self, rows, started):
        """Train on every row once, at a constant rate, with the optimizer as it is.

        What predicts is the running mean of the weights, which the steps themselves do not use.
        """
        net = self.net_
        average = GrowingAverage(net.module_, self.module_, net.n_averaged_)
        if len(net.history) == 0:
            net.record_start(started, rows, None)
            started = time.perf_counter()
        net.notify("on_train_begin", X=rows.x, y=None)
        net.notify("on_epoch_begin", dataset_train=rows, dataset_valid=None)
        for group in net.optimizer_.param_groups:
            # The mean of a rate that rises to net.lr and falls again, as in fit.
            group["lr"] = net.lr / 2
        net.generator_ = self._torch_generator()
        size = resolve_batch_size(self.batch_size, len(rows.x))
        with self._seeded():
            figures = net.run_epoch(rows, size, average=average)
        net.record(started, **figures)
        net.end_epoch(rows, None)
        net.notify("on_train_end", X=rows.x, y=None)
        average.take_buffers()
        net.n_averaged_ = average.n_steps
        self._take_weights(average.module)
        return net.history[-1, "epoch"]

    def _finish(self, x, weight, best):
        self.best_iter_ = best
        self.history_ = [
            {key: value for key, value in row.items() if key != "batches"}
            for row in self.net_.history
        ]
        self.n_iter_ = self.history_[-1]["epoch"]
        row = self.history_[best]
        self.loss_ = row.get("valid_loss", row["train_loss"])
        self.components_ = self._mean_jacobian(x)
        self._remember(x, weight)

    def _remember(self, x, weight):
        """Keep what `sample` and `score_samples` need of the training rows."""
        p = None if weight is None else weight / weight.sum()
        some = np.random.default_rng(0).choice(len(x), min(len(x), _KEPT_ROWS), p is not None, p)
        rows = torch.from_numpy(x[np.sort(some)].astype(np.float64))
        if self.penalty_ is None or not self.penalty_.prior:
            with torch.no_grad():
                self._codes = self.module_.encode(rows).numpy() * self._scale
        elif self.penalty_.bound:
            self._noise = mean_loss(self.module_, self.loss_function_, self.penalty_, rows)

    def _take_weights(self, module):
        self.module_ = copy.deepcopy(module).cpu().double()

    def _mean_jacobian(self, x):
        """Return the derivative of the reconstruction by the code, averaged over rows."""
        rows = torch.from_numpy(_data.some_rows(x, _JACOBIAN_ROWS).astype(np.float64))
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

    # -- rows in and out -------------------------------------------------------------------------

    def _to_net(self, X):
        return ((X - self.mean_) / self._scale).astype(X.dtype)

    def _map(self, function, X, width=1):
        """Apply a function of tensors to X's rows, some at a time, in X's own float type."""
        out = np.empty((len(X), width), X.dtype)
        with torch.inference_mode():
            for start in range(0, len(X), CHUNK):
                part = slice(start, start + CHUNK)
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

        return self.loss_function_.restore(self._map(decode, Z, self.mean_.size))

    # -- scikit-learn's protocols ----------------------------------------------------------------

    def __sklearn_is_fitted__(self):
        return hasattr(self, "components_")

    def __getstate__(self):
        """Return the state as NumPy arrays and plain Python, free of any device."""
        state = dict(super().__getstate__())
        if "net_" in state:
            state["module_"] = _state.to_numpy(self.module_.state_dict())
            net = self.net_
            state["net_"] = {
                "optimizers": [_state.to_numpy(o.state_dict()) for o in net.optimizers()],
                "n_averaged": net.n_averaged_,
            }
            if net.n_averaged_:
                # module_ has the mean of the weights; the next step starts from the last ones.
                state["net_"]["weights"] = _state.to_numpy(net.module_.state_dict())
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "net_" not in state:
            return
        weights, of_net = _state.to_torch(state["module_"]), _state.to_torch(state["net_"])
        # Building draws random layers, which the weights replace: not from the fit's own stream.
        stream, self._generator = self._generator, np.random.default_rng(0)
        linear = (weights["E"], weights.get("D", weights["E"].T)) if "E" in weights else None
        self.module_ = self._build_module(linear)
        self.module_.load_state_dict(weights)
        self._generator = stream
        self.net_ = self._build_net()
        self.net_.n_averaged_ = of_net["n_averaged"]
        if "weights" in of_net:
            self.net_.module_.load_state_dict(of_net["weights"])
        for optimizer, its_state in zip(self.net_.optimizers(), of_net["optimizers"], strict=True):
            optimizer.load_state_dict(its_state)
        for row in state.get("history_", []):
            self.net_.history.new_epoch()
            for key, value in row.items():
                self.net_.history.record(key, value)
