"""Writes the table of the optimizers on a deep net from the committed result file."""

from generated_pages import list_table, number, results_line, writing

from benchmarks.deep import CHOICES
from benchmarks.run import load_results


def settings(peer):
    """Return in words how an optimizer was set."""
    choice = CHOICES[peer]
    if choice.learning_rate == "auto":
        return "the defaults"
    parts = [f"learning_rate={choice.learning_rate:g}"]
    parts += [f"alpha={choice.alpha:g}"] if choice.alpha else []
    parts += [f"{name}={value}" for name, value in choice.params]
    return "``" + ", ".join(parts) + "``"


def write_deep(folder, results):
    """Write the tables of all fits to 10,000 images, and of those to all."""
    rows, about = load_results(results / "deep")
    (folder / "deep_summary.inc").write_text(results_line(about))
    fits = {}
    for row in rows:
        if row["set"] == "fits":
            name = row["peer"]
            key = name if name == "PCA" else f"{name}, {row['n_iter']} epochs"
            fits[key] = row
    body = []
    for key, entry in about["summary"].items():
        row = fits[key]
        known = row["peer"] in CHOICES
        body.append(
            [
                row["peer"],
                settings(row["peer"]) if known else "",
                str(row["batch_size"]) if known else "",
                str(row["n_iter"]) if known else "",
                number(entry["error"], "{:.2f}"),
                number(entry["seconds"], "{:.0f}" if known else "{:.2f}"),
                number(entry.get("step_over_adam"), "{:.1f}"),
                number(entry.get("seconds_over_adam"), "{:.2f}"),
            ]
        )
    header = ["Optimizer", "Settings", "Batch", "Epochs", "Error", "Seconds"]
    header += ["Step over Adam's", "Seconds over Adam's to this error"]
    (folder / "deep.inc").write_text(list_table(header, body))
    whole = [row for row in rows if row["set"] == "whole"]
    [of_pca] = [row["error"] for row in whole if row["peer"] == "PCA"]
    body = [
        [
            f"{row['n_iter']} epochs" if row["n_iter"] else "PCA",
            number(row["error"], "{:.2f}"),
            number(row["error"] / of_pca, "{:.2f}"),
            number(row["seconds"], "{:.0f}" if row["n_iter"] else "{:.2f}"),
        ]
        for row in whole
    ]
    header = ["Fit", "Error", "Over PCA's", "Seconds"]
    (folder / "deep_whole.inc").write_text(list_table(header, body))


setup = writing(write_deep)
