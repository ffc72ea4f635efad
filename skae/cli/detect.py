"""The command detect: the most unusual rows of a table, and a CSV file of all scores."""

import numpy as np

from .errors import InputError
from .fitting import (
    add_contamination,
    contamination_of,
    fit_detector,
    fitting,
    ids_of,
    load_detector,
)
from .input import add_input, read_input
from .writing import check_output, written_whole

# Columns that are named for each row.
_MOST_REASONS = 3
# Rows that are explained at once, more or less, as there is a line for each of their cells.
_EXPLAINED_ROWS = 1000


def add_to(commands):
    """Add the command to the parsers of the commands."""
    about = "find the most unusual rows of a table and write all scores to a CSV file"
    command = commands.add_parser("detect", help=about)
    command.set_defaults(run=run)
    add_input(command, target="column that is not a feature")
    add = command.add_argument
    add_contamination(command)
    about = "detector that skae fit has saved (default: one that is fitted to the table)"
    add("--model", metavar="FILE", help=about)
    add("--explain", action="store_true", help="name the columns that make the rows unusual")
    add("--top", type=int, default=10, help="number of rows to print (default: 10)")
    add("--out", default="anomalies.csv", help="file to write to (default: anomalies.csv)")


def run(args):
    """Read a table, fit a detector or load one, print the most unusual rows, write all scores."""
    contamination_of(args)
    for name in ("contamination", "id"):
        if args.model is not None and getattr(args, name) is not None:
            raise InputError(f"--{name} is a choice of skae fit, and --model has made it")
    table = read_input(args, fewest=4 if args.model is None else 1)
    check_output(args.out, args.data)
    frame = table.as_frame()
    # torch is imported here, after the table is read: an error in it does not wait
    if args.model is None:
        model = fit_detector(args, frame)
    else:
        model = load_detector(args.model)
        frame = _with_texts(frame, model.encoder_.columns_)
    with fitting(args.data):
        p_values, scores = model.p_values(frame, return_scores=True)
    labels = np.where(scores < model.offset_, -1, 1)
    order = np.argsort(scores, kind="stable")
    printed = order[: max(args.top, 0)]
    reasons = None
    if args.explain:
        explained = np.union1d(printed, np.flatnonzero(labels == -1))
        reasons = np.full(len(frame), "", dtype=object)
        for some in np.array_split(explained, 1 + len(explained) // _EXPLAINED_ROWS):
            reasons[some] = _reasons(model, frame.iloc[some])
    ids = [name for name in ids_of(model.encoder_) if name in frame]
    n_anomalies = int((labels == -1).sum())
    print(f"{n_anomalies} of {len(frame)} rows are below the threshold; the most unusual rows:")
    for row in printed:
        label = "anomaly" if labels[row] == -1 else "normal"
        known = ", ".join(f"{name} {frame[name].iloc[row]}" for name in ids)
        line = f"row {table.rows[row]}{f' ({known})' if known else ''}: {label}, "
        line += f"score {scores[row]:.4g}, p {p_values[row]:.2g}"
        print(line if reasons is None else f"{line}; {reasons[row]}")
    found = {"row": table.rows, "label": labels, "score": scores, "p_value": p_values}
    if reasons is not None:
        found["reasons"] = reasons
    _write(args.out, frame, found, order)
    print(f"All rows, the most unusual first: {args.out}")


def _with_texts(frame, columns):
    """Return a table in which columns of text are text: of digits alone a file does not say so."""
    texts = [name for name in frame if name in columns and not columns[name].takes_numbers]
    digits = [name for name in texts if frame[name].dtype.kind in "iuf"]
    found = {name: frame[name].map(_digits, na_action="ignore").astype(object) for name in digits}
    return frame.assign(**found)


def _digits(value):
    # integers are floats where a column has gaps
    return str(int(value) if float(value).is_integer() else value)


def _reasons(model, frame):
    """Return a text for each row: the columns that lower its score most, and what was expected."""
    lines = model.explain(frame.reset_index(drop=True), details=True)
    largest = lines.groupby("row", sort=False).head(_MOST_REASONS)
    texts = [[] for _ in range(len(frame))]
    for line in largest.itertuples():
        if line.fraction > 0:
            value, expected = _as_text(line.value), _as_text(line.expected)
            text = f"{line.column} = {value} (expected {expected}), contribution"
            texts[line.row].append(f"{text} {line.fraction:.0%}")
    return ["; ".join(text) or "no column is unusual" for text in texts]


def _as_text(value):
    if not isinstance(value, float | np.floating):
        return str(value)
    return _digits(value) if float(value).is_integer() else f"{value:.4g}"


def _write(path, frame, found, order):
    """Write what was found and the table itself, in an order of its rows."""
    import pandas

    taken = {f"{name}_" if name in frame else name: values for name, values in found.items()}
    whole = pandas.concat([pandas.DataFrame(taken), frame], axis=1).iloc[order]
    with written_whole(path) as unfinished:
        whole.to_csv(unfinished, index=False, lineterminator="\n")
