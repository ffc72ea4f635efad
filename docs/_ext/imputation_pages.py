"""Writes the tables of the imputations from the committed result file."""

from generated_pages import OURS, left_out_table, list_table, number, results_line, writing

from benchmarks.imputation import errors_by_set
from benchmarks.run import load_results


def peers_table(folder, summary):
    """Write each peer's mean errors, a row for each share removed."""
    body = [
        [
            f"{entry['share']:.0%}",
            entry["peer"],
            str(entry["shared_sets"]),
            number(entry["error_fitted"]),
            number(entry["error_held_out"]),
            number(entry["median_seconds"], "{:.3g}"),
        ]
        for entry in summary.values()
    ]
    header = ["Removed", "Method", "Sets", "Fitted rows", "Held-out rows", "Median seconds"]
    (folder / "imputation_peers.inc").write_text(list_table(header, body))


def sets_table(folder, rows, kind):
    """Write every error of one kind of rows, the best of each set and share in bold."""
    sizes = {row["set"]: (row["n_rows"], row["n_features"]) for row in rows}
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    body = []
    for share, errors in errors_by_set(rows, kind).items():
        for name in sizes:
            found = {peer: errors[peer][name] for peer in peers if name in errors.get(peer, {})}
            best = min(found.values(), default=None)
            cells = (
                f"**{number(found[p])}**" if found.get(p) == best else number(found.get(p))
                for p in peers
            )
            n_rows, n_features = sizes[name]
            body.append([name, f"{n_rows} x {n_features}", f"{share:.0%}", *cells])
    header = ["Set", "Rows x features", "Removed", *peers]
    (folder / f"imputation_{kind}.inc").write_text(list_table(header, body))


def losses_text(folder, rows):
    """Write how often each other peer does better."""
    fitted, held_out = (errors_by_set(rows, kind) for kind in ("fitted", "held_out"))
    others = [peer for peer in dict.fromkeys(row["peer"] for row in rows) if peer != OURS]
    body = []
    for peer in others:
        cells = [peer]
        for of_rows in (fitted, held_out):
            pairs = [
                (errors, peers[OURS][name])
                for peers in of_rows.values()
                for name, errors in peers.get(peer, {}).items()
                if name in peers.get(OURS, {})
            ]
            cells.append(f"{sum(its < ours for its, ours in pairs)} of {len(pairs)}")
        body.append(cells)
    header = ["Better than skae", "on the fitted rows", "on held-out rows"]
    text = list_table(header, body)
    (folder / "imputation_losses.inc").write_text(f"Sets and shares removed, together:\n\n{text}")


def write_imputations(folder, results):
    """Write everything that concerns missing entries."""
    rows, about = load_results(results / "imputation")
    (folder / "imputation_summary.inc").write_text(results_line(about))
    peers_table(folder, about["summary"])
    for kind in ("fitted", "held_out"):
        sets_table(folder, rows, kind)
    losses_text(folder, rows)
    (folder / "imputation_left_out.inc").write_text(left_out_table(about))


setup = writing(write_imputations)
