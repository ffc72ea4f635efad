"""What the rows of a task come to."""

from collections import defaultdict

import numpy as np

from skae.plotting._ranks import mean_ranks

from .detectors import CANDIDATES

SECONDS = ("seconds_to_0.9", "seconds_to_0.7")


def mean_ratios(rows):
    """Return {peer: {(set, k): mean ratio to PCA over the seeds}}."""
    groups = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row["peer"]][row["set"], row["k"]].append(row["ratio_to_pca"])
    return {
        peer: {pair: float(np.mean(values)) for pair, values in pairs.items()}
        for peer, pairs in groups.items()
    }


def geometric_mean(values):
    return float(np.exp(np.mean(np.log(list(values)))))


def _fit(row):
    return row["set"], row["k"], row["seed"]


def _reached_by_all(rows, peers, name):
    reached = [
        {_fit(row) for row in rows if row["peer"] == peer and row[name] is not None}
        for peer in peers
    ]
    return set.intersection(*reached) if reached else set()


def summarise_reconstruction(rows):
    """Return each peer's geometric mean ratio, its worst pair, and its cost."""
    ratios = mean_ratios(rows)
    shared = set.intersection(*(set(pairs) for pairs in ratios.values()))
    seconds = defaultdict(dict)
    for row in rows:
        seconds[row["peer"]][row["set"], row["k"], row["seed"]] = row["fit_seconds"]
    summary = {}
    # Only fits that all timed peers bring to the error compare their seconds.
    timed = {row["peer"] for row in rows if row["best_iter"] is not None}
    common = {name: _reached_by_all(rows, timed, name) for name in SECONDS}
    for peer, pairs in ratios.items():
        worst = max(pairs, key=pairs.get)
        cost = [seconds[peer][key] / seconds["PCA"][key] for key in seconds[peer]]
        to_skae = [s / seconds["skae"][key] for key, s in seconds[peer].items()]
        summary[peer] = {
            "pairs": len(pairs),
            "geometric_mean": geometric_mean(pairs.values()),
            "shared_pairs": len(shared),
            "geometric_mean_shared": geometric_mean(pairs[pair] for pair in shared),
            "worst_set": worst[0],
            "worst_k": worst[1],
            "worst_ratio": pairs[worst],
            "pairs_above_1.01": sum(ratio > 1.01 for ratio in pairs.values()),
            "median_fit_seconds": float(np.median(list(seconds[peer].values()))),
            "median_seconds_over_pca": float(np.median(cost)),
            "median_seconds_over_skae": float(np.median(to_skae)),
        }
        mine = [row for row in rows if row["peer"] == peer]
        for name in SECONDS if peer in timed else ():
            reached = {_fit(row): row[name] for row in mine if row[name] is not None}
            both = [reached[fit] for fit in common[name]]
            summary[peer][f"reached_{name[-3:]}"] = len(reached) / len(mine)
            for title, values in (("", list(reached.values())), ("_shared", both)):
                middle = float(np.median(values)) if values else None
                summary[peer][f"median_{name}{title}"] = middle
    return summary


def mean_by_peer_and_set(rows, value):
    """Return {peer: {set: mean of a value over the seeds}}."""
    found = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row["peer"]][row["set"]].append(row[value])
    return {p: {s: float(np.mean(v)) for s, v in sets.items()} for p, sets in found.items()}


def shared_scores(values):
    """Return the scores of {peer: {set: score}} on the sets that all peers have, and the peers.

    The scores are an array with a row for each set and a column for each peer.
    """
    shared = sorted(set.intersection(*(set(sets) for sets in values.values())))
    return np.array([[values[peer][name] for peer in values] for name in shared]), [*values]


def _collection(name):
    return "OddBench" if name.startswith("oddbench/") else "others"


