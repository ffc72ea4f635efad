"""The tables that the commands read: files, and data sets of scikit-learn."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn import datasets

SETS = ("digits", "iris", "wine", "breast_cancer", "diabetes")
DATA_HELP = f"{', '.join(SETS)}, or the path of a CSV, Parquet or .npy file"


class InputError(Exception):
    """An error in what the user passed to a command. The message is a single line."""


class InputTable(NamedTuple):
    """A table of numbers.

    Parameters
    ----------
    name : str
        The name of the data set or of the file.
    X : ndarray of shape (n_rows, n_columns)
    y : ndarray of shape (n_rows,) or None
        The target, if there is one.
    image_shape : (int, int) or None
        Height and width if the rows are images.
    columns : list of str
        The names of the columns of X.
    """

    name: str
    X: np.ndarray
    y: np.ndarray | None
    image_shape: tuple[int, int] | None
    columns: list[str]


def read(data, target=None):
    """Read a data set of scikit-learn or a file.

    Parameters
    ----------
    data : str
        A name in `SETS`, or the path of a ``.csv``, ``.parquet`` or ``.npy`` file.
    target : str or None
        A column of the file that is not a feature.

    Returns
    -------
    table : InputTable

    Raises
    ------
    InputError
        If there is no such file or column, or if the table has anything but finite numbers.
    """
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
    return InputTable(path.name, X, y, None, columns)


def _read_set(name, target):
    if target not in (None, "target"):
        raise InputError(f"no column {target!r} in {name}; its target is called 'target'")
    bunch = getattr(datasets, f"load_{name}")()
    y = bunch.target if target or name != "diabetes" else None
    columns = list(bunch.feature_names)
    if hasattr(bunch, "images"):
        return InputTable(name, bunch.data / bunch.images.max(), y, bunch.images.shape[1:], columns)
    return InputTable(name, bunch.data, y, None, columns)


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
