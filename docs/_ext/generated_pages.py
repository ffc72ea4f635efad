"""Writes the parts of the documentation that follow from the code and from the result files."""

import importlib
import inspect
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.run import load_results
from benchmarks.summary import (
    geometric_mean,
    mean_by_peer_and_set,
    mean_ratios,
    shared_scores,
)
from skae.architectures import ACTIVATIONS, ARCHITECTURES
from skae.corruptions import CORRUPTIONS
from skae.losses import LOSSES
from skae.optimizers import OPTIMIZERS
from skae.penalties import PENALTIES
from skae.plotting import CriticalDifferenceDisplay
from skae.schedules import SCHEDULES
from skae.scorings import SCORINGS

REGISTRIES = {
    "architectures": ARCHITECTURES,
    "corruptions": CORRUPTIONS,
    "losses": LOSSES,
    "optimizers": OPTIMIZERS,
    "penalties": PENALTIES,
    "schedules": SCHEDULES,
    "scorings": SCORINGS,
}
OURS = "skae"


def list_table(header, rows, widths=None):
    """Return a table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1"]
    if widths:
        lines.append(f"   :widths: {widths}")
    lines.append("")
    for row in [header, *rows]:
        lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def strategy_tables(folder):
    """Write a table for each registry: names, classes, what they are."""
    for module, registry in REGISTRIES.items():
        rows = []
        for name, strategy in registry.items():
            parameters = inspect.signature(strategy).parameters.values()
            text = ", ".join(f"``{p.name}={p.default!r}``" for p in parameters) or "none"
            summary = inspect.getdoc(strategy).splitlines()[0]
            link = f":class:`~skae.{module}.{strategy.__name__}`"
            rows.append([f'``"{name}"``', link, text, summary])
        table = list_table(["Name", "Class", "Parameters", "What it is"], rows, "18 18 26 38")
        (folder / f"{module}.inc").write_text(table)
    names = ", ".join(f'``"{name}"``' for name in ACTIVATIONS)
    (folder / "activations.inc").write_text(names + "\n")


API = {
    "Estimators": ["skae"],
    "Drift": ["skae.drift"],
    "Searches": ["skae.model_selection"],
    "Files and export": ["skae.io", "skae.export"],
    "Comparison, metrics, plots and tables": [
        "skae.compare",
        "skae.metrics",
        "skae.plotting",
        "skae.tables",
    ],
    "Strategies": [f"skae.{module}" for module in REGISTRIES],
}


def api_page(folder):
    """Write the list of everything in the public modules' ``__all__``."""
    lines = []
    for title, modules in API.items():
        lines += [title, "-" * len(title), ""]
        for module in modules:
            public = importlib.import_module(module)
            names = [n for n in public.__all__ if callable(getattr(public, n))]
            # directly below the heading, or links to the module would lead nowhere
            target = [f".. module:: {module}", ""]
            if len(modules) > 1:
                about = inspect.getdoc(public).split("\n\n")[0]
                target = [module, "~" * len(module), "", *target, about, ""]
            lines += [*target, ".. autosummary::", "   :toctree: generated/"]
            # on a phone they would leave no room for what a name is
            lines += ["   :nosignatures:", "", *(f"   {name}" for name in sorted(names)), ""]
    (folder / "api_list.rst").write_text("\n".join(lines))


def number(value, form="{:.3f}"):
    return "" if value is None else form.format(value)


