"""The command detect: the most unusual rows of a table, and the features that make them so."""

import csv
from pathlib import Path

import numpy as np
from sklearn.preprocessing import StandardScaler

from .. import AutoencoderAnomalyDetector
from .reading import DATA_HELP, InputError, read


def add_detect(commands):
    """Add the command to the parser."""
    parser = commands.add_parser(
        "detect", help="find the most unusual rows of a table and write all scores to a CSV file"
    )
    parser.add_argument("data", help=DATA_HELP)
    parser.add_argument(
        "--contamination",
        default="auto",
        help="fraction of anomalies, in (0, 0.5] (default: auto)",
    )
    parser.add_argument(
        "--explain", action="store_true", help="name the features that make the rows unusual"
    )
    parser.add_argument("--target", metavar="COLUMN", help="column that is not a feature")
    parser.add_argument("--top", type=int, default=10, help="number of rows to print (default: 10)")
    parser.add_argument(
        "--out", default="anomalies.csv", help="file to write to (default: anomalies.csv)"
    )
    parser.add_argument("--random-state", type=int, default=0, help="seed (default: 0)")
    parser.set_defaults(run=_detect)


def _contamination(text):
    """Return the value of ``--contamination`` as the detector takes it."""
    if text == "auto":
        return text
    try:
        contamination = float(text)
    except ValueError:
        contamination = 0.0
    if not 0 < contamination <= 0.5:
        raise InputError(f"--contamination must be 'auto' or a number in (0, 0.5], got {text!r}")
    return contamination


def _detect(args):
    contamination = _contamination(args.contamination)
    table = read(args.data, args.target)
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
        line = f"row {row}: {label}, score {scores[row]:.4g}, p {p_values[row]:.2g}"
        if contributions is not None:
            line += "; " + _largest(contributions[row], table.columns, table.X[row])
        print(line)
    _write(Path(args.out), order, scores, p_values, labels, contributions, table.columns)
    print(f"All rows, the most unusual first: {args.out}")


def _largest(contributions, names, values):
    """Return the three features that lower the score most, with their values and contributions."""
    parts = []
    for j in np.argsort(contributions)[:3]:
        fraction = contributions[j] / contributions.sum()
        parts.append(f"{names[j]} = {values[j]:.4g} ({fraction:.0%})")
    return ", ".join(parts)


def _write(path, order, scores, p_values, labels, contributions, names):
    header = ["row", "label", "score", "p_value"]
    if contributions is not None:
        header += [f"contribution of {name}" for name in names]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            for row in order:
                cells = [row, labels[row], scores[row], p_values[row]]
                writer.writerow(cells + ([] if contributions is None else [*contributions[row]]))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
