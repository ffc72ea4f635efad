"""Writes the tables and the plot of what skae costs, from the committed result files."""

import re

from generated_pages import left_out_table, list_table, number, results_line, writing

from benchmarks.costs import TARGETS, case_ratios, medians, summarise_costs
from benchmarks.run import load_results

LOOP = "torch loop"
EPOCH_PEERS = ["skae", "skae (defaults)", "skorch", "MLPRegressor", "PyOD AutoEncoder"]
OTHERS = ["MLPRegressor", "PyOD AutoEncoder"]
# (part, peer, over): what a line of the table of processes says
PROCESSES = {
    "Import with skae over without": ("import", "torch, skorch, skae", "torch, skorch"),
    "skae beside a busy core, over alone": ("busy", "skae, beside a busy core", "skae"),
    "The torch loop with all threads, the same": (
        "busy",
        "torch loop, all threads, beside a busy core",
        "torch loop, all threads",
    ),
    "Grid search, one process over two": ("search", "n_jobs=1", "n_jobs=2"),
}
AXES = {
    "rows": ("n_rows", "Rows, of 64 features, 8 components"),
    "features": ("n_features", "Features of 2,000 rows, 8 components"),
    "components": ("k", "Components of 5,000 x 784"),
}


def seconds(value):
    """Return seconds as text."""
    return number(value, "{:.3g}")


def figure_text(value):
    """Return a ratio, or a number of megabytes, as text."""
    return number(value, "{:,.0f}" if value >= 100 else "{:.3g}")


def target_tables(folder, rows):
    """Write each target beside the worst case, and every case that misses one."""
    summary = summarise_costs(rows)
    body, missed = [], []
    for target in TARGETS:
        entry = summary.get(target.title)
        if entry is None:
            body.append([target.title, limit(target), "", "", "", "not measured"])
            continue
        worst, met = figure_text(entry["worst"]), f"{entry['met']} of {entry['cases']}"
        kept = entry["met"] == entry["cases"]
        body.append(
            [
                target.title,
                limit(target),
                figure_text(entry["median"]),
                worst,
                entry["worst_case"],
                met if kept else f"**{met}**",
            ]
        )
        ratios = case_ratios(rows, target.set, target.peer, target.over, target.metric)
        missed += [
            [target.title, limit(target), case, figure_text(ratio)]
            for case, ratio in ratios.items()
            if case.endswith(target.only) and not target.met(ratio)
        ]
    header = ["What", "Target", "Median case", "Worst", "in", "Cases within"]
    (folder / "costs_targets.inc").write_text(list_table(header, body, "32 12 10 10 24 12"))
    header = ["What", "Target", "Case", "Measured"]
    text = list_table(header, missed, "38 14 34 14") if missed else "Nowhere.\n"
    (folder / "costs_missed.inc").write_text(text)


def limit(target):
    """Return a target's limit in words."""
    return f"at {'least' if target.at_least else 'most'} {target.limit:g}"


def epoch_table(folder, rows):
    """Write the seconds of the loop's epoch, and every peer's as a multiple of them."""
    loop = medians(rows, "epoch")
    over = {peer: case_ratios(rows, "epoch", peer, LOOP) for peer in EPOCH_PEERS}
    body = [
        [case, seconds(peers[LOOP]), *(number(over[p].get(case), "{:.2f}") for p in EPOCH_PEERS)]
        for case, peers in loop.items()
    ]
    header = ["Rows x features", "The loop, seconds", *EPOCH_PEERS]
    (folder / "costs_epoch.inc").write_text(list_table(header, body))


def profile_table(folder, rows):
    """Write what a step of the defaults goes to."""
    rows = [row for row in rows if row["set"] == "profile"]
    names = list(dict.fromkeys(row["metric"] for row in rows))
    cases = list(dict.fromkeys(row["case"] for row in rows))
    found = {name: medians(rows, "profile", name) for name in names}
    body = [
        [name, *(f"{found[name][case]['skae (defaults)']:,.0f}" for case in cases)]
        for name in names
    ]
    (folder / "costs_profile.inc").write_text(list_table(["Microseconds", *cases], body))


