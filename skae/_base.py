"""What the estimators share: the fit and the fitted state."""

import copy
import time
from numbers import Integral
from weakref import WeakKeyDictionary

import numpy as np
import torch
from scipy import sparse

from . import _data, _init, _state
from ._averaging import GrowingAverage
from ._building import NetBuilder
from ._distributed import together, world
from ._likelihood import noise_of
from ._merging import merge_rows, split_rows
from ._runtime import one_thread
from ._training import resolve_batch_size, resolve_max_iter

# Rows over which the mean Jacobian of the decoder is taken.
_JACOBIAN_ROWS = 256
# Entries of such rows at most: wide ones are fewer.
_MOST_ENTRIES = 2**21
# Training rows whose codes are kept to draw samples like them.
_KEPT_ROWS = 2000
# Modules in float32, with the state of those that they are copies of. An estimator's own attributes
# must not change when it predicts.
_SINGLES: WeakKeyDictionary = WeakKeyDictionary()


class BaseAutoencoder(NetBuilder):
    """Fit and fitted state of an autoencoder.

    Think twice before adding something here: the transformer and the detector both carry it.
    """

    # -- fit -------------------------------------------------------------------------------------

    @together
    def _fit(self, X, sample_weight, *, one_pass=False):
        """Fit to X from the start, from the last fit, or with one pass more."""
        started = time.perf_counter()
        resumed = self.__sklearn_is_fitted__() and (one_pass or self.warm_start)
        self._check_sizes()
        X, sample_weight = self._check_fit_input(X, sample_weight, reset=not resumed)
        world().check_input(self, X, sample_weight, resumed)
        if not resumed:
            # A fit that fails must not leave half of itself beside the last one.
            vars(self).pop("components_", None)
            self._resolve()
        if not (resumed and one_pass):
            self._resolve_training(resumed)
        with one_thread():
            index, weight = merge_rows(X, sample_weight)
            # What the loss learns of rows must not depend on their order, where a copy is cheap.
            cheap = sparse.issparse(X) or _data.is_small(X)
            self.loss_function_.bind(X[index] if cheap else X)
            table = _data.Table(X, index, weight, self.loss_function_)
            self._partial = self.architecture_.padded or table.missing
            if resumed:
                table.place(self.mean_, self._scale)
                if not one_pass:
                    self._bind_corruption(table)
            else:
                self.mean_, self._scale = table.centre()
                self._start(table, min(X.shape[0], table.n_features))
            world().check_net(self.net_)
            if one_pass:
                best = self._one_pass(table, started)
            else:
                best = self._train(table, resumed, started)
            self._finish(table, best)
        return self

    def _start(self, table, limit):
        """Choose the code's width and build the net at its start.

        `limit` is the number of components that PCA has at most.
        """
        n_components = self.n_components
        if n_components is None:
            # Rows that are there twice add no direction, and a weight of 2 must not either.
            n_components = min(limit, len(table), table.n_features)
        components = None
        # Drawn for either start, so that the same seed holds out the same rows.
        seed = int(self._generator.integers(np.iinfo(np.int32).max))
        if self.init == "pca" or not isinstance(n_components, Integral):
            kept = min(int(n_components), limit) if n_components >= 1 else float(n_components)
            components = world().first(
                lambda: _init.pca_start(table, kept, seed, self.architecture_.padded)
            )
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
            linear = _init.random_start(table.n_features, self.n_components_, self._generator)
        self.module_ = self._build_module(linear)
        if self.penalty_ is not None:
            self._measure_start(table)
        world().broadcast(self.module_)
        self._bind_corruption(table)
        self.net_ = self._build_net()
        self._split_generator = copy.deepcopy(self._generator)

    def _bind_corruption(self, table):
        if self.corruption_ is not None:
            self.corruption_.bind(table.n_features, table.extremes, self._to_net)

    def _train(self, table, resumed, started):
        """Train on all epochs; return the best one."""
        train, valid = table, None
        if resumed:
            self.net_ = self._build_net()
        if self.early_stopping:
            # A warm start holds out the same of the same rows: those it has not been trained on.
            generator = copy.deepcopy(self._split_generator) if resumed else self._generator
            indices = split_rows(len(table), self.validation_fraction, generator)
            train, valid = map(table.take, indices)
        net = self.net_
        for part in (table,) if valid is None else (train, valid):
            part.hold(net.device)
        if len(train) == 0:
            # A single distinct row leaves nothing to learn beyond its mean.
            net.record_start(started, table, valid)
            return 0
        net.record_start(started, train, valid)
        batch_size = resolve_batch_size(self.batch_size, len(train))
        n_epochs = resolve_max_iter(self.max_iter, _data.n_batches(len(train), batch_size))
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

    def _one_pass(self, table, started):
        """Train on every row once, at a constant rate, with the optimizer as it is.

        What predicts is the running mean of the weights, which the steps themselves do not use.
        """
        net = self.net_
        net.criterion_.partial = self._partial
        average = GrowingAverage(net.module_, net.flat_, self.module_, net.n_averaged_)
        table.hold(net.device)
        if len(net.history) == 0:
            net.record_start(started, table, None)
            started = time.perf_counter()
        net.notify("on_train_begin", X=table, y=None)
        net.notify("on_epoch_begin", dataset_train=table, dataset_valid=None)
        for group in net.optimizer_.param_groups:
            # The mean of a rate that rises to net.lr and falls again, as in fit.
            group["lr"] = net.lr / 2
        net.generator_ = self._torch_generator()
        size = resolve_batch_size(self.batch_size, len(table))
        with self._seeded():
            figures = net.run_epoch(table, size, average=average)
        net.record(started, **figures)
        net.end_epoch(table, None)
        net.notify("on_train_end", X=table, y=None)
        average.take_buffers()
        net.n_averaged_ = average.n_steps
        self._take_weights(average.module)
        return net.history[-1, "epoch"]

    def _finish(self, table, best):
        self.best_iter_ = best
        self.history_ = [
            {key: value for key, value in row.items() if key != "batches"}
            for row in self.net_.history
        ]
        self.n_iter_ = self.history_[-1]["epoch"]
        row = self.history_[best]
        self.loss_ = row.get("valid_loss", row["train_loss"])
        self.components_ = self._mean_jacobian(table)
        self._remember(table)

    def _remember(self, table):
        """Keep what `sample` and `score_samples` need of the training rows."""
        n_rows, weight = len(table), table.weight
        p = None if weight is None else weight / weight.sum()
        kept = min(n_rows, _KEPT_ROWS, max(1, _MOST_ENTRIES // table.n_features))
        some = np.random.default_rng(0).choice(n_rows, kept, p is not None, p)
        rows = self._completed(table.array(np.sort(some)))
        if self.penalty_ is None or not self.penalty_.prior:
            with torch.no_grad():
                self._codes = self.module_.encode(rows).numpy() * self._scale
        elif self.penalty_.bound:
            self._noise = noise_of(self.module_, self.loss_function_, self.penalty_, rows)

    def _take_weights(self, module):
        self.module_ = copy.deepcopy(module).cpu().double()
        # The net's own are in float32: far from zero, coarser than the spread around them.
        self.module_.head.mean[:] = _state.as_double(self.mean_)

    def _completed(self, x):
        return self.module_.complete(torch.from_numpy(x.astype(np.float64)))

    def _mean_jacobian(self, table):
        """Return the derivative of the reconstruction by the code, averaged over rows."""
        n_rows = min(_JACOBIAN_ROWS, max(1, _MOST_ENTRIES // table.n_features))
        with torch.no_grad():
            z = self.module_.encode(self._completed(table.some(n_rows).array()))

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
        x = X.astype(np.float64, copy=False)
        x = np.subtract(x, self.mean_, out=None if x is X else x)
        x /= self._scale
        return x.astype(X.dtype, copy=False)

    def _map(self, function, X, width, dtype=None):
        """Apply a function of dense rows to X's rows, some at a time, in X's own float type."""
        out = np.empty((X.shape[0], width), dtype or _data.float_type(X))
        with torch.inference_mode():
            for part in _data.cached_blocks(X.shape[0], max(X.shape[1], width)):
                out[part] = function(_data.dense_rows(X, part))
        return out

    def _module_as(self, dtype):
        """Return the module in a float type."""
        module = self.module_
        if dtype == np.float64:
            return module
        # A copy takes longer than a thousand rows: it is kept as long as the weights are the same.
        tensors = [*module.parameters(), *module.buffers()]
        state = [(id(tensor), tensor._version) for tensor in tensors]
        kept, single = _SINGLES.get(module, (None, None))
        if kept != state:
            single = copy.deepcopy(module).float()
            _SINGLES[module] = state, single
        return single

    def _encode(self, X):
        module = self._module_as(_data.float_type(X))

        def encode(rows):
            x = self._to_net(self.loss_function_.prepare(rows)[0])
            code = module.encode(module.complete(torch.from_numpy(x)))
            return code.numpy() * np.asarray(self._scale, x.dtype)

        return self._map(encode, X, self.n_components_)

    def _decode(self, Z):
        module = self._module_as(Z.dtype)

        def decode(codes):
            eta = module.decode(torch.tensor(codes) / self._scale)
            return self.loss_function_.restore(module.head.to_data(eta).numpy())

        return self._map(decode, Z, self.n_features_in_)

    def _rebuild(self, rows):
        """Return the reconstruction of some dense rows."""
        _, totals = self.loss_function_.prepare(rows)
        rebuilt = self._decode(self._encode(rows))
        if self.architecture_.padded:
            rebuilt[np.isnan(rows)] = np.nan
        return rebuilt if totals is None else rebuilt * totals[:, None]

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
        # The device of the fit may not be there.
        self.net_ = self._build_net(_state.device_or_cpu(self.device))
        self.net_.n_averaged_ = of_net["n_averaged"]
        if "weights" in of_net:
            self.net_.module_.load_state_dict(of_net["weights"])
        for optimizer, its_state in zip(self.net_.optimizers(), of_net["optimizers"], strict=True):
            optimizer.load_state_dict(its_state)
        for row in state.get("history_", []):
            self.net_.history.new_epoch()
            for key, value in row.items():
                self.net_.history.record(key, value)
