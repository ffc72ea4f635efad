"""Delimited text as a data frame: each row has the fields that the header says, or is an error."""

import csv
import io
import re
from collections import Counter
from contextlib import contextmanager
from itertools import islice

from .dialect import find_dialect, find_header, is_blank
from .errors import InputError

_COMMA = re.compile(r"\s*[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?\s*")
_POINT = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
# may be 1234 as well as 1.234
_THOUSANDS = re.compile(r"\s*[+-]?([1-9]\d{0,2}[.,]\d{3}|\d+)\s*")


def read_delimited(text, *, sep=None, header=None, decimal=None):
    """Read a delimited text as pandas does, and refuse what pandas would shift or fill up.

    Parameters are those of `read_frame`.
    """
    if not text.lines().read(1 << 16).strip() and not text.lines().read().strip():
        raise InputError(f"{text.name}: the file is empty")
    with _fields_of_any_length():
        return _read(*_separator_line(text, sep), header, decimal)


def _read(text, sep, header, decimal):
    dialect = find_dialect(text, sep)
    rows = dialect.sample(text)
    if header is None:
        header = find_header(rows, text.name, dialect.is_number)
    n_columns, n_rows = _check_widths(text, dialect, header)
    if n_rows == 0:
        raise InputError(f"{text.name}: the file has a header and no rows")
    frame = _parse(text, dialect, header, decimal or ".", n_columns)
    if n_columns > 1 and len(frame) != n_rows:
        raise InputError(
            f"{text.name}: read as {len(frame)} rows and as {n_rows}; is a quotation mark missing?"
        )
    if decimal is None and dialect.sep != "," and b"," in text.data:
        frame = _with_decimal_commas(frame, text, dialect, header)
    # A separator at the end of each line makes a last column of nothing.
    if n_columns > 1 and not any(row[-1] for row in rows) and frame.iloc[:, -1].isna().all():
        frame = frame.iloc[:, :-1]
    if not header:
        frame.columns = [f"column {j}" for j in range(frame.shape[1])]
    return frame


def _separator_line(text, sep):
    """Return the text without a first line such as ``sep=;``, in which Excel says the separator."""
    first = text.lines().readline()
    found = re.fullmatch(r"sep=(.)\r?\n?", first)
    if not found:
        return text, sep
    # The line is left blank, so that the others keep their numbers.
    rest = text.lines().read()[len(first) :]
    return text._replace(data=("\n" + rest).encode(text.encoding)), sep or found[1]


@contextmanager
def _fields_of_any_length():
    """Lift the limit of the csv module, which a long text would exceed. It is a global one."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _check_widths(text, dialect, header):
    """Return the numbers of columns and rows, where all rows have as many fields."""
    width = len(next(row for row in dialect.rows(text) if not is_blank(row)))
    widths = Counter(map(len, dialect.rows(text)))
    if width > 1:
        del widths[0]
    if set(widths) <= {0, width}:
        return width, widths[width] - bool(header)
    # Which lines these are takes a slower look.
    n_rows = n_trailing = n_longer = 0
    wrong, line = None, 1
    reader = dialect.rows(text)
    for row in reader:
        if not is_blank(row):
            n_rows += 1
            n_longer += len(row) == width + 1
            n_trailing += len(row) == width + 1 and row[-1] == ""
            if len(row) != width and wrong is None:
                wrong = (line, len(row))
        line = reader.line_num + 1
    n_rows -= bool(header)
    if wrong is None or (header and n_trailing == n_rows):
        return width, n_rows
    _refuse_unclosed_quote(text, dialect)
    than = "the header" if header else "the first row"
    shown = {"\t": "tab"}.get(dialect.sep, dialect.sep)
    if header and n_longer == n_rows:
        raise InputError(
            f"{text.name}, line {wrong[0]}: {_fields(wrong[1])}, and {width} in the header, as in "
            "every row; the header lacks a name, or the file has none (--no-header)"
        )
    raise InputError(
        f"{text.name}, line {wrong[0]}: {_fields(wrong[1])}, and {width} in {than} "
        f"(separator {shown!r}; --sep names another)"
    )


def _fields(count):
    return f"{count} field{'s' if count > 1 else ''}"


def _refuse_unclosed_quote(text, dialect):
    """Raise an error that names the line where a quotation mark opens that is never closed."""
    reader, start, end = dialect.rows(text), 0, 0
    for _ in reader:
        start, end = end, reader.line_num
    try:
        for _ in dialect.reader(islice(text.lines(), start, None), strict=True):
            pass
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise InputError(
                f"{text.name}, line {start + 1}: a quotation mark is opened and never closed"
            ) from error


def _parse(text, dialect, header, decimal, n_columns):
    import pandas

    lines = text.lines()
    if n_columns == 1:
        # A blank line is a missing value in a table of one column, except at the ends.
        lines = io.StringIO(lines.read().strip("\r\n"), newline="")
    try:
        return pandas.read_csv(
            lines,
            sep=dialect.sep,
            skipinitialspace=dialect.skipinitialspace,
            header=0 if header else None,
            # else pandas takes the first of too many fields for an index
            index_col=False,
            usecols=range(n_columns),
            skip_blank_lines=n_columns > 1,
            decimal=decimal,
            low_memory=False,
        )
    except (ValueError, OverflowError) as error:
        _refuse_unclosed_quote(text, dialect)
        reason = str(error).splitlines()[0]
        raise InputError(f"{text.name}: not a readable table ({reason})") from error


def _with_decimal_commas(frame, text, dialect, header):
    """Return the frame, read again if a column of text holds numbers with decimal commas."""
    commas = [name for name in frame if _all_match(frame[name], _COMMA)]
    if not commas:
        return frame
    again = _parse(text, dialect, header, ",", frame.shape[1])
    points = [name for name in again if _all_match(again[name], _POINT)]
    if points:
        raise InputError(
            f"{text.name}: column {commas[0]!r} has decimal commas and column {points[0]!r} "
            "decimal points; --decimal says which are numbers"
        )
    return again


def _all_match(column, pattern):
    """Return whether a column of text is of numbers, not all of which may be thousands."""
    if column.dtype.kind in "biuf":
        return False
    values = {str(value) for value in column.dropna().unique()}
    return all(map(pattern.fullmatch, values)) and not all(map(_THOUSANDS.fullmatch, values))
