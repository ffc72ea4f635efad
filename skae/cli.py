"""The command line: python -m skae compare DATA and python -m skae detect DATA."""

import argparse
import csv
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

from . import AutoencoderAnomalyDetector, AutoencoderTransformer
from .compare import compare_with_pca

SETS = ("digits", "iris", "wine", "breast_cancer", "diabetes")


class InputError(Exception):
    """An error in what the user passed to a command, in a single line."""


def main(argv=None):
    """Run a command and return its exit code: 0, or 2 if the input is not valid."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except (InputError, ImportError) as error:
        print(f"skae: error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="python -m skae")
    commands = parser.add_subparsers(dest="command", required=True)
    about = "compare PCA and the autoencoder on the same folds and write a report"
    compare = commands.add_parser("compare", help=about)
    compare.set_defaults(run=_compare)
    about = "find the most unusual rows of a table and write all scores to a CSV file"
    detect = commands.add_parser("detect", help=about)
    detect.set_defaults(run=_detect)
    about = f"{', '.join(SETS)}, or the path of a CSV, Parquet or .npy file"
    for command in (compare, detect):
        command.add_argument("data", help=about)
        command.add_argument("--random-state", type=int, default=0, help="seed (default: 0)")

    add = compare.add_argument
    add("--n-components", nargs="+", type=int, metavar="K", help="widths of the code")
    add("--cv", type=int, default=3, help="number of folds (default: 3)")
    add("--target", metavar="COLUMN", help="column to predict from the codes")
    add("--out", default="report", help="folder to write to (default: report)")
    add("--max-iter", type=int, help="number of epochs (default: chosen by skae)")

    add = detect.add_argument
    about = "fraction of anomalies, in [0, 0.5] (default: auto)"
    add("--contamination", default="auto", help=about)
    add("--explain", action="store_true", help="name the features that make the rows unusual")
    add("--target", metavar="COLUMN", help="column that is not a feature")
    add("--top", type=int, default=10, help="number of rows to print (default: 10)")
    add("--out", default="anomalies.csv", help="file to write to (default: anomalies.csv)")
    return parser


# -- compare -------------------------------------------------------------------------------------


def _compare(args):
    table = _read(args.data, args.target)
    widths = args.n_components or _default_widths(*table.X.shape, args.cv)
    params = {} if args.max_iter is None else {"max_iter": args.max_iter}
    out = Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        result = compare_with_pca(
            table.X,
            table.y,
            n_components=widths,
            cv=args.cv,
            estimator=AutoencoderTransformer(**params),
            scale=table.image_shape is None,
            random_state=args.random_state,
            verbose=1,
        )
    except (OSError, ValueError) as error:
        raise InputError(str(error)) from error
    print(result.summary())
    print(result.headline())
    result.to_csv(out / "results.csv")
    print(f"Figures of every fold: {out / 'results.csv'}")
    title = f"PCA and the autoencoder on {table.name}"
    result.to_html(out / "report.html", title=title, image_shape=table.image_shape)
    print(f"Report: {out / 'report.html'}")


def _default_widths(n_rows, n_features, n_folds):
    """Return widths of the code that are smaller than PCA's largest width in every fold."""
    limit = min(n_rows - n_rows // max(n_folds, 2), n_features)
    return [k for k in (2, 8, 16) if k < limit] or [1]


# -- detect --------------------------------------------------------------------------------------


def _detect(args):
    contamination = _contamination(args.contamination)
    table = _read(args.data, args.target)
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


# -- tables --------------------------------------------------------------------------------------


class _Table(NamedTuple):
    """A table of numbers with the names of its columns, and what else is known of it."""

    name: str
    X: np.ndarray
    y: np.ndarray | None
    columns: list[str]
    image_shape: tuple[int, int] | None = None


def _read(data, target):
    """Read a data set of scikit-learn or a file, without a target column that is not a feature."""
    if data in SETS:
        return _read_set(data, target)
    path = Path(data)
    if not path.is_file():
        raise InputError(
            f"no file {data!r}, and no data set with that name; sets: {', '.join(SETS)}"
        )
    readers = {".csv": _read_frame, ".parquet": _read_frame, ".npy": _read_npy}
    if path.suffix not in readers:
        raise InputError(f"{data}: the ending must be one of {', '.join(readers)}")
    X, y, columns = readers[path.suffix](path, target)
    if X.ndim != 2 or len(X) < 4 or X.shape[1] == 0:
        raise InputError(
            f"{data}: a table with at least 4 rows and a column is needed, got {X.shape}"
        )
    if not np.isfinite(X).all():
        raise InputError(f"{data}: {int((~np.isfinite(X)).sum())} entries are missing or infinite")
    return _Table(path.name, X, y, columns)


def _read_set(name, target):
    if target not in (None, "target"):
        raise InputError(f"no column {target!r} in {name}; its target is called 'target'")
    bunch = getattr(datasets, f"load_{name}")()
    y = bunch.target if target or name != "diabetes" else None
    columns = list(bunch.feature_names)
    if hasattr(bunch, "images"):
        return _Table(name, bunch.data / bunch.images.max(), y, columns, bunch.images.shape[1:])
    return _Table(name, bunch.data, y, columns)


def _read_npy(path, target):
    if target is not None:
        raise InputError(f"{path}: an .npy file has no columns, so --target is not possible")
    try:
        X = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a readable .npy file ({error})") from error
    if X.dtype.kind not in "biuf":
        raise InputError(f"{path}: numbers are needed, got dtype {X.dtype}")
    columns = [f"column {j}" for j in range(X.shape[-1])] if X.ndim else []
    return X.astype(np.float64), None, columns


def _read_frame(path, target):
    try:
        import pandas
    except ImportError:
        raise InputError(
            f"{path}: needs pandas; install it with pip install 'skae[plot]'"
        ) from None
    try:
        frame = pandas.read_csv(path) if path.suffix == ".csv" else pandas.read_parquet(path)
    except ImportError as error:
        raise InputError(f"{path}: needs pyarrow; install it with pip install pyarrow") from error
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable {path.suffix[1:]} file ({reason})") from error
    y = None
    if target is not None:
        if target not in frame:
            names = ", ".join(map(str, frame.columns[:10]))
            raise InputError(f"{path}: no column {target!r}; columns: {names}")
        y = frame.pop(target)
        if y.isna().any():
            raise InputError(
                f"{path}: the target {target!r} has {int(y.isna().sum())} missing values"
            )
        y = y.to_numpy()
    text = [str(name) for name in frame if not pandas.api.types.is_numeric_dtype(frame[name])]
    if text:
        raise InputError(
            f"{path}: columns with text: {', '.join(text)}; drop them, or name one with --target"
        )
    columns = [str(name) for name in frame]
    return frame.to_numpy(dtype=np.float64, na_value=np.nan), y, columns
