"""The error of held-out rows after encoding and decoding."""

import importlib.util
import time
from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from .datasets import DATASETS, Unavailable, code_widths
from .peers import PEERS, start_loss


def _seconds_to(history, error_of_pca, ratio):
    """Return the training seconds until the held-out loss is a share of the start's, or None."""
    for seconds, loss in history:
        if loss <= ratio * error_of_pca:
            return round(float(seconds), 4)
    return None


def _warm_up():
    """Fit every peer once to next to nothing, so that no figure holds an import."""
    X = np.random.default_rng(0).normal(size=(64, 4))
    for peer in PEERS.values():
        if importlib.util.find_spec(peer.package) is not None:
            peer.fit(X, 1, 0)


def reconstruction(names, n_seeds, done, leave_out) -> Iterator[dict]:
    """Yield the held-out error of every peer for each set, code width and seed.

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
        dataset = DATASETS[name]
        try:
            X = np.asarray(dataset.load(), dtype=np.float64)
        except Unavailable as reason:
            leave_out(name, "every peer", str(reason))
            continue
        peers = {}
        for title, peer in PEERS.items():
            if importlib.util.find_spec(peer.package) is None:
                leave_out(name, title, f"the package {peer.package} is not installed")
            elif X.size > peer.max_cells:
                reason = f"{X.size:.2g} entries, the limit for its fit time is {peer.max_cells:.2g}"
                leave_out(name, title, reason)
            else:
                peers[title] = peer
        for k in code_widths(dataset, X.shape[1]):
            for seed in range(n_seeds):
                missing = [t for t in peers if (name, k, seed, t) not in done]
                if missing:
                    yield from _one_split(name, dataset, X, k, seed, peers, missing)


def _one_split(name, dataset, X, k, seed, peers, missing):
    train, test = train_test_split(X, test_size=0.25, random_state=seed)
    if not dataset.images:
        scaler = StandardScaler().fit(train)
        train, test = scaler.transform(train), scaler.transform(test)
    variance = ((test - test.mean(0)) ** 2).mean()
    # PCA comes first: it is what the others are measured by.
    pca_error, start = None, None
    for title in ["PCA", *(t for t in missing if t != "PCA")]:
        began = time.perf_counter()
        fitted = peers[title].fit(train, k, seed)
        seconds = time.perf_counter() - began
        error = float(((test - fitted.reconstruct(test)) ** 2).mean())
        pca_error = error if title == "PCA" else pca_error
        if fitted.history is not None and start is None:
            start = start_loss(train, k, seed)
        row = {
            "set": name,
            "n_rows": len(X),
            "n_features": X.shape[1],
            "k": k,
            "seed": seed,
            "peer": title,
            "error": error,
            "ratio_to_pca": error / pca_error,
            "explained_variance": 1 - error / variance,
            "fit_seconds": round(seconds, 4),
            "n_iter": fitted.n_iter,
            "best_iter": fitted.best_iter,
        }
        for share in (0.9, 0.7):
            reached = None
            if fitted.history is not None:
                reached = _seconds_to(fitted.history, start, share)
            row[f"seconds_to_{share}"] = reached
        if title in missing:
            yield row