def benchmark_tables(folder, results, prefix="benchmark"):
    """Write the tables of the reconstruction benchmark, the names of whose files have a prefix."""
    rows, about = load_results(results)
    summary, ratios = about["summary"], mean_ratios(rows)
    peers = list(summary)
    ours = summary[OURS]
    n_splits = len({row["seed"] for row in rows})
    splits = "one split" if n_splits == 1 else f"the mean of {n_splits} splits"
    text = [
        f"Over {ours['pairs']} pairs of set and code width the default's held-out error is "
        f"**{ours['geometric_mean']:.3f}** times PCA's (geometric mean of the pairs, each "
        f"{splits}). The worst pair is {ours['worst_ratio']:.3f} ({ours['worst_set']}, "
        f"{ours['worst_k']} components); {ours['pairs_above_1.01']} of them are above 1.01.",
        "",
        results_line(about),
    ]
    (folder / f"{prefix}_summary.inc").write_text("\n".join(text))

    header = [
        "Method",
        "Pairs",
        "Ratio to PCA",
        "on shared pairs",
        "Worst pair",
        "Above 1.01",
        "Median fit, seconds",
        "Fit over skae's",
    ]
    body = [
        [
            peer,
            str(e["pairs"]),
            number(e["geometric_mean"]),
            number(e["geometric_mean_shared"]),
            f"{e['worst_ratio']:.2f} ({e['worst_set']}, {e['worst_k']})",
            str(e["pairs_above_1.01"]),
            number(e["median_fit_seconds"], "{:.3g}"),
            number(e["median_seconds_over_skae"], "{:.3g}"),
        ]
        for peer, e in summary.items()
    ]
    (folder / f"{prefix}_peers.inc").write_text(list_table(header, body))

    header = [
        "Method",
        "Fits that reach 0.9 x PCA",
        "median seconds",
        "where all do",
        "reach 0.7 x PCA",
        "median seconds",
        "where all do",
    ]
    body = [
        [
            peer,
            number(e["reached_0.9"], "{:.0%}"),
            number(e["median_seconds_to_0.9"], "{:.2f}"),
            number(e["median_seconds_to_0.9_shared"], "{:.2f}"),
            number(e["reached_0.7"], "{:.0%}"),
            number(e["median_seconds_to_0.7"], "{:.2f}"),
            number(e["median_seconds_to_0.7_shared"], "{:.2f}"),
        ]
        for peer, e in summary.items()
        if e.get("reached_0.9")
    ]
    (folder / f"{prefix}_time.inc").write_text(list_table(header, body))

    sizes = {row["set"]: (row["n_rows"], row["n_features"]) for row in rows}
    seconds = defaultdict(list)
    for row in rows:
        if row["peer"] == OURS:
            seconds[row["set"], row["k"]].append(row["fit_seconds"])
    others = [peer for peer in peers if peer != "PCA"]
    body = []
    for name, k in ratios[OURS]:
        cells = []
        best = min(ratios[peer].get((name, k), np.inf) for peer in peers)
        for peer in others:
            ratio = ratios[peer].get((name, k))
            cell = number(ratio)
            cells.append(f"**{cell}**" if ratio == best else cell)
        n_rows, n_features = sizes[name]
        time = number(float(np.median(seconds[name, k])), "{:.1f}")
        body.append([name, f"{n_rows} x {n_features}", str(k), *cells, time])
    header = ["Set", "Rows x features", "k", *others, "skae, seconds"]
    (folder / f"{prefix}_pairs.inc").write_text(list_table(header, body))

    losses = []
    for pair in ratios[OURS]:
        beaten = {
            p: ratios[p][pair] for p in peers if ratios[p].get(pair, np.inf) < ratios[OURS][pair]
        }
        if beaten:
            peer = min(beaten, key=beaten.get)
            losses.append([*map(str, pair), number(ratios[OURS][pair]), peer, number(beaten[peer])])
    text = (
        list_table(["Set", "k", "skae", "Beaten by", "Its ratio"], losses) if losses else "None.\n"
    )
    (folder / f"{prefix}_losses.inc").write_text(text)

    by_set = defaultdict(list)
    for (name, _), ratio in ratios[OURS].items():
        by_set[name].append(ratio)
    body = [
        [n, f"{sizes[n][0]} x {sizes[n][1]}", number(geometric_mean(v))] for n, v in by_set.items()
    ]
    (folder / f"{prefix}_sets.inc").write_text(
        list_table(["Set", "Rows x features", "Geometric mean ratio"], body)
    )
    (folder / f"{prefix}_left_out.inc").write_text(left_out_table(about))


