"""Seconds of a detector's fit and of its scores, beside IsolationForest's."""

from sklearn.ensemble import IsolationForest

from skae import AutoencoderAnomalyDetector

from ._data import low_rank
from ._engine import SPEED, Case, part, seconds, seconds_a_call

SIZES = [(500, 10), (2_000, 10), (4_000, 20), (4_000, 100), (20_000, 20)]
N_SCORED = 100_000


def _fit(make, X):
    return lambda repeat: {"seconds": seconds_a_call(lambda: make(repeat).fit(X))}


def _score(model, X):
    return lambda repeat: {"seconds": seconds(lambda: model.score_samples(X))}


@part(SPEED, "detector")
def detector():
    makers = {
        "skae": lambda seed: AutoencoderAnomalyDetector(random_state=seed),
        "IsolationForest": lambda seed: IsolationForest(random_state=seed),
    }
    for n_rows, n_features in SIZES:
        X, others = low_rank(n_rows, n_features), low_rank(N_SCORED, n_features, seed=1)
        peers = {f"{title}, fit": _fit(make, X) for title, make in makers.items()}
        for title, make in makers.items():
            peers[f"{title}, scores"] = _score(make(0).fit(X), others)
        yield Case(f"{n_rows:,} x {n_features}", peers, n_rows, n_features)
