"""The table that a command works on: a data set of scikit-learn or a file, as numbers."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from .errors import InputError

SETS = ("digits", "iris", "wine", "breast_cancer", "diabetes")


def add_input(command):
    """Add the arguments that say what a command reads."""
    about = f"{', '.join(SETS)}, or the path of a CSV, Parquet or .npy file"
    command.add_argument("data", help=about)
    command.add_argument("--random-state", type=int, default=0, help="seed (default: 0)")


def read_input(args):
    """Read what a command was told to."""
    return _read(args.data, args.target)


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
    from sklearn import datasets

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
