"""Removed entries, filled in again: on the rows that were fitted to, and on others."""

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 (makes it importable)
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer

from .datasets import DATASETS, Unavailable

SHARES = (0.1, 0.3, 0.5)
SETS = {
    name: DATASETS[name]
    for name in ("iris", "wine", "diabetes", "breast_cancer", "glass", "digits")
}


@dataclass(frozen=True)
class Imputer:
    """A way to fit, and the rows times squared features beyond which it takes too long."""

    fit: Callable
    max_work: float = float("inf")


IMPUTERS: dict[str, Imputer] = {}


def imputer(name, max_work=float("inf")):
    """Register a function of rows, the code's width and a seed that returns one that fills rows."""

    def register(fit):
        IMPUTERS[name] = Imputer(fit, max_work)
        return fit

    return register


@imputer("SimpleImputer")
def mean(X, k, seed):
    return SimpleImputer().fit(X).transform


@imputer("KNNImputer")
def neighbours(X, k, seed):
    return KNNImputer().fit(X).transform


@imputer("IterativeImputer", max_work=2e6)
def iterative(X, k, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten rounds are its default
        return IterativeImputer(random_state=seed).fit(X).transform


def _skae(X, k, seed, **params):
    model = AutoencoderTransformer(k, random_state=seed, **params).fit(X)
    return lambda rows: np.where(np.isnan(rows), model.reconstruct(rows), rows)


@imputer("PCA start")
def start(X, k, seed):
    return _skae(X, k, seed, max_iter=0)


@imputer("skae")
def skae(X, k, seed):
    return _skae(X, k, seed)


def _warm_up():
    """Fit every peer once to next to nothing, so that no figure holds an import."""
    X = np.random.default_rng(0).normal(size=(64, 4))
    X[::5, 1] = np.nan
    for peer in IMPUTERS.values():
        peer.fit(X, 1, 0)(X)


def imputation(names, n_seeds, done, leave_out) -> Iterator[dict]:
    """Yield the error of the removed entries for each set, share, seed and peer.

    Parameters
    ----------
    names : list of str
        Data sets.
    n_seeds : int
    done : set of tuple
        Keys of the rows that are there already.
    leave_out : callable
        Told of each peer that is not run on a set, and why.
    """
    _warm_up()
    for name in names:
        try:
            X = np.asarray(SETS[name].load(), dtype=np.float64)
        except Unavailable as reason:
            leave_out(name, "every peer", str(reason))
            continue
        peers = {}
        for title, peer in IMPUTERS.items():
            work = len(X) * X.shape[1] ** 2
            if work > peer.max_work:
                reason = f"{work:.2g} rows x features squared, the limit is {peer.max_work:.2g}"
                leave_out(name, title, reason)
            else:
                peers[title] = peer.fit
        for share in SHARES:
            for seed in range(n_seeds):
                missing = {t: p for t, p in peers.items() if (name, share, seed, t) not in done}
                if missing:
                    yield from _one_split(name, X, share, seed, missing)


def _one_split(name, X, share, seed, peers):
    parts = train_test_split(X, test_size=0.25, random_state=seed)
    varies = np.ptp(parts[0], axis=0) > 0
    centre, scale = parts[0][:, varies].mean(0), parts[0][:, varies].std(0)
    if SETS[name].images:
        scale = np.sqrt((scale**2).mean())
    parts = [(part[:, varies] - centre) / scale for part in parts]
    generator = np.random.default_rng(seed)
    removed = [generator.random(part.shape) < share for part in parts]
    gaps = [np.where(r, np.nan, part) for r, part in zip(removed, parts, strict=True)]
    k = -(-varies.sum() // 4)
    for title, fit in peers.items():
        began = time.perf_counter()
        fill = fit(gaps[0], int(k), seed)
        filled = fill(gaps[0])
        seconds = time.perf_counter() - began
        yield {
            "set": name,
            "n_rows": len(X),
            "n_features": int(varies.sum()),
            "share": share,
            "k": int(k),
            "seed": seed,
            "peer": title,
            "error_fitted": _error(parts[0], filled, removed[0]),
            "error_held_out": _error(parts[1], fill(gaps[1]), removed[1]),
            "seconds": round(seconds, 4),
        }


def _error(X, filled, removed):
    return float(np.sqrt(((X - filled)[removed] ** 2).mean()))


def errors_by_set(rows, kind):
    """Return {share: {peer: {set: mean error over the seeds}}}."""
    found = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in rows:
        found[row["share"]][row["peer"]][row["set"]].append(row[f"error_{kind}"])
    return {
        share: {
            peer: {name: float(np.mean(errors)) for name, errors in sets.items()}
            for peer, sets in peers.items()
        }
        for share, peers in found.items()
    }


def summarise_imputation(rows):
    """Return each peer's mean errors for each share removed, over the sets that all have."""
    fitted, held_out = (errors_by_set(rows, kind) for kind in ("fitted", "held_out"))
    summary = {}
    for share, peers in fitted.items():
        shared = sorted(set.intersection(*(set(sets) for sets in peers.values())))
        for peer in peers:
            seconds = [r["seconds"] for r in rows if (r["share"], r["peer"]) == (share, peer)]
            summary[f"{share:g} | {peer}"] = {
                "share": share,
                "peer": peer,
                "sets": len(peers[peer]),
                "shared_sets": len(shared),
                "error_fitted": float(np.mean([peers[peer][name] for name in shared])),
                "error_held_out": float(np.mean([held_out[share][peer][n] for n in shared])),
                "median_seconds": float(np.median(seconds)),
            }
    return summary
