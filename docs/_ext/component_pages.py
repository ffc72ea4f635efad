"""Writes the tables of the numbers of components from the committed result file."""

from generated_pages import left_out_table, list_table, number, results_line, writing

from benchmarks.run import load_results


def means_table(folder, summary):
    """Write how often each peer is right, a row for each kind of tables and peer."""
    body = []
    for name, entry in summary.items():
        kind, peer = name.split(" | ")
        cells = [f"{entry[key]:.0%}" if entry[key] is not None else "" for key in _SHARES]
        difference = number(entry["mean_difference"], "{:+.1f}")
        same, n_pairs = entry["as_cross_validation"], entry["cross_validated"]
        of_pairs = ""
        if n_pairs and peer != "cross-validation":
            of_pairs = f"{round(same * n_pairs)} of {n_pairs}"
        body.append([kind, peer, str(entry["cases"]), *cells, difference, of_pairs])
    header = ["Tables", "Method", "Cases", "Right", "Within one", "Mean difference", "As CV"]
    (folder / "components_means.inc").write_text(list_table(header, body))


_SHARES = ("right", "within_one")


def cost_table(folder, rows):
    """Write the seconds of a fit with "auto" over those of a fit with the number it finds."""
    ratios = sorted(r["seconds_over_fit"] for r in rows if r["seconds_over_fit"] is not None)
    above = sum(ratio > 1.5 for ratio in ratios)
    middle = (ratios[(len(ratios) - 1) // 2] + ratios[len(ratios) // 2]) / 2
    (folder / "components_cost.inc").write_text(
        f'A fit with ``"auto"`` takes {middle:.2f} times as long as one with the number found '
        f"(median of {len(ratios)} cases, from {ratios[0]:.2f} to {ratios[-1]:.2f}). The aim was "
        f"at most 1.5 times, and {above} cases miss it.\n"
    )


def sets_table(folder, rows):
    """Write the numbers that each peer finds, of all seeds, for each table."""
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    found, known = {}, {}
    for row in rows:
        found.setdefault(row["set"], {}).setdefault(row["peer"], []).append(str(row["k"]))
        known.setdefault(row["set"], {})[row["seed"]] = row["dimension"]
    body = []
    for name, numbers in found.items():
        chosen_on = next(row["chosen_on"] for row in rows if row["set"] == name)
        dimension = ", ".join("" if k is None else str(k) for k in known[name].values())
        cells = [", ".join(numbers.get(peer, [""])) for peer in peers]
        body.append([name, "yes" if chosen_on else "no", dimension, *cells])
    header = ["Table", "Chosen on", "Dimension", *peers]
    (folder / "components_sets.inc").write_text(list_table(header, body))


def write_components(folder, results):
    """Write everything that concerns the number of components."""
    rows, about = load_results(results / "n_components")
    (folder / "components_summary.inc").write_text(results_line(about))
    means_table(folder, about["summary"])
    cost_table(folder, rows)
    sets_table(folder, rows)
    (folder / "components_left_out.inc").write_text(left_out_table(about))


setup = writing(write_components)