def results_line(about):
    """Return when, where and with what a result file was measured, and how."""
    hardware = about["hardware"]
    versions = ", ".join(f"{name} {v}" for name, v in about["versions"].items() if v)
    return (
        f"Measured on {about['date']} on {hardware.get('cpu', hardware['machine'])}, "
        f"{hardware['cores']} cores, {hardware.get('memory_gib', '?')} GiB, one thread; "
        f"{versions}. {about['protocol']}\n"
    )


def writing(write):
    """Return a Sphinx `setup` of a module whose `write` makes files from the committed results.

    It is called with the folder of the generated files and that of the results, before Sphinx reads
    the sources.
    """

    def write_pages(app):
        source = Path(app.srcdir)
        folder = source / "generated"
        folder.mkdir(exist_ok=True)
        write(folder, source.parent / "benchmarks" / "results")

    def setup(app):
        app.connect("builder-inited", write_pages, priority=100)
        return {"parallel_read_safe": True}

    return setup


def left_out_table(about):
    """Return what was not measured, and why."""
    left = [[e["set"], e["peer"], e["why"]] for e in about["left_out"]]
    return list_table(["Set", "Peer", "Why"], left) if left else "Nothing.\n"


_DETECTION = {
    "sets": ("Sets", "{:d}"),
    "roc_auc": ("AUROC", "{:.3f}"),
    "not_chosen_on": ("on halves not chosen on", "{:.3f}"),
    "chosen_on": ("on halves chosen on", "{:.3f}"),
    "times_chosen": ("times chosen", "{:d}"),
    "average_precision": ("AP", "{:.3f}"),
    "mean_rank": ("mean rank", "{:.2f}"),
    "mean_fit_seconds": ("mean fit, seconds", "{:.2f}"),
    "mean_seconds_over_isolation_forest": ("over IsolationForest's", "{:.1f}"),
}


def anomaly_tables(folder, results, name):
    """Write the tables and the pictures of a benchmark of detectors."""
    rows, about = load_results(results / name)
    (folder / f"{name}_summary.inc").write_text(results_line(about))
    summary = about["summary"]
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    for setting in settings:
        own = [row for row in rows if row["setting"] == setting]
        values = mean_by_peer_and_set(own, "roc_auc")
        peers = sorted(values, key=lambda peer: -summary[f"{peer} ({setting})"]["roc_auc"])
        figure = critical_difference_diagram(values)
        figure.savefig(folder / f"{name}_{setting}.svg", bbox_inches="tight")
        listed = {peer: summary.get(f"{peer} ({setting})") for peer in [*peers, "the choice"]}
        listed = {peer: entry for peer, entry in listed.items() if entry is not None}
        # Nothing was chosen on some benchmarks' sets.
        columns = {
            key: column
            for key, column in _DETECTION.items()
            if any(key in e for e in listed.values())
        }
        body = [
            [peer, *(number(entry.get(key), form) for key, (_, form) in columns.items())]
            for peer, entry in listed.items()
        ]
        header = ["Method", *(title for title, _ in columns.values())]
        (folder / f"{name}_peers_{setting}.inc").write_text(list_table(header, body))
        about_set = {row["set"]: row for row in own}
        body = []
        for data, row in about_set.items():
            means = [values[peer].get(data, np.nan) for peer in peers]
            cells = [f"**{m:.3f}**" if m == np.nanmax(means) else f"{m:.3f}" for m in means]
            shape = f"{row['n_rows']} x {row['n_features']}, {row['share_of_anomalies']:.1%}"
            body.append([data, shape, *cells])
        header = ["Set", "Rows to fit x features, anomalies among those to judge", *peers]
        (folder / f"{name}_sets_{setting}.inc").write_text(list_table(header, body))
    (folder / f"{name}_left_out.inc").write_text(left_out_table(about))


