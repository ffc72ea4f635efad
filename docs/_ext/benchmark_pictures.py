"""Draws one picture for each topic of the benchmarks page, from the committed result files."""

from collections import defaultdict

import numpy as np
from generated_pages import OURS, writing
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.costs import case_ratios, medians
from benchmarks.run import load_results
from benchmarks.summary import geometric_mean, mean_by_peer_and_set, mean_ratios

# Both can be read on white, and told apart without their hue: skae's marks are larger too.
SKAE, OTHER = "#b3261e", "#1f5fa8"
GREY = "0.35"
# The axis of the errors ends here; one peer has ratios of 100,000 and more on one set.
LARGEST_RATIO = 20
# (title of a line, part of the speed benchmark, peer, over)
SPEEDS = [
    ("an epoch / a torch loop by hand", "epoch", "skae", "torch loop"),
    ("an epoch with the defaults / that loop", "epoch", "skae (defaults)", "torch loop"),
    ("an epoch / plain skorch's", "epoch", "skae", "skorch"),
    ("an epoch / MLPRegressor's", "epoch", "skae", "MLPRegressor"),
    (
        "time to MLPRegressor's final error / its fit",
        "to_error",
        "skae to MLPRegressor's",
        "MLPRegressor",
    ),
    ("transform, net of PCA's size / PCA's", "transform", "skae, linear-sized", "PCA"),
    ("fit of a detector / IsolationForest's", "detector", "skae, fit", "IsolationForest, fit"),
    ("scores / IsolationForest's", "detector", "skae, scores", "IsolationForest, scores"),
]
SMALL = {"textcoords": "offset points", "ha": "center", "fontsize": 8, "color": GREY}
MEMORY = {
    "patches": "an array in memory",
    "sparse": "a sparse matrix",
    "memory_map": "a mapped file of 10 GB",
}


def plain_log(axis):
    """Write the numbers of a logarithmic axis as they are, not as powers of ten."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def lines_of(axes, names, left=True):
    """Give an axes one horizontal line for each name, the first on top."""
    axes.set_yticks(range(len(names)), names if left else [""] * len(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)


def error_picture(rows):
    """Return each set's ratio to PCA's error, of skae and of the other nets."""
    ratios = mean_ratios(rows)
    markers = {OURS: "o", "skae (random start)": "D", "MLPRegressor": "s", "PyOD AutoEncoder": "^"}
    colors = {OURS: SKAE, "skae (random start)": "#7a4b9b", "MLPRegressor": OTHER}
    means, markers = {}, {peer: mark for peer, mark in markers.items() if peer in ratios}
    for peer in markers:
        by_set = defaultdict(list)
        for (name, _), ratio in ratios[peer].items():
            by_set[name].append(ratio)
        means[peer] = {name: geometric_mean(values) for name, values in by_set.items()}
    names = sorted(means[OURS], key=means[OURS].get)
    figure = Figure(figsize=(7.5, 5.4), layout="constrained")
    axes = figure.subplots()
    for peer, marker in markers.items():
        places = [i for i, name in enumerate(names) if name in means[peer]]
        values = [means[peer][names[i]] for i in places]
        axes.plot(
            np.minimum(values, LARGEST_RATIO),
            places,
            marker,
            color=colors.get(peer, GREY),
            markersize=9 if peer == OURS else 5,
            mfc=SKAE if peer == OURS else "white",
            # small open marks over the large full one, or they would be hidden
            zorder=2 if peer == OURS else 3,
            label=peer,
        )
        for place, value in zip(places, values, strict=True):
            if value > LARGEST_RATIO:
                axes.annotate(f"{value:,.0f}", (LARGEST_RATIO, place), (0, 6), **SMALL)
    axes.axvline(1, color="0", lw=1)
    lines_of(axes, names)
    axes.set(xscale="log", xlabel="squared error of held-out rows over PCA's; 1: as good as PCA")
    plain_log(axes.xaxis)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def never_worse_picture(rows):
    """Return which fraction of the tables has at most each ratio, of new rows and of far ones."""
    lines = {
        "new rows": ("ratio_to_pca", SKAE, "-"),
        "rows 3 standard deviations away": ("rows_at_3", OTHER, "--"),
        "one feature 10 standard deviations away": ("feature_at_10", GREY, ":"),
    }
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.subplots()
    fractions = np.arange(1, len(rows) + 1) / len(rows)
    for label, (key, color, style) in lines.items():
        values = np.sort([row[key] for row in rows])
        axes.step(values, fractions, style, color=color, lw=2, where="post", label=label)
    axes.axvline(1, color="0", lw=1)
    axes.set(
        xscale="log",
        xticks=[0.05, 0.1, 0.2, 0.5, 1, 2],
        xlabel="squared error over PCA's; right of 1: worse than PCA",
        ylabel=f"fraction of {len(rows)} tables",
    )
    plain_log(axes.xaxis)
    axes.grid(alpha=0.25)
    axes.spines[["right", "top"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False)
    return figure


def detection_picture(summary):
    """Return the mean AUROCs on halves of the sets that skae's score was not chosen on."""
    settings = {
        "contaminated": "Anomalies among the rows to fit",
        "clean": "Clean rows to fit",
    }
    names = {"the choice": OURS}
    peers = [key.removesuffix(" (clean)") for key in summary if key.endswith(" (clean)")]
    peers = [peer for peer in peers if not peer.startswith(OURS)]
    values = {
        setting: {p: summary[f"{p} ({setting})"]["not_chosen_on"] for p in peers}
        for setting in settings
    }
    peers.sort(key=lambda peer: -sum(values[setting][peer] for setting in settings))
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    low = min(min(of_peers.values()) for of_peers in values.values()) - 0.02
    for axes, (setting, title) in zip(
        figure.subplots(1, 2, sharex=True), settings.items(), strict=True
    ):
        for place, peer in enumerate(peers):
            ours = peer in names
            color = SKAE if ours else OTHER
            value = values[setting][peer]
            axes.plot([low, value], [place, place], color=color, lw=1.5, alpha=0.5)
            axes.plot(value, place, "o", color=color, markersize=9 if ours else 6)
            axes.annotate(f"{value:.3f}", (value, place), (7, -3), textcoords="offset points")
        lines_of(axes, [names.get(peer, peer) for peer in peers], left=setting == "contaminated")
        axes.set(title=title, xlabel="mean AUROC")
        axes.set_xlim(low, max(max(v.values()) for v in values.values()) + 0.05)
    return figure


