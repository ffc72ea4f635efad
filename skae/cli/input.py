"""The table that a command works on: a data set of scikit-learn or a file."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .choosing import choose_columns, choose_rows
from .errors import InputError
from .reading import read_array, read_frame
from .sources import read_bytes

SETS = ("digits", "iris", "wine", "breast_cancer", "diabetes")


class Table(NamedTuple):
    """A table with the names of its columns, and what else is known of it.

    `X` is a DataFrame, or an array of numbers without gaps where no file named its columns; `rows`
    are the positions that the rows have in the file.
    """

    name: str
    X: object
    y: np.ndarray | None
    columns: list[str]
    rows: np.ndarray
    image_shape: tuple[int, int] | None = None

    def as_frame(self):
        """Return the columns as a DataFrame."""
        import pandas

        if isinstance(self.X, np.ndarray):
            return pandas.DataFrame(self.X, columns=self.columns)
        return self.X


def add_input(command, target, sample=None):
    """Add the arguments that say what a command reads.

    `target` is what it does with a target, and `sample` the number of random rows that it uses
    unless it is told otherwise.
    """
    add = command.add_argument
    about = f"{', '.join(SETS)}, or a file: CSV or other delimited text, Parquet, JSON, JSON lines,"
    add("data", help=f"{about} Excel (.xlsx) or .npy; - is delimited text from standard input")
    add("--target", metavar="COLUMN", help=target)
    add("--columns", nargs="+", metavar="COLUMN", help="columns to use (default: all)")
    add("--drop", nargs="+", metavar="COLUMN", help="columns to leave out")
    add("--id", nargs="+", metavar="COLUMN", help="columns that only identify a row")
    about = f"number of random rows to use (default: {sample or 'all'})"
    add("--sample", type=int, default=sample, metavar="N", help=about)
    add("--random-state", type=int, default=0, help="seed (default: 0)")
    add = command.add_argument_group(
        "how the file is read; what is not given is found"
    ).add_argument
    add("--sep", help="separator of a delimited text; tab for a tab")
    about = "whether the first row holds the names of the columns"
    add("--header", action=argparse.BooleanOptionalAction, help=about)
    add("--encoding", help="encoding of a text, such as utf-8 or cp1252")
    add("--decimal", choices=(".", ","), help="decimal mark of a delimited text")
    add("--sheet", metavar="NAME", help="sheet of an Excel file (default: the first)")


def read_input(args, fewest=4):
    """Read what a command was told to, a table of at least `fewest` rows."""
    if args.sample is not None and args.sample < 1:
        raise InputError(f"--sample must be at least 1, got {args.sample}")
    if args.random_state < 0:
        raise InputError(f"--random-state must not be negative, got {args.random_state}")
    if args.data in SETS:
        return _read_set(args)
    try:
        table = _read_file(args)
    except InputError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            sets = ", ".join(SETS)
            raise InputError(f"{error}, and no data set with that name; sets: {sets}") from error
        raise
    if len(table.X) < fewest:
        raise InputError(f"{args.data}: at least {fewest} rows are needed, got {len(table.X)}")
    return table


def _choose(args, names, n_rows):
    for name in args.id or ():
        choose_columns(names, args.data, columns=[name])
    features = choose_columns(
        names, args.data, columns=args.columns, drop=args.drop, target=args.target
    )
    return features, choose_rows(n_rows, args.sample, args.random_state)


def _read_set(args):
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{args.data}")()
    names = [str(name) for name in bunch.feature_names]
    features, rows = _choose(args, [*names, "target"], len(bunch.data))
    features = [name for name in features if name != "target"]
    if not features:
        raise InputError(f"{args.data}: the target is the only column that is left")
    X, image_shape = bunch.data, None
    if hasattr(bunch, "images"):
        X = X / bunch.images.max()
        image_shape = bunch.images.shape[1:] if len(features) == len(names) else None
    # The target of diabetes is a number that the codes are not measured by unless it is asked for.
    unasked = args.data == "diabetes" or "target" in (args.drop or ())
    if args.target in (None, "target"):
        y = None if args.target is None and unasked else bunch.target[rows]
    else:
        y = X[rows, names.index(args.target)]
    X = X[np.ix_(rows, [names.index(name) for name in features])]
    return Table(args.data, X, y, features, rows, image_shape)


def _read_file(args):
    if Path(args.data).suffix == ".npy":
        # An array is read without pandas, which need not be installed.
        name, _, data = read_bytes(args.data)
        return _from_array(args, read_array(name, data))
    names = ("sep", "header", "encoding", "decimal", "sheet")
    frame = read_frame(args.data, **{name: getattr(args, name) for name in names})
    return _from_frame(args, frame)


def _from_array(args, X):
    names = [f"column {j}" for j in range(X.shape[1])]
    features, rows = _choose(args, names, len(X))
    y = None if args.target is None else X[rows, names.index(args.target)]
    X = X[np.ix_(rows, [names.index(name) for name in features])]
    table = Table(Path(args.data).name, X, y, features, rows)
    return table if np.isfinite(X).all() else table._replace(X=table.as_frame())


def _from_frame(args, frame):
    source = args.data
    features, rows = _choose(args, list(frame), len(frame))
    frame, y = frame.iloc[rows], None
    if args.target is not None:
        y = frame[args.target]
        if y.isna().any():
            n_gaps = int(y.isna().sum())
            raise InputError(f"{source}: the target {args.target!r} has {n_gaps} missing values")
        y = y.to_numpy()
    frame = frame[features].reset_index(drop=True)
    return Table(Path(source).name, frame, y, features, rows)