def choose_on_halves(rows, candidates, n_halves=20, value="roc_auc", best=max):
    """Choose among candidates on random halves of the sets; return means on both halves.

    The sets are halved within each collection. On the one half, the candidate is chosen whose mean
    AUROC, or other `value`, over the settings is best, where `best` is max or min.

    Returns
    -------
    means : dict
        For each (peer, setting), and for ("the choice", setting), the mean value over the halves
        that were chosen on, and over the others.
    chosen : dict
        How often each candidate was chosen.
    """
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    values = {
        setting: mean_by_peer_and_set([row for row in rows if row["setting"] == setting], value)
        for setting in settings
    }
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    candidates = [peer for peer in candidates if peer in peers]
    # A peer that failed on a set is not compared on it.
    shared = sorted(set.intersection(*(set(v[p]) for v in values.values() for p in peers)))
    table = np.array([[[values[s][p][name] for name in shared] for s in settings] for p in peers])
    kinds = [_collection(name) for name in shared]
    generator = np.random.default_rng(0)
    found, chosen = defaultdict(list), dict.fromkeys(candidates, 0)
    for _ in range(n_halves):
        half = np.zeros(len(shared), bool)
        for kind in sorted(set(kinds)):
            own = generator.permutation(np.flatnonzero(np.equal(kinds, kind)))
            half[own[: len(own) // 2]] = True
        if half.all() or not half.any() or not candidates:
            continue
        on, off = table[..., half].mean(2), table[..., ~half].mean(2)
        choice = best(candidates, key=lambda peer: on[peers.index(peer)].mean())
        chosen[choice] += 1
        for peer, row in [*zip(peers, range(len(peers)), strict=True), ("the choice", None)]:
            at = peers.index(choice) if row is None else row
            for column, setting in enumerate(settings):
                found[peer, setting].append((on[at, column], off[at, column]))
    return {key: np.mean(pairs, axis=0).tolist() for key, pairs in found.items()}, chosen


def summarise_anomaly(rows):
    """Return each detector's mean figures over the sets, by "peer (setting)"."""
    means, chosen = choose_on_halves(rows, CANDIDATES)
    summary = {}
    for setting, entries in _by_setting(rows).items():
        for peer, entry in entries.items():
            on, off = means.get((peer, setting), (None, None))
            summary[f"{peer} ({setting})"] = entry | {"chosen_on": on, "not_chosen_on": off}
            if peer in chosen:
                summary[f"{peer} ({setting})"]["times_chosen"] = chosen[peer]
        if ("the choice", setting) in means:
            on, off = means["the choice", setting]
            summary[f"the choice ({setting})"] = {"chosen_on": on, "not_chosen_on": off}
    return summary


def summarise_settings(rows):
    """Return each detector's mean figures over the sets, by "peer (setting)"; nothing is chosen."""
    return {
        f"{peer} ({setting})": entry
        for setting, entries in _by_setting(rows).items()
        for peer, entry in entries.items()
    }


def _by_setting(rows):
    settings = dict.fromkeys(row["setting"] for row in rows)
    return {s: _summarise_setting([row for row in rows if row["setting"] == s]) for s in settings}


def _summarise_setting(rows):
    roc_auc = mean_by_peer_and_set(rows, "roc_auc")
    precision = mean_by_peer_and_set(rows, "average_precision")
    seconds = mean_by_peer_and_set(rows, "fit_seconds")
    scores, peers = shared_scores(roc_auc)
    ranks = dict(zip(peers, mean_ranks(scores).tolist(), strict=True))
    forest = seconds.get("IsolationForest", {})
    summary = {}
    for peer, sets in roc_auc.items():
        over = [seconds[peer][name] / forest[name] for name in sets if name in forest]
        summary[peer] = {
            "sets": len(sets),
            "roc_auc": float(np.mean(list(sets.values()))),
            "average_precision": float(np.mean(list(precision[peer].values()))),
            "mean_rank": ranks[peer],
            "best_on": sum(
                v == max(roc_auc[p].get(s, 0) for p in roc_auc) for s, v in sets.items()
            ),
            "mean_fit_seconds": float(np.mean(list(seconds[peer].values()))),
            "median_fit_seconds": float(np.median(list(seconds[peer].values()))),
            "mean_seconds_over_isolation_forest": float(np.mean(over)) if over else None,
            "most_seconds_over_isolation_forest": float(np.max(over)) if over else None,
        }
    return summary


def summarise_variants(rows):
    """Return each peer's mean figures, named by family, set, code width and peer."""
    found = defaultdict(lambda: defaultdict(list))
    for row in rows:
        name = " | ".join(str(row[key]) for key in ("family", "set", "k", "peer"))
        found[name][row["metric"]].append(row["value"])
    return {
        name: {metric: float(np.mean(values)) for metric, values in metrics.items()}
        for name, metrics in found.items()
    }


def summarise_calibration(rows):
    """Return each detector's false alarms for each share asked for.

    Their mean rate, the set where it is worst, and the fraction of the fits whose rate is above the
    share: above_any is that of the splits where it is above any of the shares.
    """
    summary = {}
    for peer in dict.fromkeys(row["peer"] for row in rows):
        mine = [row for row in rows if row["peer"] == peer]
        summary[peer] = {"sets": len({row["set"] for row in mine})}
        for alpha in sorted({row["alpha"] for row in mine}):
            rates = mean_by_peer_and_set([r for r in mine if r["alpha"] == alpha], "false_alarms")[
                peer
            ]
            worst = max(rates, key=lambda name: abs(rates[name] - alpha))
            summary[peer][f"false_alarms_{alpha:g}"] = float(np.mean(list(rates.values())))
            summary[peer][f"worst_set_{alpha:g}"] = worst
            summary[peer][f"worst_false_alarms_{alpha:g}"] = rates[worst]
            above = [row["false_alarms"] > alpha for row in mine if row["alpha"] == alpha]
            summary[peer][f"above_{alpha:g}"] = float(np.mean(above))
        above = defaultdict(bool)
        for row in mine:
            above[row["set"], row["seed"]] |= row["false_alarms"] > row["alpha"]
        summary[peer]["above_any"] = float(np.mean(list(above.values())))
    return summary