def false_alarms_picture(rows):
    """Return each detector's false alarms: on the sets of mlbench, and the mean on the others."""
    alphas = sorted({row["alpha"] for row in rows})
    kinds = [[r for r in rows if ("mlbench" in r["set"]) == fresh] for fresh in (True, False)]
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    for i, (axes, alpha) in enumerate(zip(figure.subplots(1, len(alphas)), alphas, strict=True)):
        fresh, used = (
            mean_by_peer_and_set([r for r in of if r["alpha"] == alpha], "false_alarms")
            for of in kinds
        )
        peers = [peer for peer in fresh if peer != "skae, confidence=0.9"]
        peers.sort(key=lambda peer: peer != OURS)
        end = 200 * alpha + 4
        for place, peer in enumerate(peers):
            shares, others = (100 * np.array(list(of[peer].values())) for of in (fresh, used))
            style = {"color": SKAE if peer == OURS else OTHER}
            axes.plot([shares.min(), min(shares.max(), end)], [place] * 2, lw=2, alpha=0.6, **style)
            axes.plot(min(shares.mean(), end), place, "o", clip_on=False, markersize=8, **style)
            if shares.mean() > end:
                axes.annotate(f"{shares.mean():.0f} %", (end, place), (-4, 8), **SMALL)
            if others.mean() < end:
                axes.plot(others.mean(), place, "D", mfc="white", markersize=5, **style)
        axes.axvline(100 * alpha, color="0", lw=1)
        lines_of(axes, peers, left=i == 0)
        axes.set(title=f"Asked for {alpha:.0%}", xlabel="% of new clean rows", xlim=(0, end))
    handles = [
        Line2D([], [], color=GREY, marker="o", label="six sets of mlbench: mean and range"),
        Line2D(
            [], [], color=GREY, marker="D", mfc="white", ls="", label="fourteen of ADBench: mean"
        ),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
    return figure


def speed_picture(rows):
    """Return how many times as long as others skae takes, a dot for each case."""
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    axes = figure.subplots()
    for place, (_, part, peer, over) in enumerate(SPEEDS):
        ratios = [r for r in case_ratios(rows, part, peer, over).values() if np.isfinite(r)]
        axes.plot(ratios, [place] * len(ratios), "o", color=OTHER, alpha=0.45, mec="none")
        axes.plot(np.median(ratios), place, "|", color=SKAE, markersize=20, mew=3)
    axes.axvline(1, color="0", lw=1)
    lines_of(axes, [title for title, *_ in SPEEDS])
    axes.set(
        xscale="log",
        xticks=[0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20],
        xlabel="skae's time over the other's; left of 1: skae is faster",
    )
    plain_log(axes.xaxis)
    handles = [
        Line2D([], [], color=OTHER, alpha=0.45, marker="o", mec="none", ls="", label="a case"),
        Line2D([], [], color=SKAE, marker="|", mew=3, markersize=12, ls="", label="their median"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
    return figure


def memory_picture(rows):
    """Return the memory that a fit needs beyond X."""
    names, beyond, of = [], [], []
    for part, title in MEMORY.items():
        for case, peers in medians(rows, part, "beyond_mb").items():
            for peer, value in peers.items():
                names.append(f"{peer}, {title},\n{case}")
                beyond.append(value)
                of.append(peer)
    figure = Figure(figsize=(7.5, 2.8), layout="constrained")
    axes = figure.subplots()
    colors = [SKAE if peer == OURS else OTHER for peer in of]
    axes.barh(range(len(names)), beyond, color=colors, height=0.55)
    for place, value in enumerate(beyond):
        text = f"{value:,.0f} MB" if value >= 1 else f"{value:.1g} MB"
        axes.annotate(text, (value, place), (5, 0), textcoords="offset points", va="center")
    lines_of(axes, names)
    axes.grid(visible=False)
    axes.set(xlabel="MB of memory beyond X, at most during the fit")
    axes.set_xlim(right=1.15 * max(beyond))
    return figure


def deep_picture(rows):
    """Return each optimizer's error of test images against the epochs and the seconds of fits."""
    styles = {
        "adam (default)": (SKAE, "o-"),
        "adam": (SKAE, "o--"),
        "adamw": (GREY, "D:"),
        "soap": (OTHER, "s-"),
        "muon": ("#7a4b9b", "^-"),
    }
    fits = [row for row in rows if row["set"] == "fits" and row["peer"] in styles]
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    panels = {"n_iter": "epochs of a fit", "seconds": "seconds of a fit, on the processor"}
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, (key, label) in zip((left, right), panels.items(), strict=True):
        for peer, (color, style) in styles.items():
            own = sorted((row[key], row["error"]) for row in fits if row["peer"] == peer)
            axes.plot(*zip(*own, strict=True), style, color=color, mfc="white", label=peer)
        values = sorted({row[key] for row in fits})
        ticks = values if key == "n_iter" else [20, 50, 100, 200]
        axes.set(xscale="log", xticks=ticks, xlabel=label)
        plain_log(axes.xaxis)
        axes.grid(alpha=0.25)
        axes.spines[["right", "top"]].set_visible(False)
    left.set_ylabel("squared error of a test image")
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=5, frameon=False)
    return figure


def draw(folder, results):
    """Write every picture."""
    names = ("fresh", "never_worse", "anomaly", "calibration", "speed", "memory", "deep")
    rows = {name: load_results(results / name) for name in names}
    pictures = {
        "error": error_picture(rows["fresh"][0]),
        "never_worse": never_worse_picture(rows["never_worse"][0]),
        "detection": detection_picture(rows["anomaly"][1]["summary"]),
        "false_alarms": false_alarms_picture(rows["calibration"][0]),
        "speed": speed_picture(rows["speed"][0]),
        "memory": memory_picture(rows["memory"][0]),
        "deep": deep_picture(rows["deep"][0]),
    }
    for name, figure in pictures.items():
        figure.savefig(folder / f"picture_{name}.svg")


setup = writing(draw)