def error_table(folder, rows):
    """Write how soon skae has the error that the others end with."""
    sizes = {row["case"]: row for row in rows if row["set"] == "to_error"}
    ratios = {t: case_ratios(rows, "to_error", t, f"skae to {t}'s") for t in OTHERS}
    body = []
    for case, peers in medians(rows, "to_error").items():
        cells = [case, str(sizes[case]["k"])]
        for title in OTHERS:
            ours = peers.get(f"skae to {title}'s")
            cells += [
                seconds(peers.get(title)),
                seconds(ours) if ours or title not in peers else "never",
                number(ratios[title].get(case), "{:.1f}"),
            ]
        body.append(cells)
    header = ["Set", "k", *(f"{t}{n}" for n in OTHERS for t in ("", "skae to the error of ", "x "))]
    (folder / "costs_to_error.inc").write_text(list_table(header, body))


def transform_table(folder, rows):
    """Write the seconds of transform, and over PCA's and the bare forward pass."""
    nets = ["linear-sized", "default net"]
    over_pca = {n: case_ratios(rows, "transform", f"skae, {n}", "PCA") for n in nets}
    bare, without_steps = (
        {n: case_ratios(rows, "transform", f"skae, {n}{end}", f"forward, {n}") for n in nets}
        for end in ("", ", no steps")
    )
    body = []
    for case, peers in medians(rows, "transform").items():
        cells = [case, f"{1e3 * peers['PCA']:.3g}"]
        for net in nets:
            cells += [
                f"{1e3 * peers[f'skae, {net}']:.3g}",
                number(over_pca[net][case], "{:.2f}"),
                number(bare[net][case], "{:.2f}"),
                number(without_steps[net][case], "{:.2f}"),
            ]
        body.append(cells)
    header = ["Rows x features", "PCA, ms"]
    columns = "ms", "over PCA", "over the forward", "without steps, over the forward"
    header += [f"{net}, {what}" for net in nets for what in columns]
    (folder / "costs_transform.inc").write_text(list_table(header, body))


def detector_table(folder, rows):
    """Write the seconds of a detector, and over IsolationForest's."""
    ratios = {
        what: case_ratios(rows, "detector", f"skae, {what}", f"IsolationForest, {what}")
        for what in ("fit", "scores")
    }
    body = []
    for case, peers in medians(rows, "detector").items():
        cells = [case]
        for what, of_cases in ratios.items():
            cells += [seconds(peers[f"skae, {what}"]), number(of_cases[case], "{:.1f}")]
        body.append(cells)
    header = ["Rows x features", "Fit, s", "over the forest's", "Scores of 100,000 rows, s"]
    header += ["over the forest's"]
    (folder / "costs_detector.inc").write_text(list_table(header, body))


def process_table(folder, rows):
    """Write what concerns processes and threads."""
    body = [
        [title, case, number(ratio, "{:.2f}")]
        for title, (part, peer, over) in PROCESSES.items()
        for case, ratio in case_ratios(rows, part, peer, over).items()
    ]
    (folder / "costs_processes.inc").write_text(list_table(["What", "Case", "Ratio"], body))


def file_table(folder, rows):
    """Write how long a fit to a large file takes."""
    found = [medians(rows, "file", metric) for metric in ("seconds", "until_text", "until_bar")]
    body = [[case, *(seconds(of[case]["skae"]) for of in found)] for case in found[0]]
    header = ["Rows x features", "Read and fit, s", "Until a line of text, s", "Until the bar, s"]
    (folder / "costs_file.inc").write_text(list_table(header, body))


def batched_table(folder, rows):
    """Write the seconds of searches, fit by fit and at once, and how far their scores differ."""
    plain, ours = "GridSearchCV", "BatchedGridSearchCV"
    ratios = case_ratios(rows, "batched", plain, ours)
    differences, same = (
        medians(rows, "batched", metric) for metric in ("largest_difference", "same_best")
    )
    body = [
        [
            case,
            seconds(peers[plain]),
            seconds(peers[ours]),
            number(ratios[case], "{:.1f}"),
            number(differences[case][ours], "{:.0e}"),
            "yes" if same[case][ours] == 1 else "no",
        ]
        for case, peers in medians(rows, "batched").items()
    ]
    header = [
        "Rows x features",
        f"{plain}, s",
        f"{ours}, s",
        "Ratio",
        "Largest difference of scores",
    ]
    header += ["Same ``best_params_``"]
    (folder / "costs_batched.inc").write_text(list_table(header, body))


