"""Seconds of an epoch, beside the loop written by hand and three other ways to train the net."""

import copy
import importlib.util
import time
import warnings
from functools import cached_property

import numpy as np
import sklearn
import torch
from sklearn.neural_network import MLPRegressor
from skorch import NeuralNet

from skae import AutoencoderTransformer

from ..datasets import Unavailable
from ._data import images, low_rank
from ._engine import SPEED, Case, part
from ._reference import RATE, SAME_WORK, net_rows, start_module, torch_loop

# (rows, features): the code's width, the epochs of a repeat, and where the rows come from
SIZES = {
    (500, 10): (2, 40, low_rank),
    (5_000, 30): (8, 8, low_rank),
    (20_000, 784): (32, 2, lambda n_rows, _: images(n_rows)),
}
HIDDEN = [(128,), (256, 128)]
BATCHES = [32, 128, 512]


class Setting:
    """One net on some rows: each method trains it some epochs and returns their seconds."""

    def __init__(self, X, k, hidden, batch_size, n_epochs):
        self.X = X
        self.k = k
        self.hidden = hidden
        self.batch_size = min(batch_size, len(X))
        self.n_epochs = n_epochs

    @cached_property
    def x(self):
        return net_rows(self.X)

    @cached_property
    def module(self):
        return start_module(self.X, self.k, self.hidden)

    def loop(self, seed):
        module = copy.deepcopy(self.module)
        return torch_loop(module, self.x, self.batch_size, self.n_epochs, seed)[1]

    def _skae(self, seed, **params):
        model = AutoencoderTransformer(
            self.k,
            hidden_layer_sizes=self.hidden,
            batch_size=self.batch_size,
            max_iter=self.n_epochs,
            random_state=seed,
            **params,
        ).fit(self.X)
        # Row 0 is the start, with everything before the first step.
        return [row["duration"] for row in model.history_[1:]]

    def skae(self, seed):
        return self._skae(seed, **SAME_WORK)

    def skae_defaults(self, seed):
        return self._skae(seed)

    def skorch(self, seed):
        torch.manual_seed(seed)
        net = NeuralNet(
            copy.deepcopy(self.module),
            torch.nn.MSELoss,
            optimizer=torch.optim.Adam,
            lr=RATE,
            batch_size=self.batch_size,
            max_epochs=self.n_epochs,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
        )
        net.fit(self.x, self.x)
        return net.history[:, "dur"]

    def mlp(self, seed):
        hidden = (*self.hidden, self.k, *self.hidden[::-1])
        model = MLPRegressor(
            hidden_layer_sizes=hidden, batch_size=self.batch_size, random_state=seed
        )
        x, durations = self.x.numpy(), []
        # What partial_fit checks at every call, fit checks once.
        with sklearn.config_context(assume_finite=True):
            for _ in range(self.n_epochs):
                began = time.perf_counter()
                model.partial_fit(x, x)
                durations.append(time.perf_counter() - began)
        return durations

    def pyod(self, seed):
        if importlib.util.find_spec("pyod") is None:
            raise Unavailable("the package pyod is not installed")
        from pyod.models.auto_encoder import AutoEncoder

        class Timed(AutoEncoder):
            def train(self, loader):
                self.times = [time.perf_counter()]
                super().train(loader)

            def epoch_update(self):
                self.times.append(time.perf_counter())

        model = Timed(
            hidden_neuron_list=[*self.hidden, self.k],
            batch_size=self.batch_size,
            epoch_num=self.n_epochs,
            random_state=seed,
            verbose=0,
        )
        with warnings.catch_warnings():
            # it counts its own scores' quantile, which a single epoch may leave constant
            warnings.simplefilter("ignore", RuntimeWarning)
            model.fit(self.x.numpy())
        return np.diff(model.times)

    def peers(self):
        """Return every way to train, by its name."""
        ways = {
            "torch loop": self.loop,
            "skae": self.skae,
            "skae (defaults)": self.skae_defaults,
            "skorch": self.skorch,
            "MLPRegressor": self.mlp,
            "PyOD AutoEncoder": self.pyod,
        }
        return {name: _median(way) for name, way in ways.items()}


def _median(way):
    return lambda seed: {"seconds": float(np.median(way(seed)))}


@part(SPEED, "epoch")
def epoch():
    # No figure may hold an import.
    for warm_up in Setting(low_rank(100, 4), 2, (8,), 32, 1).peers().values():
        try:
            warm_up(0)
        except Unavailable:
            continue  # told of by the first case
    for (n_rows, n_features), (k, n_epochs, make) in SIZES.items():
        X = make(n_rows, n_features)
        for hidden in HIDDEN:
            for batch_size in BATCHES:
                setting = Setting(X, k, hidden, batch_size, n_epochs)
                name = f"{n_rows:,} x {n_features}, hidden {hidden}, batch {batch_size}"
                yield Case(name, setting.peers(), n_rows, n_features, k)
