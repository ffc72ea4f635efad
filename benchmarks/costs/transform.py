"""Seconds of transform, beside PCA's and the net's forward pass alone."""

import torch
from sklearn.base import clone
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer

from ._data import images, low_rank
from ._engine import SPEED, Case, part, seconds_a_call
from ._reference import float_module, net_rows

SIZES = {
    (500, 10): (2, low_rank),
    (5_000, 30): (8, low_rank),
    (20_000, 784): (32, lambda n_rows, _: images(n_rows)),
}


def _timed(function):
    return lambda repeat: {"seconds": seconds_a_call(function)}


def _bare(model, X):
    """Return the encoder's forward pass on rows that are ready for it, as a function."""
    module, x = float_module(model), net_rows(X)
    # It does not look whether PCA reconstructs a row better, nor for a better code.
    module.fallback, module.refinements = None, 0

    @torch.inference_mode()
    def forward():
        return module.encode(x)

    return forward


@part(SPEED, "transform")
def transform():
    for (n_rows, n_features), (k, make) in SIZES.items():
        X = make(n_rows, n_features)
        # A hidden layer as wide as the code: the work of a few PCAs.
        nets = {"linear-sized": (k,), "default net": "auto"}
        pca = PCA(k, random_state=0).fit(X)
        peers = {"PCA": _timed(lambda X=X, pca=pca: pca.transform(X))}
        for title, hidden in nets.items():
            # Without rows held out no net is kept as PCA, whose transform does less.
            model = AutoencoderTransformer(
                k, hidden_layer_sizes=hidden, max_iter=1, early_stopping=False, random_state=0
            )
            encoder = clone(model).set_params(transform_max_iter=0)
            peers[f"forward, {title}"] = _timed(_bare(model.fit(X), X))
            for name, each in (("", model), (", no steps", encoder.fit(X))):
                peers[f"skae, {title}{name}"] = _timed(lambda X=X, each=each: each.transform(X))
        yield Case(f"{n_rows:,} x {n_features}, k {k}", peers, n_rows, n_features, k)
