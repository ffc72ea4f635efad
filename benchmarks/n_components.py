"""How many components are found: on tables of known dimension, and beside cross-validation."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold, train_test_split
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer
from skae._components import fewest_components
from skae.metrics import explained_variance_scorer

from .datasets import DATASETS, Unavailable

# Those on which the rule was chosen had seeds below this, and sizes of their own.
_FIRST_SEED = 300
# Rows of a real set, and what cross-validation may cost: a fit for each width and fold.
_MOST_ROWS, _MOST_WIDTHS, _FOLDS = 2000, 8, 3


@dataclass(frozen=True)
class Table:
    """A table: rows, and the number of components that makes them, or None where nobody knows.

    `chosen_on` says whether tables of the same kind were looked at before the rule was settled.
    """

    make: Callable
    kind: str
    chosen_on: bool = True
    images: bool = False


TABLES: dict[str, Table] = {}


def _made(kind, chosen_on=True):
    def add(function):
        TABLES[function.__name__] = Table(function, kind, chosen_on)
        return function

    return add


def _factors(rng, n, p, rank, noise=1.0):
    """Return rows along some directions, 1.5 to 6.7 times as far spread as the noise is."""
    directions = np.linalg.qr(rng.normal(size=(p, rank)))[0]
    sizes = 1.5 * np.exp(rng.uniform(0, 1.5, size=rank))
    return (rng.normal(size=(n, rank)) * sizes) @ directions.T + noise * rng.normal(size=(n, p))


def _waves(rng, n, p, dimension, noise):
    hidden = rng.uniform(-2, 2, size=(n, dimension))
    slopes = rng.normal(size=(dimension, p)) * (0.7 if dimension > 2 else 1.0)
    return np.sin(hidden @ slopes + rng.normal(size=p)) + noise * rng.normal(size=(n, p))


@_made("straight")
def noise(rng):
    return rng.normal(size=(rng.integers(150, 600), rng.integers(5, 40))), 1


@_made("straight")
def low_rank(rng):
    rank = int(rng.integers(1, 9))
    return _factors(rng, rng.integers(300, 1000), rank + rng.integers(8, 30), rank), rank


@_made("straight")
def few_rows(rng):
    rank = int(rng.integers(1, 6))
    return _factors(rng, rng.integers(80, 200), rng.integers(30, 120), rank), rank


@_made("straight")
def heavy_tails(rng):
    rank, n, p = int(rng.integers(1, 6)), rng.integers(300, 800), rng.integers(12, 25)
    directions = np.linalg.qr(rng.normal(size=(p, rank)))[0]
    sizes = 2 * np.exp(rng.uniform(0, 1.5, size=rank))
    hidden = rng.standard_t(3, size=(n, rank)) * sizes
    return hidden @ directions.T + rng.standard_t(3, size=(n, p)), rank


@_made("straight")
def unequal_noise(rng):
    rank, p = int(rng.integers(1, 6)), int(rng.integers(12, 25))
    return 2 * _factors(rng, rng.integers(300, 800), p, rank, np.linspace(0.2, 1, p)), rank


@_made("straight", chosen_on=False)
def counts(rng):
    rank, n, p = int(rng.integers(1, 4)), rng.integers(400, 800), rng.integers(12, 25)
    loads = rng.uniform(0, 1, size=(rank, p))
    return rng.poisson(rng.gamma(2, 4, size=(n, rank)) @ loads + 2).astype(float), rank


@_made("curved")
def one_wave(rng):
    return _waves(rng, rng.integers(400, 1000), rng.integers(8, 20), 1, 0.1), 1


@_made("curved")
def two_waves(rng):
    return _waves(rng, rng.integers(600, 1200), rng.integers(8, 20), 2, 0.1), 2


@_made("curved")
def three_waves(rng):
    return _waves(rng, rng.integers(800, 1500), rng.integers(12, 25), 3, 0.1), 3


@_made("curved")
def bent(rng):
    hidden = rng.uniform(-2, 2, size=(rng.integers(400, 800), 2))
    curves = np.column_stack([hidden, np.sin(2 * hidden), hidden**2])
    X = curves @ rng.normal(size=(6, rng.integers(8, 20)))
    return X + 0.2 * rng.normal(size=X.shape), 2


@_made("curved")
def s_curve(rng):
    return datasets.make_s_curve(1000, noise=0.05, random_state=int(rng.integers(2**31)))[0], 2


@_made("curved")
def swiss_roll(rng):
    return datasets.make_swiss_roll(1000, noise=0.05, random_state=int(rng.integers(2**31)))[0], 2


@_made("curved", chosen_on=False)
def helix(rng):
    angle = rng.uniform(0, 2 * np.pi, size=rng.integers(400, 800))
    X = np.column_stack([np.cos(angle), np.sin(angle), angle / 2]) @ rng.normal(size=(3, 12))
    return X + 0.1 * rng.normal(size=X.shape), 1


@_made("curved", chosen_on=False)
def bumps(rng):
    """Return images of a bright spot at a random place."""
    places = rng.uniform(2, 6, size=(800, 2, 1))
    rows, columns = (np.exp(-0.3 * (np.arange(9) - places[:, i]) ** 2) for i in (0, 1))
    X = np.einsum("ni,nj->nij", rows, columns).reshape(len(places), -1)
    return X + 0.1 * rng.normal(size=X.shape), 2


def _real(name):
    def load(rng):
        X = np.asarray(DATASETS[name].load(), dtype=np.float64)
        return X[np.random.default_rng(0).permutation(len(X))[:_MOST_ROWS]], None

    return load


_SEEN = ("digits", "breast_cancer", "wine", "iris", "diabetes")
TABLES |= {
    name: Table(_real(name), "real", name in _SEEN, dataset.images)
    for name, dataset in DATASETS.items()
    if dataset.chosen_on
    and name not in ("swiss_roll", "s_curve")
    and not name.startswith("fashion")
}


def n_components(names, n_seeds, done, leave_out) -> Iterator[dict]:
    """Yield the number of components that each peer finds for each table and seed.

    Parameters
    ----------
    names : list of str
        Tables.
    n_seeds : int
        Of made tables; a real set and its split have one.
    done : set of tuple
        Keys of the rows that are there already.
    leave_out : callable
        Told of each peer that is not run on a table, and why.
    """
    AutoencoderTransformer(1, max_iter=1).fit(np.random.default_rng(0).normal(size=(64, 4)))
    for name in names:
        table = TABLES[name]
        for i in range(1 if table.kind == "real" else n_seeds):
            seed = _FIRST_SEED + i
            try:
                X, dimension = table.make(np.random.default_rng([seed, *name.encode()]))
            except Unavailable as reason:
                leave_out(name, "every peer", str(reason))
                continue
            train, test = train_test_split(X, test_size=0.25, random_state=seed)
            if table.kind == "real" and not table.images:
                scaler = StandardScaler().fit(train)
                train, test = scaler.transform(train), scaler.transform(test)
            shared = {
                "set": name,
                "n_rows": len(train),
                "n_features": X.shape[1],
                "seed": seed,
                "kind": table.kind,
                "chosen_on": int(table.chosen_on),
                "dimension": dimension,
            }
            for peer, find in PEERS.items():
                if (name, seed, peer) in done or (peer == "cross-validation" and i > 0):
                    continue
                try:
                    found = find(train, test, seed)
                except ValueError as error:
                    leave_out(name, peer, str(error).split(". ")[0])
                    continue
                yield shared | {"peer": peer, **found}


def _figures(k, seconds=None, over_fit=None, explained=None):
    return {
        "k": int(k),
        "seconds": seconds,
        "seconds_over_fit": over_fit,
        "explained_variance": explained,
    }


def _timed(estimator, train):
    # Of the processor, on one thread: other work on the machine does not count.
    began = time.process_time()
    estimator.fit(train)
    return time.process_time() - began


def auto(train, test, seed):
    own = AutoencoderTransformer("auto", random_state=seed)
    seconds = _timed(own, train)
    known = AutoencoderTransformer(own.n_components_, random_state=seed)
    return _figures(
        own.n_components_,
        round(seconds, 3),
        seconds / _timed(known, train),
        explained_variance_scorer(own, test),
    )


def auto_of_pca(train, test, seed):
    own = AutoencoderTransformer("auto", max_iter=0, random_state=seed)
    seconds = _timed(own, train)
    explained = explained_variance_scorer(own, test)
    return _figures(own.n_components_, round(seconds, 3), None, explained)


def mle(train, test, seed):
    pca = PCA("mle", svd_solver="full").fit(train)
    return _figures(pca.n_components_, None, None, explained_variance_scorer(pca, test))


def cross_validation(train, test, seed):
    """Choose by the errors of fits of each width, by the rule by which "auto" chooses."""
    share = np.cumsum(PCA(svd_solver="full").fit(train).explained_variance_ratio_)
    most = min(1 + int((share < 0.99).sum()), train.shape[1] - 1)
    if most > _MOST_WIDTHS:
        raise ValueError(f"{most} widths times {_FOLDS} folds are too many fits")
    errors = np.empty((len(train), most))
    for fit_rows, others in KFold(_FOLDS, shuffle=True, random_state=seed).split(train):
        for k in range(1, most + 1):
            model = AutoencoderTransformer(k, random_state=seed).fit(train[fit_rows])
            rebuilt = model.reconstruct(train[others])
            errors[others, k - 1] = ((train[others] - rebuilt) ** 2).sum(1)
    return _figures(fewest_components(errors, None, train.shape[1]))


PEERS = {
    "auto": auto,
    "auto, PCA alone": auto_of_pca,
    "mle": mle,
    "cross-validation": cross_validation,
}


def summarise_n_components(rows):
    """Return for each kind of table and peer how often, and by how much, the numbers are right."""
    validated = {
        (row["set"], row["seed"]): row["k"] for row in rows if row["peer"] == "cross-validation"
    }
    groups = {}
    for row in rows:
        seen = "chosen on" if row["chosen_on"] else "not chosen on"
        groups.setdefault(f"{row['kind']}, {seen} | {row['peer']}", []).append(row)
    summary = {}
    for name, group in groups.items():
        known = [row["k"] - row["dimension"] for row in group if row["dimension"] is not None]
        pairs = [
            row["k"] - validated[row["set"], row["seed"]]
            for row in group
            if (row["set"], row["seed"]) in validated
        ]
        ratios = [r["seconds_over_fit"] for r in group if r["seconds_over_fit"] is not None]
        summary[name] = {
            "cases": len(group),
            "right": float(np.mean(np.equal(known, 0))) if known else None,
            "within_one": float(np.mean(np.abs(known) <= 1)) if known else None,
            "mean_difference": float(np.mean(known)) if known else None,
            "cross_validated": len(pairs),
            "as_cross_validation": float(np.mean(np.equal(pairs, 0))) if pairs else None,
            "mean_difference_to_cross_validation": float(np.mean(pairs)) if pairs else None,
            "median_seconds_over_fit": float(np.median(ratios)) if ratios else None,
            "most_seconds_over_fit": max(ratios, default=None),
        }
    return summary
