"""Seconds until skae is as good on unseen rows as another method is at its end."""

import importlib.util
import time

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from skae import AutoencoderTransformer

from ..datasets import DATASETS, Unavailable, code_widths
from ..peers import PEERS
from ._data import low_rank
from ._engine import SPEED, Case, part
from ._reference import net_rows

# Of the reconstruction benchmark, without those that take the others minutes.
SETS = [
    "iris",
    "wine",
    "breast_cancer",
    "diabetes",
    "digits",
    "swiss_roll",
    "s_curve",
    "satellite",
    "letter",
    "fashion_mnist_10k",
]
OTHERS = ["MLPRegressor", "PyOD AutoEncoder"]
# Epochs that tell what one takes.
_TIMED = 5


class _Watch(Callback):
    """Hands the net over at the start and after each epoch.

    To a function, because skae clones its callbacks: what they collect themselves is not seen.
    """

    def __init__(self, look):
        self.look = look

    def on_train_begin(self, net, **kwargs):
        self.look(net)

    def on_epoch_end(self, net, **kwargs):
        self.look(net)


class _Enough(Exception):
    """All errors that were asked for are reached."""


def errors_by_epoch(train, test, k, seed, down_to=0.0, **params):
    """Return the error of unseen rows at the start and after each epoch of a fit.

    Parameters
    ----------
    train, test : ndarray of shape (n, n_features)
    k : int
    seed : int
    down_to : float
        The fit is broken off at this error.
    **params
        More parameters of the estimator.

    Returns
    -------
    errors : list of float
        Mean squared error of an entry of `test`, by the weights that are being trained.
    model : AutoencoderTransformer or None
        None where the fit was broken off.
    """
    x = net_rows(test, train)
    # What the net's error is to be multiplied by: its rows have one scale.
    unit = train.astype(np.float64).var(0).mean()
    errors = []

    @torch.no_grad()
    def look(net):
        errors.append((net.infer(x) - x).square().mean().item() * unit)
        if errors[-1] <= down_to:
            raise _Enough

    model = AutoencoderTransformer(k, random_state=seed, callbacks=[_Watch(look)], **params)
    try:
        return errors, model.fit(train)
    except _Enough:
        return errors, None


def _seconds_of_epochs(train, k, seed):
    """Return the seconds of a fit without its epochs, and of an epoch, without callbacks."""
    began = time.perf_counter()
    model = AutoencoderTransformer(k, max_iter=_TIMED, random_state=seed).fit(train)
    total = time.perf_counter() - began
    durations = [row["duration"] for row in model.history_[1:]]
    return total - sum(durations), float(np.median(durations))


def _error(fitted, rows):
    return float(((rows - fitted.reconstruct(rows)) ** 2).mean())


class Race:
    """The same rows for all of a repeat: the others fit first, then skae is asked."""

    def __init__(self, name, k):
        self.dataset = DATASETS[name]
        self.k = k
        self.reached = {}

    def rows(self, seed):
        X = np.asarray(self.dataset.load(), dtype=np.float64)
        train, test = train_test_split(X, test_size=0.25, random_state=seed)
        if not self.dataset.images:
            scaler = StandardScaler().fit(train)
            train, test = scaler.transform(train), scaler.transform(test)
        return train, test

    def other(self, title):
        def measured(seed):
            if importlib.util.find_spec(PEERS[title].package) is None:
                raise Unavailable(f"the package {PEERS[title].package} is not installed")
            train, test = self.rows(seed)
            began = time.perf_counter()
            fitted = PEERS[title].fit(train, self.k, seed)
            spent = time.perf_counter() - began
            error = _error(fitted, test)
            self.reached[title, seed] = error
            return {"seconds": spent, "error": error}

        return measured

    def skae(self, title):
        def measured(seed):
            if (title, seed) not in self.reached:
                raise Unavailable(f"{title} is not there")
            train, test = self.rows(seed)
            target = self.reached[title, seed]
            errors, model = errors_by_epoch(train, test, self.k, seed, target)
            n_epochs = len(errors) - 1
            if model is not None:
                # The best epoch's averaged weights may be there where no epoch's own were.
                errors.append(_error(model, test))
            rest, of_epoch = _seconds_of_epochs(train, self.k, seed)
            reached = errors[-1] <= target
            return {
                "seconds": rest + n_epochs * of_epoch if reached else None,
                "error": errors[-1],
                "epochs": n_epochs,
            }

        return measured


@part(SPEED, "to_error")
def to_error():
    warm_up = low_rank(100, 4).astype(np.float64)
    for title in OTHERS:
        if importlib.util.find_spec(PEERS[title].package) is not None:
            PEERS[title].fit(warm_up, 1, 0)
    for name in SETS:
        dataset = DATASETS[name]
        try:
            n_rows, n_features = dataset.load().shape
        except Unavailable as reason:
            yield Case(name, {title: _absent(reason) for title in OTHERS})
            continue
        k = code_widths(dataset, n_features)[1]
        race = Race(name, k)
        peers = {}
        for title in OTHERS:
            peers[title] = race.other(title)
            peers[f"skae to {title}'s"] = race.skae(title)
        yield Case(name, peers, n_rows, n_features, k)


def _absent(reason):
    def measured(seed):
        raise reason

    return measured
