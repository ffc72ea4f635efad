"""Tables of any columns: rebuilt, filled in, sampled, and searched for odd cells."""

import time
import warnings
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

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

from skae import AutoencoderTransformer
from skae.corruptions import Masking
from skae.tables import TableAnomalyDetector, TableAutoencoder, TableEncoder

from .datasets import Unavailable
from .tabular import SETS

# Half of them are trained on.
_MOST_ROWS = 2000
_REMOVED = 0.2
_PLANTED = 0.1
_MOVED = 4.0


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


@dataclass
class Case:
    """A table in two halves, its encoder, a seed, and the width of the codes."""

    train: pd.DataFrame
    test: pd.DataFrame
    encoder: TableEncoder
    seed: int
    k: int

    def fit(self, table, **params):
        own = AutoencoderTransformer(**params)
        parts = {"encoder": self.encoder, "autoencoder": own, "random_state": self.seed}
        return TableAutoencoder(self.k, **parts).fit(table)

    @cached_property
    def fitted(self):
        """The autoencoder of the training rows, which two jobs need, and its seconds."""
        began = time.perf_counter()
        return self.fit(self.train), time.perf_counter() - began


def _reconstruct(case):
    """Yield each peer's name, the errors of its reconstructions of held-out rows, and seconds."""
    encoder, k = case.encoder, case.k
    encoded, held_out = encoder.transform(case.train), encoder.transform(case.test)

    def fit(peer):
        if peer == "mean and mode":
            mean = np.nan_to_num(np.nanmean(encoded, 0))
            return lambda rows: np.tile(mean, (len(rows), 1))
        if peer in ("PCA", "FAMD"):
            return _Rebuilt(k, peer == "FAMD").fit(encoded, encoder.blocks_)
        return case.fitted[0].autoencoder_.reconstruct

    for peer in ("mean and mode", "PCA", "FAMD", "skae"):
        began = time.perf_counter()
        rebuild = fit(peer)
        seconds = case.fitted[1] if peer == "skae" else time.perf_counter() - began
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


def _impute(case):
    """Yield each peer's name, its errors on entries removed from held-out rows, and seconds."""
    train, test, encoder, seed = case.train, case.test, case.encoder, case.seed
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
        if peer.startswith("skae"):
            params = {} if peer == "skae" else {"corruption": Masking(_REMOVED)}
            # Its encoder is fitted anew, to the table with gaps.
            return encoder.transform(case.fit(gaps[0], **params).impute(gaps[1]))
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

    peers = "mean and mode", "KNNImputer", "IterativeImputer", "boosted trees", "skae"
    for peer in (*peers, "skae, masking"):
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


def _sample(case):
    """Yield each peer's name, how well a classifier tells its rows from real ones, and seconds."""
    train, test, encoder, seed = case.train, case.test, case.encoder, case.seed
    ordinal = _Ordinal(encoder)
    real, held_out = (ordinal.encode(encoder.transform(x)) for x in (train, test))
    generator = np.random.default_rng(seed)

    def draw(peer):
        if peer == "independent columns":
            columns = [c[~np.isnan(c)] for c in real.T]
            return np.column_stack([generator.choice(c, len(held_out)) for c in columns])
        if peer == "Gaussian copula":
            return _copula(real, len(held_out), generator)
        return ordinal.encode(encoder.transform(case.fitted[0].sample(len(held_out), seed)))

    for peer in ("independent columns", "Gaussian copula", "skae"):
        began = time.perf_counter()
        drawn = draw(peer)
        seconds = time.perf_counter() - began + (case.fitted[1] if peer == "skae" else 0)
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


def _detect(case):
    """Yield each peer's name, how well planted cells are found, and seconds."""
    train, test, encoder, seed = case.train, case.test, case.encoder, case.seed
    generator = np.random.default_rng(seed)
    parts = [*encoder._parts()]
    planted = generator.random(len(test)) < _PLANTED
    columns = generator.integers(len(parts), size=len(test))
    encoded = encoder.transform(test)
    for row in np.flatnonzero(planted):
        _, column, part = parts[columns[row]]
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
            scores, own = model.score_samples(encoded), {}
        else:
            model = TableAnomalyDetector(encoder=encoder, random_state=seed).fit(train)
            scores = model.detector_.score_samples(encoded)
            by_number = model.detector_.explain(encoded[planted])
            sums = np.column_stack([by_number[:, p].sum(1) for _, _, p in encoder._parts()])
            right = sums.argmin(1) == columns[planted]
            flagged = model.detector_.p_values(encoded[planted]) <= 0.05
            own = {
                "named": float(right.mean()),
                "flagged": float(flagged.mean()),
                "named_flagged": float(right[flagged].mean()) if flagged.any() else None,
            }
        seconds = time.perf_counter() - began
        auroc = float(roc_auc_score(planted, -scores))
        yield peer, {"auroc": auroc} | own, seconds


JOBS = {"rebuilt": _reconstruct, "filled": _impute, "sampled": _sample, "planted": _detect}
METRICS = ("error_numbers", "wrong_categories", "auroc", "named", "flagged", "named_flagged")


def tables(names, n_seeds, done, leave_out, cases=tuple(JOBS)):
    """Yield the figures of each set, of each of some jobs, seed and peer."""
    for name in names:
        try:
            table = SETS[name].load()
        except Unavailable as reason:
            leave_out(name, "every peer", str(reason))
            continue
        for seed in range(n_seeds):
            some = table.sample(min(_MOST_ROWS, len(table)), random_state=seed)
            train, test = train_test_split(some, test_size=0.5, random_state=seed)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Left out", UserWarning)
                first = TableEncoder().fit(train)
            encoder = TableEncoder(columns=[*first.columns_]).fit(train)
            case = Case(train, test, encoder, seed, -(-len(encoder.columns_) // 3))
            for job in cases:
                if (name, job, seed, "skae") in done:
                    continue
                for peer, found, seconds in JOBS[job](case):
                    yield {
                        "set": name,
                        "chosen_on": int(SETS[name].chosen_on),
                        "case": job,
                        "seed": seed,
                        "k": case.k,
                        "n_rows": len(train),
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
