"""Writes the tables about tables from the committed result file."""

from generated_pages import OURS, left_out_table, list_table, number, results_line, writing

from benchmarks.run import load_results

# What is measured of each job: the metric, its title, and whether less is better.
METRICS = {
    "rebuilt": [("error_numbers", "Numbers", True), ("wrong_categories", "Wrong categories", True)],
    "filled": [("error_numbers", "Numbers", True), ("wrong_categories", "Wrong categories", True)],
    "sampled": [("auroc", "AUROC of a classifier", True)],
    "planted": [
        ("auroc", "AUROC", False),
        ("flagged", "Flagged", False),
        ("named", "Column named", False),
        ("named_flagged", "Of the flagged", False),
    ],
}
TITLES = {
    "rebuilt": "Held-out rows, reconstructed from a third as many numbers as columns",
    "filled": "A fifth of the entries of held-out rows, filled in",
    "sampled": "New rows: how well a classifier tells them from real ones (.5: not at all)",
    "planted": "Rows with one odd cell",
}


def means_tables(folder, summary):
    """Write a table for each job and half of the sets."""
    parts = []
    for half in ("not chosen on", "chosen on"):
        for job, metrics in METRICS.items():
            prefix = f"{half} | {job} | "
            peers = {k.removeprefix(prefix): v for k, v in summary.items() if k.startswith(prefix)}
            if not peers:
                continue
            body = [
                [
                    peer,
                    *(number(entry.get(metric)) for metric, _, _ in metrics),
                    number(entry["seconds"], "{:.3g}"),
                ]
                for peer, entry in peers.items()
            ]
            header = ["Method", *(title for _, title, _ in metrics), "Mean seconds"]
            parts.append(f"**{TITLES[job]}** ({half})\n\n{list_table(header, body)}")
    (folder / "tables_means.inc").write_text("\n".join(parts))


def losses_text(folder, rows):
    """Write on how many of the sets that nothing was chosen on each other peer does better."""
    body = []
    for job, metrics in METRICS.items():
        for metric, title, less in metrics:
            found = {}
            for row in rows:
                if not row["chosen_on"] and row["case"] == job and row[metric] is not None:
                    value = row[metric] if less else -row[metric]
                    # a classifier that is worse than chance tells nothing apart
                    value = abs(value - 0.5) if job == "sampled" else value
                    found.setdefault(row["peer"], {})[row["set"]] = value
            for peer, values in found.items():
                if peer != OURS and OURS in found:
                    shared = values.keys() & found[OURS].keys()
                    n_better = sum(values[name] < found[OURS][name] for name in shared)
                    body.append([peer, job, title, f"{n_better} of {len(shared)}"])
    header = ["Better than skae", "Task", "by", "on"]
    (folder / "tables_losses.inc").write_text(list_table(header, body))


def write_tables(folder, results):
    """Write everything that concerns tables."""
    rows, about = load_results(results / "tables")
    (folder / "tables_summary.inc").write_text(results_line(about))
    means_tables(folder, about["summary"])
    losses_text(folder, rows)
    (folder / "tables_left_out.inc").write_text(left_out_table(about))


setup = writing(write_tables)
