"""Seconds of a fit as rows, features and components grow, PCA's beside them."""

from sklearn.decomposition import PCA

from skae import AutoencoderTransformer

from ._data import images, low_rank, patches
from ._engine import GROWTH, Case, part, seconds_a_call

ROWS = [1_000, 10_000, 100_000, 1_000_000]
FEATURES = [10, 30, 100, 300, 1_000, 3_000, 10_000]
COMPONENTS = [1, 4, 16, 64, 256]
WIDTH = 8
# Seconds of fits of milliseconds; a long fit is one fit.
_LEAST = 0.5


def _fits(X, k):
    models = {
        "PCA": PCA(k, random_state=0),
        "skae, one epoch": AutoencoderTransformer(k, max_iter=1, random_state=0),
        "skae": AutoencoderTransformer(k, random_state=0),
    }
    return {
        name: lambda repeat, model=model: {
            "seconds": seconds_a_call(lambda: model.fit(X), at_least=_LEAST)
        }
        for name, model in models.items()
    }


def _case(X, k):
    n_rows, n_features = X.shape
    return Case(f"{n_rows:,} x {n_features:,}, k {k}", _fits(X, k), n_rows, n_features, k)


def _warm_up():
    for fit in _fits(low_rank(64, 4), 2).values():
        fit(0)


@part(GROWTH, "rows")
def rows():
    _warm_up()
    for n_rows in ROWS:
        yield _case(patches(n_rows), WIDTH)


@part(GROWTH, "features")
def features():
    _warm_up()
    for n_features in FEATURES:
        yield _case(low_rank(2_000, n_features), WIDTH)


@part(GROWTH, "components")
def components():
    _warm_up()
    X = images(5_000)
    for k in COMPONENTS:
        yield _case(X, k)
