"""Fits that tests/test_distributed.py runs in several processes and compares with one process."""

import contextlib
import io
import os
import pickle
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.architectures import Dense

# Odd, so that batches and held-out rows cannot be halved.
X = load_digits().data[:301] / 16
WEIGHT = np.random.default_rng(0).integers(1, 4, len(X)).astype(float)
SETTINGS = {
    "n_components": 3,
    "hidden_layer_sizes": (16,),
    "max_iter": 4,
    "batch_size": 45,
    "random_state": 0,
}


class WithUnusedWeights(nn.Module):
    """A linear autoencoder with weights that take no part in its loss."""

    def __init__(self, n_features, n_components):
        super().__init__()
        self.encode = nn.Linear(n_features, n_components)
        self.decode = nn.Linear(n_components, n_features)
        self.unused = nn.Linear(2, 2)


# Each as one process would fit it, to rounding. Where gradients vanish, as they do in first layers
# at the PCA start without noise, Adam makes a step of the rounding itself: hence the momentum.
CASES = {
    "clean": {"corruption": None, "optimizer": "momentum"},
    "default": {},
    "masking": {"corruption": "masking"},
    "weighted": {"sample_weight": WEIGHT, "early_stopping": False},
    "trimmed": {"trim": 0.2, "sample_weight": WEIGHT, "early_stopping": False},
    "variational": {"penalty": "variational"},
    "ordered": {"penalty": "ordered"},
    "plateau": {"schedule": "plateau", "init": "random", "learning_rate": 1e-3},
    "unused weights": {"architecture": WithUnusedWeights, "init": "random"},
    "all rows": {"batch_size": None, "early_stopping": False},
}
# What the processes refuse together, and the words that say why.
REFUSED = {
    "mmd": ({"penalty": "mmd"}, "penalty=MMD"),
    "batch norm": ({"architecture": Dense(norm="batch")}, "batch normalisation"),
    "one row": ({"batch_size": 1}, "A batch of 1 rows"),
    "diverged": ({"learning_rate": 1e6, "gradient_clip": None}, "diverged"),
}


class Watch(Callback):
    """Keep each batch, what the net made of it, and the gradient of the first step."""

    seen, made, gradient = None, None, None

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        inputs, _ = batch
        self.seen = [*(self.seen or []), inputs["x"].numpy().copy()]

    def on_batch_end(self, net, y_pred=None, training=False, **kwargs):
        if training:
            self.made = [*(self.made or []), y_pred.numpy().copy()]

    def on_grad_computed(self, net, named_parameters, **kwargs):
        if self.gradient is None:
            self.gradient = np.concatenate([p.grad.numpy().ravel() for _, p in named_parameters])


class Raise(Callback):
    """Fail in the second epoch."""

    def on_epoch_end(self, net, **kwargs):
        if net.history[-1, "epoch"] == 2:
            raise OSError("the disk is full")


class Fail(Callback):
    """Fail in one of several ways, in the middle of the second epoch of the second process."""

    def __init__(self, how):
        self.how = how

    def on_batch_end(self, net, training=False, **kwargs):
        if training and net.history[-1, "epoch"] == 2 and os.environ["RANK"] == "1":
            if self.how == "exits":
                os._exit(7)
            if self.how == "freezes":
                os.kill(os.getpid(), signal.SIGSTOP)
            raise OSError("the disk is full")


def fit(distributed, sample_weight=None, **settings):
    estimator = AutoencoderTransformer(**SETTINGS | settings, distributed=distributed)
    return estimator.fit(X, sample_weight=sample_weight)


def fit_all(distributed):
    """Return {name: fitted estimator}, and what a callback saw."""
    fits = {name: fit(distributed, **settings) for name, settings in CASES.items()}
    watch = Watch()
    fit(distributed, callbacks=[watch])
    fits["warm start"] = pickle.loads(pickle.dumps(fits["clean"])).set_params(warm_start=True)
    fits["warm start"].fit(X)
    fits["chunks"] = AutoencoderTransformer(**SETTINGS, distributed=distributed)
    for chunk in (X[:151], X[151:]):
        fits["chunks"].partial_fit(chunk)
    detector = AutoencoderAnomalyDetector(max_iter=2, random_state=0, distributed=distributed)
    fits["detector"] = detector.fit(X)
    return fits, {"batches": watch.seen, "made": watch.made, "gradient": watch.gradient}


def failure(function, *args, **kwargs):
    """Return the type and the text of the error that a call ends by."""
    try:
        function(*args, **kwargs)
    except Exception as error:
        return type(error).__name__, str(error)
    return None


def fail_all(rank):
    """Return {name: failure}: of this process alone, of all, of what differs."""
    failures = {name: failure(fit, True, **settings) for name, (settings, _) in REFUSED.items()}
    net = AutoencoderTransformer(**SETTINGS, distributed=True)
    other = X.copy()
    other[7, 20] += rank
    detector = AutoencoderAnomalyDetector(max_iter=1, distributed=True, warm_start=True).fit(X)
    if rank:
        detector = clone(detector)
    failures |= {
        "other last fit": failure(detector.fit, X),
        "callback": failure(fit, True, callbacks=[Raise()] if rank else None),
        "other values": failure(net.fit, other),
        "other rows": failure(net.fit, X[rank:]),
        "other alpha": failure(fit, True, alpha=0.1 * rank),
        "other weights": failure(fit, True, sample_weight=WEIGHT if rank else None),
    }
    return failures


def main(folder):
    rank = int(os.environ["RANK"])
    fits, watched = fit_all(True)
    failures = fail_all(rank)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        # after failures, with nobody's seed and a callback of one process that ends the fit
        stop = EarlyStopping(monitor="epoch", patience=2) if rank else EarlyStopping(patience=99)
        stop.monitor = "epoch" if rank else "train_loss"
        unseeded = AutoencoderAnomalyDetector(max_iter=1, distributed=True)
        fits["unseeded detector"] = unseeded.fit(X)
        fits["unseeded"] = fit(True, random_state=None, verbose=2, callbacks=[stop])
    result = {
        "fits": fits,
        "watched": watched,
        "failures": failures,
        "printed": printed.getvalue(),
        "codes": fits["default"].transform(X),
        "predicted": fits["default"].net_.predict(X),
        "threads": torch.get_num_threads(),
    }
    Path(folder, f"{rank}.pkl").write_bytes(pickle.dumps(result))


def fail(how):
    """Fit while the second process fails in some way; print how long it took to end."""
    fit(True)
    begun = time.perf_counter()
    try:
        if how == "refuses":
            broken = X.copy()
            broken[0, 0] = np.inf if os.environ["RANK"] == "1" else 0
            AutoencoderTransformer(**SETTINGS, distributed=True).fit(broken)
        else:
            fit(True, callbacks=[Fail(how)])
    finally:
        print(f"took {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    # The tests, which are another script, must find the classes of what is pickled.
    import distributed_fits

    if len(sys.argv) > 2:
        distributed_fits.fail(sys.argv[2])
    else:
        distributed_fits.main(sys.argv[1])
