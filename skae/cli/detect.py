"""The command detect: the most unusual rows of a table, and a CSV file of all scores."""

import csv

import numpy as np

from .errors import InputError
from .input import add_input, read_input
from .writing import check_output, written_whole


def add_to(commands):
    """Add the command to the parsers of the commands."""
    about = "find the most unusual rows of a table and write all scores to a CSV file"
    command = commands.add_parser("detect", help=about)
    command.set_defaults(run=run)
    add_input(command, target="column that is not a feature")
    add = command.add_argument
    about = "fraction of anomalies, in [0, 0.5] (default: auto)"
    add("--contamination", default="auto", help=about)
    add("--explain", action="store_true", help="name the features that make the rows unusual")
    add("--top", type=int, default=10, help="number of rows to print (default: 10)")
    add("--out", default="anomalies.csv", help="file to write to (default: anomalies.csv)")


def run(args):
    """Read a table, fit a detector to it, print the most unusual rows and write all scores."""
    contamination = _contamination(args.contamination)
    table = read_input(args)
    check_output(args.out, args.data)
    # imported after the table is read: an error in it does not wait for torch
    from sklearn.preprocessing import StandardScaler

    from .. import AutoencoderAnomalyDetector

    X = StandardScaler().fit_transform(table.X)
    model = AutoencoderAnomalyDetector(contamination=contamination, random_state=args.random_state)
    try:
        model.fit(X)
    except ValueError as error:
        raise InputError(str(error)) from error
    scores, p_values = model.score_samples(X), model.p_values(X)
    labels = np.where(scores < model.offset_, -1, 1)
    order = np.argsort(scores, kind="stable")
    contributions = model.explain(X) if args.explain else None
    n_anomalies = int((labels == -1).sum())
    print(f"{n_anomalies} of {len(X)} rows are below the threshold; the most unusual rows:")
    for row in order[: max(args.top, 0)]:
        label = "anomaly" if labels[row] == -1 else "normal"
        line = f"row {table.rows[row]}: {label}, score {scores[row]:.4g}, p {p_values[row]:.2g}"
        if contributions is not None:
            line += "; " + _largest(contributions[row], table.columns, table.X[row])
        print(line)
    _write(args.out, table, order, scores, p_values, labels, contributions)
    print(f"All rows, the most unusual first: {args.out}")


def _contamination(text):
    """Return the value of ``--contamination`` as the detector takes it."""
    if text == "auto":
        return text
    try:
        contamination = float(text)
    except ValueError:
        contamination = float("nan")
    if not 0 <= contamination <= 0.5:
        raise InputError(f"--contamination must be 'auto' or a number in [0, 0.5], got {text!r}")
    return contamination


def _largest(contributions, names, values):
    """Return the three features that lower the score most, with values and parts of what they do.

    Features that raise the score are left out: beside them the parts could be any percentage.
    """
    lowering = np.minimum(contributions, 0.0)
    # a sum of parts of the largest cannot overflow
    parts = lowering / min(lowering.min(), -np.finfo(np.float64).tiny)
    found = [
        f"{names[j]} = {values[j]:.4g} ({parts[j] / parts.sum():.0%})"
        for j in np.argsort(contributions, kind="stable")[:3]
        if parts[j] > 0
    ]
    return ", ".join(found) or "no feature is unusual"


def _write(path, table, order, scores, p_values, labels, contributions):
    header = ["row", "label", "score", "p_value"]
    if contributions is not None:
        header += [f"contribution of {name}" for name in table.columns]
    with written_whole(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(header)
        for i in order:
            cells = [table.rows[i], labels[i], scores[i], p_values[i]]
            writer.writerow(cells + ([] if contributions is None else [*contributions[i]]))