def critical_difference_diagram(values):
    """Return a figure of the mean ranks of {peer: {set: score}}."""
    scores, peers = shared_scores(values)
    figure = Figure(figsize=(8, 0.13 * len(peers) + 1.6), layout="constrained")
    display = CriticalDifferenceDisplay.from_scores(scores, names=peers, ax=figure.subplots())
    if OURS in peers:
        display.texts_[peers.index(OURS)].set_weight("bold")
    return figure


def calibration_tables(folder, results):
    """Write the tables of the false alarms."""
    rows, about = load_results(results)
    (folder / "calibration_summary.inc").write_text(results_line(about))
    alphas = sorted({row["alpha"] for row in rows})
    header = ["Method", *(f"{t} at {a:g}" for a in alphas for t in ("Mean", "Worst set"))]
    body = []
    for peer, e in about["summary"].items():
        cells = [peer]
        for a in alphas:
            cells.append(number(e[f"false_alarms_{a:g}"], "{:.4f}"))
            worst = number(e[f"worst_false_alarms_{a:g}"], "{:.3f}")
            cells.append(f"{worst} ({e[f'worst_set_{a:g}']})")
        body.append(cells)
    (folder / "calibration_peers.inc").write_text(list_table(header, body))
    header = ["Method", *(f"Above {a:g}" for a in alphas), "Above any of them"]
    columns = [*(f"above_{a:g}" for a in alphas), "above_any"]
    body = [
        [peer, *(number(e.get(column), "{:.1%}") for column in columns)]
        for peer, e in about["summary"].items()
    ]
    (folder / "calibration_above.inc").write_text(list_table(header, body))

    rates, sizes, seeds = defaultdict(list), {}, {row["seed"] for row in rows}
    for row in rows:
        sizes[row["set"]] = row["n_rows"]
        if row["peer"] == OURS:
            rates[row["set"], row["alpha"]].append(row["false_alarms"])
    body, within = [], 0
    for name, n in sizes.items():
        cells = [name, str(n)]
        for a in alphas:
            # of the training rows' quantile, and of the count among as many new rows
            error = np.sqrt(a * (1 - a) * 2 / n / len(seeds))
            mean = float(np.mean(rates[name, a]))
            inside = abs(mean - a) <= 2 * error + 1 / (n + 1)
            within += inside
            cells.append(f"{mean:.4f} ({2 * error:.4f})" + ("" if inside else " *"))
        body.append(cells)
    header = ["Set", "Rows", *(f"at {a:g} (two errors)" for a in alphas)]
    text = list_table(header, body)
    text += (
        f"\n{within} of {len(sizes) * len(alphas)} means of {len(seeds)} splits lie within two "
        "standard errors (and the step of one row) of what was asked for; a star marks the others. "
        "The splits of a small set overlap, so its means vary more than that.\n"
    )
    (folder / "calibration_sets.inc").write_text(text)


def probability_tables(folder, results):
    """Write the tables of the probabilities of being an anomaly."""
    rows, about = load_results(results)
    (folder / "probability_summary.inc").write_text(results_line(about))
    header = [
        "Method",
        "Sets",
        "Log-loss",
        "Brier score",
        "Calibration error",
        "Better than constant",
    ]
    header += ["Log-loss on halves not chosen on", "Brier score there", "Times chosen"]
    columns = ["sets", "log_loss", "brier", "calibration_error", "better_than_constant"]
    columns += ["log_loss_not_chosen_on", "brier_not_chosen_on", "times_chosen_by_log_loss"]
    forms = {"sets": "{:d}", "times_chosen_by_log_loss": "{:d}", "brier": "{:.4f}"}
    forms |= {"better_than_constant": "{:.0%}", "brier_not_chosen_on": "{:.4f}"}
    for setting in dict.fromkeys(row["setting"] for row in rows):
        ending = f" ({setting})"
        body = [
            [
                name.removesuffix(ending),
                *(number(e.get(c), forms.get(c, "{:.3f}")) for c in columns),
            ]
            for name, e in about["summary"].items()
            if name.endswith(ending)
        ]
        (folder / f"probability_{setting}.inc").write_text(list_table(header, body))
    (folder / "probability_left_out.inc").write_text(left_out_table(about))


