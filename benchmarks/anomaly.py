"""How well anomalies are ranked, and how often clean rows are called anomalies."""

import contextlib
import importlib.util
import io
import time
import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from .datasets import Unavailable
from .detectors import DETECTORS
from .labelled import LABELLED, SETTINGS
from .wide import WIDE

# Those of a folder that a user names are added.
SETS = dict(LABELLED)
MOST_ROWS = 10_000
ALPHAS = (0.01, 0.05, 0.1)
# Of the calibration-conditional p-values, which are a peer of their own beside the detector's.
CONFIDENCE = 0.9


def _installed(detectors, name, leave_out):
    found = {}
    for title, detector in detectors.items():
        if importlib.util.find_spec(detector.package) is None:
            leave_out(name, title, f"the package {detector.package} is not installed")
        else:
            found[title] = detector
    return found


def _set(name):
    return WIDE[name] if name in WIDE else SETS[name]


def _missing(name):
    """Return why a set is not there, or None."""
    twin = _set(name).twin
    if twin is not None and _missing(twin) is None:
        return f"the same rows as {twin}"
    try:
        _set(name).load()
    except Unavailable as reason:
        return str(reason)
    return None


def _fit(detector, train, contamination, seed):
    """Return the fitted model and its seconds; what it prints and warns of is dropped."""
    sized = {"n_features": train.shape[1]} if detector.sized else {}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # covariances of full rank, convergence: theirs to say
        with contextlib.redirect_stderr(io.StringIO()):
            model = detector.make(contamination, seed, **sized)
            began = time.perf_counter()
            model.fit(train)
            return model, time.perf_counter() - began


def _tables(names, detectors, leave_out):
    """Yield each set that is there, and the detectors that are installed."""
    _warm_up(detectors)
    for name in names:
        why = _missing(name)
        if why is None:
            yield name, _set(name), _installed(detectors, name, leave_out)
        else:
            leave_out(name, "every peer", why)


def _warm_up(detectors):
    """Fit every detector once to next to nothing, so that no figure holds an import."""
    X = np.random.default_rng(0).normal(size=(64, 4))
    for detector in detectors.values():
        if importlib.util.find_spec(detector.package) is not None:
            _fit(detector, X, None, 0)


def anomaly(names, n_seeds, done, leave_out, settings=SETTINGS, peers=None) -> Iterator[dict]:
    """Yield the ranking quality of every detector for each set and seed.

    Parameters
    ----------
    names : list of str
        Labelled sets.
    n_seeds : int
    done : set of tuple
        Keys of the rows that are there already.
    leave_out : callable
        Told of each detector that is not run on a set, and why.
    settings : sequence of str
        Whether the rows to fit have anomalies among them ("contaminated") or not ("clean").
    peers : sequence of str or None
        The detectors; None is all.
    """
    chosen = DETECTORS
    if peers is not None:
        chosen = {title: DETECTORS[title] for title in peers}
        for title in DETECTORS:
            if title not in chosen:
                leave_out("every set", title, "not asked for")
    for name, labelled, detectors in _tables(names, chosen, leave_out):
        for seed in range(n_seeds):
            for setting in settings:
                train, test, truth = labelled.split(setting, seed)
                if len(np.unique(truth)) < 2:
                    leave_out(name, "every peer", f"{setting}: rows of one kind to judge")
                    continue
                scaler = StandardScaler().fit(train)
                train, test = scaler.transform(train), scaler.transform(test)
                for title, detector in detectors.items():
                    if (name, setting, seed, title) in done:
                        continue
                    try:
                        model, seconds = _fit(detector, train, None, seed)
                        odd = detector.odd(model, test)
                        area = float(roc_auc_score(truth, odd))
                    except Exception as error:
                        if detector.package == "skae":
                            raise
                        leave_out(name, title, f"{setting}: {type(error).__name__}: {error}")
                        continue
                    yield {
                        "set": name,
                        "setting": setting,
                        "n_rows": len(train),
                        "n_features": train.shape[1],
                        "share_of_anomalies": round(float(truth.mean()), 4),
                        "seed": seed,
                        "peer": title,
                        "roc_auc": area,
                        "average_precision": float(average_precision_score(truth, odd)),
                        "fit_seconds": round(seconds, 4),
                    }


def calibration(names, n_seeds, done, leave_out) -> Iterator[dict]:
    """Yield the false-alarm rate on new clean rows, for each set, seed and share asked for.

    Parameters
    ----------
    names : list of str
        Labelled sets.
    n_seeds : int
    done : set of tuple
        Keys of the rows that are there already.
    leave_out : callable
        Told of each detector that is not run on a set, and why.
    """
    calibrated = {title: d for title, d in DETECTORS.items() if d.calibrated}
    for name, labelled, detectors in _tables(names, calibrated, leave_out):
        X, y = labelled.load()
        clean = X[y == 0]
        for seed in range(n_seeds):
            order = np.random.default_rng(seed).permutation(len(clean))[:MOST_ROWS]
            train, test = np.array_split(clean[order], 2)
            scaler = StandardScaler().fit(train)
            train, test = scaler.transform(train), scaler.transform(test)
            for alpha in ALPHAS:
                for title, detector in detectors.items():
                    rules = _rules(title, detector, alpha)
                    missing = [peer for peer in rules if (name, seed, alpha, peer) not in done]
                    if not missing:
                        continue
                    model, seconds = _fit(detector, train, alpha, seed)
                    for peer in missing:
                        yield {
                            "set": name,
                            "n_rows": len(train),
                            "n_features": X.shape[1],
                            "seed": seed,
                            "alpha": alpha,
                            "peer": peer,
                            "false_alarms": float(rules[peer](model, test).mean()),
                            "fit_seconds": round(seconds, 4),
                        }


def _rules(title, detector, alpha):
    """Return the ways in which a detector calls rows anomalies, by the peer's name."""
    rules = {title: detector.flags}
    if detector.package == "skae":
        rules[f"{title}, confidence={CONFIDENCE}"] = lambda model, X: (
            model.p_values(X, confidence=CONFIDENCE) <= alpha
        )
    return rules
