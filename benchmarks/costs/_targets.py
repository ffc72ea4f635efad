"""What the costs must come to, and what they do come to."""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Target:
    """A limit on a peer's figure, as a ratio to another's or as it is.

    Parameters
    ----------
    set : str
        The part.
    peer, over : str
        Whose figure is divided by whose; without `over`, the figure itself counts.
    limit : float
    at_least : bool
        Whether the limit is the least that the figure may be, and not the most.
    metric : str
    only : str
        What the names of the cases end with that it holds for.
    """

    set: str
    peer: str
    over: str | None
    limit: float
    at_least: bool = False
    metric: str = "seconds"
    only: str = ""

    @property
    def title(self):
        """What is measured, in words."""
        of = f"{self.peer} / {self.over}" if self.over else f"{self.peer}, {self.metric}"
        return f"{self.set}: {of}" + (f" ({self.only})" if self.only else "")

    def met(self, value):
        """Return whether a figure is within the limit."""
        return value >= self.limit if self.at_least else value <= self.limit


TARGETS = [
    Target("epoch", "skae", "torch loop", 1.05),
    Target("epoch", "skae", "skorch", 0.6, only="batch 32"),
    Target("epoch", "skae", "MLPRegressor", 0.8, only="batch 32"),
    *(
        Target("to_error", title, f"skae to {title}'s", 5.0, at_least=True)
        for title in ("MLPRegressor", "PyOD AutoEncoder")
    ),
    Target("transform", "skae, linear-sized", "PCA", 3.0),
    Target("transform", "skae, linear-sized", "forward, linear-sized", 1.1),
    Target("transform", "skae, default net", "forward, default net", 1.1),
    Target("detector", "skae, fit", "IsolationForest, fit", 3.0),
    Target("detector", "skae, scores", "IsolationForest, scores", 3.0),
    *(
        Target("batched", "GridSearchCV", "BatchedGridSearchCV", limit, at_least=True, only=width)
        for width, limit in (("64 wide", 5.0), ("128 wide", 2.0))
    ),
    Target("import", "torch, skorch, skae", "torch, skorch", 1.1),
    Target("busy", "skae, beside a busy core", "skae", 2.5),
    Target("file", "skae", None, 180),
    Target("file", "skae", None, 3, metric="until_bar"),
    Target("search", "n_jobs=1", "n_jobs=2", 1.6, at_least=True),
    Target("patches", "skae", None, 300, metric="beyond_mb"),
    Target("sparse", "skae", None, 2000, metric="peak_mb"),
    Target("memory_map", "skae", None, 1000, metric="beyond_mb"),
]


def _by_case(rows, part, metric):
    """Return {case: {repeat: {peer: figure}}}, in the order of the rows."""
    found = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row["set"] == part and row["metric"] == metric:
            found[row["case"]][row["seed"]][row["peer"]] = row["value"]
    return found


def case_ratios(rows, part, peer, over=None, metric="seconds"):
    """Return {case: median over the repeats of a ratio of two peers measured turn by turn}.

    A peer that never came there took infinitely long.
    """
    ratios = {}
    for case, repeats in _by_case(rows, part, metric).items():
        values = [
            _number(figures[peer]) / (1 if over is None else _number(figures[over]))
            for figures in repeats.values()
            if peer in figures and (over is None or over in figures)
        ]
        if values:
            ratios[case] = float(np.median(values))
    return ratios


def _number(value):
    return math.inf if value is None else value


def medians(rows, part, metric="seconds"):
    """Return {case: {peer: median over the repeats}}; None where it mostly did not come there."""
    found = {}
    for case, repeats in _by_case(rows, part, metric).items():
        peers = dict.fromkeys(peer for figures in repeats.values() for peer in figures)
        found[case] = {}
        for peer in peers:
            values = [_number(f[peer]) for f in repeats.values() if peer in f]
            median = float(np.median(values))
            found[case][peer] = None if math.isinf(median) else median
    return found


def summarise_costs(rows):
    """Return, for each target, the case that is farthest from it and how many are within."""
    summary = {}
    for target in TARGETS:
        ratios = case_ratios(rows, target.set, target.peer, target.over, target.metric)
        ratios = {case: ratio for case, ratio in ratios.items() if case.endswith(target.only)}
        if not ratios:
            continue
        worst = (min if target.at_least else max)(ratios, key=ratios.get)
        summary[target.title] = {
            "limit": target.limit,
            "median": float(np.median(list(ratios.values()))),
            "worst": ratios[worst],
            "worst_case": worst,
            "met": sum(map(target.met, ratios.values())),
            "cases": len(ratios),
        }
    return summary


def summarise_medians(rows):
    """Return each peer's median figures, named by part and case."""
    return {
        f"{part} | {case}": peers
        for part in dict.fromkeys(row["set"] for row in rows)
        for case, peers in medians(rows, part).items()
    }