def serving_table(folder, rows):
    """Write what an exported model takes, and the estimator that it was made of."""
    ours, exported = "skae", "onnxruntime"
    ratios = case_ratios(rows, "serving", exported, ours)
    body = []
    for case, peers in medians(rows, "serving").items():
        times = [f"{1e3 * peers[peer]:.3g} ms" for peer in (ours, exported)]
        speed = f"{_rows_a_second(case, peers[exported]):,.0f}"
        body.append([case, *times, speed, number(ratios[case], "{:.2f}")])
    for case, peers in medians(rows, "serving", "mb").items():
        sizes = [f"{figure_text(peers[peer])} MB" for peer in (ours, exported)]
        body.append([case, *sizes, "", number(peers[exported] / peers[ours], "{:.2f}")])
    header = ["What", ours, exported, f"{exported}, rows a second", "Ratio"]
    (folder / "costs_serving.inc").write_text(list_table(header, body))


def _rows_a_second(case, spent):
    return int(re.search(r"([\d,]+) rows", case)[1].replace(",", "")) / spent


def memory_table(folder, rows):
    """Write the largest memory of each fit."""
    body = []
    for part in dict.fromkeys(row["set"] for row in rows):
        figures = [medians(rows, part, metric) for metric in ("beyond_mb", "peak_mb", "seconds")]
        body += [
            [part.replace("_", " "), case, peer]
            + [f"{of[case][peer]:,.0f}" for of in figures[:2]]
            + [seconds(figures[2][case][peer])]
            for case, peers in figures[0].items()
            for peer in peers
        ]
    header = ["What", "Rows x features", "Method", "MB beyond X", "MB in all", "Fit, seconds"]
    (folder / "costs_memory.inc").write_text(list_table(header, body))


def growth_plot(folder, rows):
    """Draw the seconds of a fit against rows, features and components, PCA's beside them."""
    from matplotlib.figure import Figure

    parts = [part for part in AXES if any(row["set"] == part for row in rows)]
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    colors = {"PCA": "#1f5fa8", "skae, one epoch": "0.35", "skae": "#b3261e"}
    for axis, part in zip(axes, parts, strict=True):
        size, label = AXES[part]
        at = {row["case"]: row[size] for row in rows if row["set"] == part}
        found = medians(rows, part)
        for peer in dict.fromkeys(row["peer"] for row in rows):
            line = [(at[case], peers[peer]) for case, peers in found.items() if peer in peers]
            axis.plot(*zip(*line, strict=True), marker="o", label=peer, color=colors.get(peer))
        axis.set(xscale="log", yscale="log", xlabel=label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("Fit, seconds")
    # where no line goes
    axes[-1].legend(loc="lower right")
    figure.savefig(folder / "costs_growth.svg")


def write_costs(folder, results):
    """Write everything that concerns costs."""
    speed, about_speed = load_results(results / "speed")
    memory, about_memory = load_results(results / "memory")
    growth, about_growth = load_results(results / "growth")
    batched, about_batched = load_results(results / "batched")
    serving, about_serving = load_results(results / "serving")
    for name, about in (("batched", about_batched), ("serving", about_serving)):
        # They have protocols of their own, which the pages tell.
        text = results_line(about | {"protocol": ""})
        (folder / f"costs_{name}_summary.inc").write_text(text)
    for name, about in (("speed", about_speed), ("memory", about_memory), ("growth", about_growth)):
        (folder / f"costs_{name}_summary.inc").write_text(results_line(about))
    left_out = [e for about in (about_speed, about_memory, about_growth) for e in about["left_out"]]
    (folder / "costs_left_out.inc").write_text(left_out_table({"left_out": left_out}))
    target_tables(folder, speed + memory + batched)
    epoch_table(folder, speed)
    profile_table(folder, speed)
    error_table(folder, speed)
    transform_table(folder, speed)
    detector_table(folder, speed)
    process_table(folder, speed)
    file_table(folder, speed)
    batched_table(folder, batched)
    serving_table(folder, serving)
    memory_table(folder, memory)
    growth_plot(folder, growth)


setup = writing(write_costs)
