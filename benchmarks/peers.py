"""What is compared: each peer fits rows and reconstructs others.

A peer is a function of the training rows, the code's width and the seed; it returns a `Fitted`.
Adding one is one function with the decorator.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from skae import AutoencoderTransformer
from skae.architectures import Dense


@dataclass
class Fitted:
    """A fitted peer: how it reconstructs, and its history of (seconds, held-out loss), if any."""

    reconstruct: Callable[[np.ndarray], np.ndarray]
    history: list[tuple[float, float]] | None = None
    n_iter: int | None = None
    best_iter: int | None = None


@dataclass(frozen=True)
class Peer:
    """A way to fit, the package it needs, and the work beyond which two cores take too long."""

    fit: Callable
    package: str
    max_cells: float = float("inf")


PEERS: dict[str, Peer] = {}


def peer(name, package, max_cells=float("inf")):
    def register(fit):
        PEERS[name] = Peer(fit, package, max_cells)
        return fit

    return register


def widths():
    """Return the hidden widths of skae's default, which all nets get."""
    return Dense.default_sizes


@peer("PCA", "sklearn")
def pca(X, k, seed):
    model = PCA(k, random_state=seed).fit(X)
    return Fitted(lambda rows: model.inverse_transform(model.transform(rows)))


def _skae(X, k, seed, **params):
    model = AutoencoderTransformer(k, random_state=seed, **params).fit(X)
    seconds = np.cumsum([row["duration"] for row in model.history_])
    losses = [row["valid_loss"] for row in model.history_]
    return Fitted(
        model.reconstruct, list(zip(seconds, losses, strict=True)), model.n_iter_, model.best_iter_
    )


def start_loss(X, k, seed):
    """Return PCA's loss on the rows that skae holds out with this seed."""
    return _skae(X, k, seed, max_iter=0).history[0][1]


@peer("skae", "skae")
def skae(X, k, seed):
    return _skae(X, k, seed)


@peer("skae (random start)", "skae", max_cells=8e6)
def skae_random(X, k, seed):
    return _skae(X, k, seed, init="random")


@peer("MLPRegressor", "sklearn", max_cells=8e6)
def mlp(X, k, seed):
    hidden = (*widths(), k, *widths()[::-1])
    model = MLPRegressor(hidden_layer_sizes=hidden, early_stopping=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 200 epochs are its default
        model.fit(X, X)
    return Fitted(lambda rows: model.predict(rows).reshape(rows.shape), None, model.n_iter_)


@peer("PyOD AutoEncoder", "pyod", max_cells=8e6)
def pyod(X, k, seed):
    import torch
    from pyod.models.auto_encoder import AutoEncoder

    model = AutoEncoder(hidden_neuron_list=[*widths(), k], random_state=seed, verbose=0)
    model.fit(X)

    def reconstruct(rows):
        # PyOD standardises the features itself, with this guard for those that are constant
        scaled = torch.tensor((rows - model.X_mean) / (model.X_std + 1e-8), dtype=torch.float32)
        model.model.eval()
        with torch.no_grad():
            return model.model(scaled).numpy() * model.X_std + model.X_mean

    return Fitted(reconstruct)
