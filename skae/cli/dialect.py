"""What a delimited text does not say of itself: its separator, and whether it begins with names."""

import csv
import re
from collections import Counter
from typing import NamedTuple

from .errors import InputError

SEPARATORS = (",", ";", "\t", "|")
# Enough to see what a table is like; a table may be much longer or wider.
_SAMPLE_ROWS, _SAMPLE_FIELDS = 1000, 100_000
_NUMBER = {
    ".": re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"),
    # beside another separator the comma may stand in numbers
    ",": re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*"),
}
_DATE = re.compile(r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})\b.*")
_MISSING = frozenset(["", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "?"])


class Dialect(NamedTuple):
    """How the rows of a text are separated into fields."""

    sep: str
    skipinitialspace: bool = False

    def rows(self, text):
        """Return a reader of a text's rows, with blank lines as rows without fields."""
        return self.reader(text.lines())

    def reader(self, lines, **params):
        """Return a reader of some lines."""
        space = self.skipinitialspace
        return csv.reader(lines, delimiter=self.sep, skipinitialspace=space, **params)

    def sample(self, text):
        """Return the first rows of a text that are not blank."""
        rows, n_fields = [], 0
        for row in self.rows(text):
            if not is_blank(row):
                rows.append(row)
                n_fields += len(row)
            if len(rows) == _SAMPLE_ROWS or n_fields > _SAMPLE_FIELDS:
                break
        return rows

    def is_number(self, field):
        """Return whether a field is a number, with either decimal mark where both are possible."""
        return bool(_NUMBER["." if self.sep == "," else ","].fullmatch(field))


def is_blank(row):
    """Return whether a row is a line without anything, or with spaces only, as pandas sees it."""
    return not row or (len(row) == 1 and row[0] != "" and not row[0].strip(" \t"))


def find_dialect(text, sep=None):
    """Find the separator of a text, and whether spaces follow it."""
    sep = _find_separator(text) if sep is None else _given_separator(sep)
    rows = Dialect(sep).sample(text)
    later = [field for row in rows for field in row[1:] if field]
    spaces = sep != " " and bool(later) and all(field.startswith(" ") for field in later)
    return Dialect(sep, spaces)


def _given_separator(sep):
    sep = {"\\t": "\t", "tab": "\t"}.get(sep, sep)
    if len(sep) != 1 or sep in '"\r\n\0':
        raise InputError(f"--sep must be one character, or 'tab'; got {sep!r}")
    return sep


def _find_separator(text):
    """Return the separator with which most rows have the same number of fields, more than one.

    Of several, it is the one with which numbers take up more of the text: ``1,5;2,5`` is two
    numbers, not three parts.
    """
    found = []
    for sep in SEPARATORS:
        dialect = Dialect(sep)
        rows = dialect.sample(text)
        width, n_equal = Counter(map(len, rows)).most_common(1)[0]
        if max(width, len(rows[0])) > 1:
            fields = [field for row in rows for field in row]
            numbers = [field for field in fields if field in _MISSING or dialect.is_number(field)]
            share = _length(numbers) / _length(fields)
            found.append((width > 1, n_equal / len(rows), share, width, sep))
    return max(found)[-1] if found else ","


def _length(fields):
    """Return how long fields are with a separator after each: all of them, the same with any."""
    return sum(map(len, fields)) + len(fields)


def find_header(rows, name, is_number):
    """Return whether the first row holds names. An error asks where both are likely.

    Names are text. A row is one of values if all of it are numbers or dates, or if a text in it
    occurs again in the same column and no column of numbers stands below texts.
    """
    first, later = rows[0], rows[1:]
    if first[0] == "" and first[1:] == [str(j) for j in range(len(first) - 1)]:
        return len(first) > 1  # pandas writes the index and numbered columns so

    def is_value(field):
        return is_number(field) or bool(_DATE.fullmatch(field))

    if all(field.strip() in _MISSING or is_value(field) for field in first):
        return False
    columns = [
        {field for row in later for field in row[j : j + 1] if field.strip() not in _MISSING}
        for j in range(len(first))
    ]
    any_value = any(map(is_value, first))
    if not any_value and any(column and all(map(is_value, column)) for column in columns):
        return True
    if any(
        field in column and field.strip() not in _MISSING and not is_value(field)
        for field, column in zip(first, columns, strict=True)
    ):
        return False
    if any_value:
        shown = ", ".join(first[:5]) + (", ..." if len(first) > 5 else "")
        raise InputError(
            f"{name}: the first row may hold names or values ({shown}); "
            "--header or --no-header says which"
        )
    return True