def never_worse_tables(folder, results):
    """Write the table of unseen rows and rows far away, table by table."""
    _, about = load_results(results)
    header = ["Table", "Cases", "Mean ratio", "> 1.01", "> 1.1", "Worst"]
    header += [f"Worst at {d} sd" for d in (3, 10, 100)]
    header += ["One feature at 10 sd"]
    body = []
    for name, e in about["summary"].items():
        far = [e[f"rows_at_{d}_worst"] for d in (3, 10, 100)]
        shares = [f"{100 * e[key]:.1f} %" for key in ("above_1.01", "above_1.1")]
        ratios = [number(v, "{:.2f}") for v in (e["worst"], *far, e["feature_at_10_worst"])]
        body.append([name, str(e["cases"]), number(e["geometric_mean"]), *shares, *ratios])
    text = results_line(about) + "\n" + list_table(header, body)
    (folder / "never_worse.inc").write_text(text)


def variants_tables(folder, results):
    """Write a table for each family of variants: its peers and their mean figures."""
    rows, about = load_results(results)
    (folder / "variants_summary.inc").write_text(results_line(about))
    families = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in rows:
        peers = families[row["family"]]
        peers[row["set"], row["k"], row["peer"]][row["metric"]].append(row["value"])
    for family, peers in families.items():
        metrics = list(dict.fromkeys(name for figures in peers.values() for name in figures))
        # A peer that was measured later still belongs to its set.
        sets = list(dict.fromkeys((name, k) for name, k, _ in peers))
        body, before = [], None
        for (name, k, peer), figures in sorted(peers.items(), key=lambda e: sets.index(e[0][:2])):
            title = f"{name}, k = {k}"
            means = (np.mean(figures[m]) if m in figures else None for m in metrics)
            cells = [number(m, "{:,.0f}" if m and m >= 1e4 else "{:.4g}") for m in means]
            body.append(["" if title == before else title, peer, *cells])
            before = title
        header = ["Set", "Method", *(metric.replace("_", " ") for metric in metrics)]
        if len(sets) == 1:
            # the page says which set it is
            header, body = header[1:], [row[1:] for row in body]
        (folder / f"variants_{family}.inc").write_text(list_table(header, body))


def changelog(folder, path):
    """Write the changelog, which is Markdown of headings, lists and code, as reStructuredText."""
    lines = []
    for line in path.read_text().splitlines()[1:]:
        if line.startswith("## "):
            lines += [line[3:], "-" * len(line[3:])]
        elif line.startswith("### "):
            lines += [line[4:], "~" * len(line[4:])]
        else:
            line = line.replace("`", "``")
            lines.append(re.sub(r"\[([^]]+)\]\((http[^)]+)\)", r"`\1 <\2>`_", line))
    (folder / "changelog.inc").write_text("\n".join(lines) + "\n")


def write_pages(app):
    """Write everything before Sphinx reads the sources."""
    source = Path(app.srcdir)
    folder = source / "generated"
    folder.mkdir(exist_ok=True)
    api_page(source)
    changelog(folder, source.parent / "CHANGELOG.md")
    strategy_tables(folder)
    results = source.parent / "benchmarks" / "results"
    benchmark_tables(folder, results / "reconstruction")
    benchmark_tables(folder, results / "fresh", "fresh")
    anomaly_tables(folder, results, "anomaly")
    anomaly_tables(folder, results, "wide")
    calibration_tables(folder, results / "calibration")
    probability_tables(folder, results / "probability")
    never_worse_tables(folder, results / "never_worse")
    variants_tables(folder, results / "variants")


def setup(app):
    app.connect("builder-inited", write_pages, priority=100)
    return {"parallel_read_safe": True}
