"""Tables as files have them: read_frame, which reads each format and says what is wrong with it."""

import io
import json
import warnings

import numpy as np

from .delimited import read_delimited
from .dialect import find_header
from .encodings import as_text
from .errors import InputError
from .sources import read_bytes


def read_frame(source, *, sep=None, header=None, encoding=None, decimal=None, sheet=None):
    """Read a file or standard input as a data frame, without a change of what it holds.

    The ending says what is read: ``.parquet``, ``.jsonl`` or ``.ndjson`` (an object in each line),
    ``.json`` (a list of objects), ``.xlsx`` and ``.npy``; everything else is delimited text. The
    ending may be followed by ``.gz``, ``.bz2``, ``.xz`` or ``.zip``.

    Every row of a delimited text must have as many fields as its header. Blank lines are skipped,
    except in a table of one column, in which they are missing values. A separator at the end of
    every line is none. Equal names are numbered as pandas does (``a``, ``a.1``), and a column
    without a name is ``Unnamed: 0`` and so on. What pandas knows as missing is missing. Dates and
    numbers with separators of thousands remain text.

    Parameters
    ----------
    source : str or Path
        The path of a file, or ``"-"`` for delimited text from standard input.
    sep : str, default=None
        Separator of a delimited text. None finds a comma, semicolon, tab or vertical bar by the
        numbers of fields.
    header : bool, default=None
        Whether the first row holds the names of the columns. None finds it: a first row of numbers
        or dates holds values, and so does one with a text that occurs again in its column; one with
        numbers and with texts that do not is an error that asks. Without names the columns are
        ``column 0`` and so on. Only for delimited text and Excel.
    encoding : str, default=None
        Encoding of a text. None finds UTF-8, and UTF-16 and UTF-32 with a byte order mark, and
        takes everything else for Windows-1252 or Latin-1.
    decimal : {".", ","}, default=None
        Decimal mark of a delimited text. None finds a comma where the separator is another one.
    sheet : str, default=None
        Name of the sheet of an Excel file. None takes the first.

    Returns
    -------
    frame : pandas.DataFrame
        The table, with strings as names and rows numbered from 0.

    Raises
    ------
    InputError
        If there is no table that can be read; in one line that says why.
    """
    if decimal not in (None, ".", ","):
        raise InputError(f"--decimal must be '.' or ',', got {decimal!r}")
    name, ending, data = read_bytes(source)
    if not data:
        raise InputError(f"{name}: the file is empty")
    if ending not in _READERS:
        text = as_text(name, data, encoding)
        _check_pandas(name)
        frame = read_delimited(text, sep=sep, header=header, decimal=decimal)
    else:
        _check_pandas(name)
        given = {"header": header, "encoding": encoding, "sheet": sheet}
        frame = _READERS[ending](name, data, given)
        if frame.shape[1] == 0 or len(frame) == 0:
            raise InputError(
                f"{name}: the table has {len(frame)} rows and {frame.shape[1]} columns"
            )
        _refuse_nested(name, frame)
    frame.columns = [str(column) for column in frame.columns]
    return frame


def _check_pandas(name):
    """Raise an error if pandas is not installed, without importing it."""
    from importlib.util import find_spec

    if find_spec("pandas") is None:
        raise InputError(f"{name}: needs pandas; install it with pip install 'skae[plot]'")


def _read_parquet(name, data, given):
    import pandas

    try:
        frame = pandas.read_parquet(io.BytesIO(data))
    except ImportError as error:
        raise InputError(f"{name}: needs pyarrow; install it with pip install pyarrow") from error
    except (OSError, ValueError) as error:
        raise _unreadable(name, "Parquet", error) from error
    # An index with a name is a column; numbers of rows are none.
    return frame.reset_index(drop=all(level is None for level in frame.index.names))


def _read_npy(name, data, given):
    import pandas

    X = read_array(name, data)
    return pandas.DataFrame(X, columns=[f"column {j}" for j in range(X.shape[1])])


def read_array(name, data):
    """Return the array of an .npy file as float64."""
    try:
        X = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(name, ".npy", error) from error
    if X.dtype.kind not in "biuf":
        raise InputError(f"{name}: numbers are needed, got dtype {X.dtype}")
    if X.ndim != 2:
        raise InputError(f"{name}: an array of two dimensions is needed, got shape {X.shape}")
    return X.astype(np.float64)


def _read_json(name, data, given):
    text = as_text(name, data, given["encoding"])
    try:
        found = json.load(text.lines())
    except ValueError as error:
        raise _unreadable(name, "JSON", error) from error
    if not isinstance(found, list):
        raise InputError(f"{name}: a list of objects is needed, got {_json_kind(found)}")
    return _from_records(name, [(f"entry {j}", record) for j, record in enumerate(found)])


def _read_json_lines(name, data, given):
    records = []
    for number, line in enumerate(as_text(name, data, given["encoding"]).lines(), start=1):
        try:
            if line.strip():
                records.append((f"line {number}", json.loads(line)))
        except ValueError as error:
            raise InputError(f"{name}, line {number}: not valid JSON ({error})") from error
    return _from_records(name, records)


def _from_records(name, records):
    import pandas

    for place, record in records:
        if not isinstance(record, dict):
            raise InputError(f"{name}, {place}: an object is needed, got {_json_kind(record)}")
    return pandas.DataFrame([record for _, record in records])


def _json_kind(value):
    kinds = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return kinds.get(type(value), "true or false" if isinstance(value, bool) else "a number")


def _read_excel(name, data, given):
    import pandas

    header = given["header"]
    try:
        # openpyxl warns of styles and forms that it leaves out, which hold no values
        with warnings.catch_warnings(), pandas.ExcelFile(io.BytesIO(data), "openpyxl") as file:
            warnings.filterwarnings("ignore", module="openpyxl")
            sheet = file.sheet_names[0] if given["sheet"] is None else given["sheet"]
            if sheet not in file.sheet_names:
                sheets = ", ".join(map(str, file.sheet_names))
                raise InputError(f"{name}: no sheet {sheet!r}; sheets: {sheets}")
            sample = pandas.read_excel(file, sheet_name=sheet, header=None, nrows=1000)
            if sample.empty:
                raise InputError(f"{name}: the sheet {sheet!r} is empty")
            if header is None:
                rows = sample.astype(object).where(sample.notna(), "").astype(str)
                header = find_header(rows.to_numpy().tolist(), name, _is_number)
            frame = pandas.read_excel(file, sheet_name=sheet, header=0 if header else None)
    except ImportError as error:
        raise InputError(f"{name}: needs openpyxl; install it with pip install openpyxl") from error
    except InputError:
        raise
    except Exception as error:  # what openpyxl raises for a damaged file is not documented
        raise _unreadable(name, "Excel", error) from error
    if not header:
        frame.columns = [f"column {j}" for j in range(frame.shape[1])]
    return frame


def _is_number(field):
    try:
        float(field)
    except ValueError:
        return False
    return True


def _refuse_nested(name, frame):
    """Raise an error if a column holds lists or objects, which are no values of a table."""
    for column in frame:
        values = frame[column] if frame[column].dtype.kind == "O" else ()
        if any(isinstance(value, (list, dict, np.ndarray)) for value in values):
            raise InputError(f"{name}: column {column!r} holds lists or objects, not single values")


def _unreadable(name, kind, error):
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{name}: not a readable {kind} file ({reason})")


_READERS = {
    ".parquet": _read_parquet,
    ".npy": _read_npy,
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".xlsx": _read_excel,
}
