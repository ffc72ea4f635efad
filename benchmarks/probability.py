"""How good probabilities of being an anomaly are: skae's, and PyOD's two conversions of scores."""

from collections.abc import Iterator

import numpy as np
from scipy.special import erf
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from .anomaly import _fit, _tables
from .detectors import DETECTORS
from .labelled import MOST_ROWS
from .summary import choose_on_halves, mean_by_peer_and_set

AREAS = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
CANDIDATES = [f"skae, roc_auc={area}" for area in AREAS]
# Log-loss is infinite for an anomaly that was certain not to be one.
_SURE = 1e-3
_N_BINS = 10


def linear(known, odd):
    """Return scores as a fraction of the range of the training rows': PyOD's "linear"."""
    low, high = known.min(), known.max()
    return np.clip((odd - low) / (high - low), 0, 1)


def unify(known, odd):
    """Return PyOD's "unify", after Kriegel et al. (SDM 2011), with normal scores."""
    return np.clip(erf((odd - known.mean()) / (known.std() * np.sqrt(2))), 0, 1)


def calibration_error(probability, truth):
    """Return the expected calibration error over ten bins of as many rows each."""
    bins = np.array_split(np.argsort(probability, kind="stable"), _N_BINS)
    gaps = [abs(probability[b].mean() - truth[b].mean()) * len(b) for b in bins if len(b)]
    return float(np.sum(gaps) / len(truth))


def probability(names, n_seeds, done, leave_out) -> Iterator[dict]:
    """Yield how good each conversion's probabilities are, for each set, seed and contamination.

    Parameters
    ----------
    names : list of str
        Labelled sets.
    n_seeds : int
    done : set of tuple
        Keys of the rows that are there already.
    leave_out : callable
        Told of each set that is not there, and why.
    """
    detector = DETECTORS["skae"]
    for name, labelled, _ in _tables(names, {"skae": detector}, leave_out):
        for seed in range(n_seeds):
            X, y = labelled.rows()
            if len(X) > MOST_ROWS:
                X, _, y, _ = train_test_split(
                    X, y, train_size=MOST_ROWS, stratify=y, random_state=seed
                )
            train, test, known, truth = train_test_split(
                X, y, test_size=0.3, stratify=y, random_state=seed
            )
            scaler = StandardScaler().fit(train)
            train, test = scaler.transform(train), scaler.transform(test)
            fractions = {"known": min(0.5, float(known.mean())), "auto": 0.05}
            for setting, fraction in fractions.items():
                if all((name, setting, seed, peer) in done for peer in ("constant", *CANDIDATES)):
                    continue
                contamination = fraction if setting == "known" else None
                model, _ = _fit(detector, train, contamination, seed)
                fitted, odd = (detector.odd(model, rows) for rows in (train, test))
                found = {
                    "constant": np.full(len(test), fraction),
                    "PyOD linear": linear(fitted, odd),
                    "PyOD unify": unify(fitted, odd),
                }
                for area, peer in zip(AREAS, CANDIDATES, strict=True):
                    found[peer] = model.predict_proba(test, roc_auc=area)[:, 0]
                for peer, values in found.items():
                    if (name, setting, seed, peer) in done:
                        continue
                    clipped = np.clip(values, _SURE, 1 - _SURE)
                    yield {
                        "set": name,
                        "setting": setting,
                        "n_rows": len(train),
                        "n_features": train.shape[1],
                        "share_of_anomalies": round(float(truth.mean()), 4),
                        "seed": seed,
                        "peer": peer,
                        "log_loss": float(log_loss(truth, clipped, labels=[0, 1])),
                        "brier": float(brier_score_loss(truth, values)),
                        "calibration_error": calibration_error(values, truth),
                    }


def summarise_probability(rows):
    """Return each peer's mean figures over the sets, by "peer (setting)", and the choice's."""
    summary = {}
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    for setting in settings:
        own = [row for row in rows if row["setting"] == setting]
        figures = {
            key: mean_by_peer_and_set(own, key)
            for key in ("log_loss", "brier", "calibration_error")
        }
        constant = figures["log_loss"]["constant"]
        for peer, sets in figures["log_loss"].items():
            summary[f"{peer} ({setting})"] = {"sets": len(sets)} | {
                key: float(np.mean(list(values[peer].values()))) for key, values in figures.items()
            }
            better = [value < constant[name] for name, value in sets.items()]
            summary[f"{peer} ({setting})"]["better_than_constant"] = float(np.mean(better))
    # Chosen where the fraction of anomalies is known: it is what the model assumes.
    known = [row for row in rows if row["setting"] == "known"]
    for key in ("log_loss", "brier") if known else ():
        means, chosen = choose_on_halves(known, CANDIDATES, value=key, best=min)
        for (peer, setting), (on, off) in means.items():
            entry = summary.setdefault(f"{peer} ({setting})", {})
            entry |= {f"{key}_chosen_on": on, f"{key}_not_chosen_on": off}
            if peer in chosen:
                entry[f"times_chosen_by_{key}"] = chosen[peer]
    return summary
