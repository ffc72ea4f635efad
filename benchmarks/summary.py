"""What the rows of a task come to."""

from collections import defaultdict

import numpy as np

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
