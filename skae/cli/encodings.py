"""The encoding of a text file, and its lines."""

import codecs
import io
from typing import NamedTuple

from .errors import InputError

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # The mark of UTF-32 begins with that of UTF-16.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SIGNATURES = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "an Excel file or a zip archive",
    b"\xd0\xcf\x11\xe0": "an Excel file of the old kind (.xls)",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x93NUMPY": "an .npy file",
    b"ARROW1": "a Feather file",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


class Text(NamedTuple):
    """The bytes of a text with their encoding, and a name for messages.

    The text is decoded anew each time its lines are asked for. As one string it would take up to
    four times the memory of the bytes.
    """

    name: str
    data: bytes
    encoding: str

    def lines(self):
        """Return a file of the text whose lines keep their ends, as `csv` needs them."""
        return io.TextIOWrapper(io.BytesIO(self.data), encoding=self.encoding, newline="")


def as_text(name, data, encoding=None):
    """Find the encoding of a text, or check the one that is given."""
    if encoding is not None:
        return Text(name, data, _checked(name, data, encoding))
    for mark, marked in _MARKS.items():
        if data.startswith(mark):
            return Text(name, data, _checked(name, data, marked))
    _refuse_binary(name, data)
    try:
        data.decode("utf-8")
        return Text(name, data, "utf-8")
    except UnicodeDecodeError as error:
        # Accents in a file of one byte a character are hardly ever valid UTF-8. A file in which
        # most are is UTF-8 with some damage, and in another encoding all of them would be garbled.
        read = data.decode("utf-8", "replace")
        damaged = read.count("\ufffd")
        if len(read) - len(read.encode("ascii", "ignore")) > 2 * damaged:
            raise _undecodable(name, data, error) from error
    for other in ("cp1252", "latin-1"):
        try:
            data.decode(other)
            break
        except UnicodeDecodeError:
            continue
    return Text(name, data, other)


def _checked(name, data, encoding):
    try:
        # A byte order mark is optional in UTF-8.
        if codecs.lookup(encoding).name == "utf-8":
            encoding = "utf-8-sig"
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _undecodable(name, data, error) from error
    except UnicodeError as error:
        raise InputError(f"{name}: not valid {encoding} ({error})") from error
    except (LookupError, ValueError) as error:
        raise InputError(
            f"{encoding!r} is not an encoding of text; utf-8, utf-16 and cp1252 are the usual ones"
        ) from error
    if "\0" in text:
        raise InputError(f"{name}: holds null characters, so it is not a table in {encoding}")
    return encoding


def _undecodable(name, data, error):
    line = data.count(b"\n", 0, error.start) + 1
    return InputError(
        f"{name}, line {line}: byte 0x{data[error.start]:02x} is not valid in {error.encoding}; "
        "--encoding names another encoding"
    )


def _refuse_binary(name, data):
    for signature, kind in _SIGNATURES.items():
        if data.startswith(signature):
            raise InputError(f"{name}: not a text file but {kind}; its ending must say so")
    sample = data[:100_000]
    if b"\0" in data or len(sample) - len(sample.translate(None, _CONTROLS)) > len(sample) / 20:
        raise InputError(
            f"{name}: a binary file, not a table that can be read (UTF-16 without a byte order "
            "mark needs --encoding utf-16-le)"
        )
