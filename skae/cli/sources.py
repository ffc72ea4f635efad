"""The bytes of a file, compressed or not, or of standard input."""

import bz2
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from pathlib import Path, PurePath

from .errors import InputError

_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)


def read_bytes(source):
    """Return the name of a source for messages, its ending, and its bytes without compression.

    The ending is that of the table: ``.csv`` for ``flights.csv.gz``.
    """
    if source == "-":
        return "standard input", "", sys.stdin.buffer.read()
    path = Path(source)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"no file {str(source)!r}") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{source}: cannot be read ({reason})") from error
    except ValueError as error:
        raise InputError(f"{str(source)!r} is not a path ({error})") from error
    compression, inner = path.suffix.lower(), PurePath(path.stem)
    if compression not in (*_OPENERS, ".zip") or not data:
        return str(source), compression, data
    try:
        if compression == ".zip":
            inner, data = _unzip(source, data)
        else:
            with _OPENERS[compression](io.BytesIO(data)) as file:
                data = file.read()
    except _BROKEN as error:
        raise InputError(f"{source}: not a readable {compression} file ({error})") from error
    return str(source), inner.suffix.lower(), data


def _unzip(source, data):
    """Return the name and the bytes of the only file in a zip archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [member.filename for member in archive.infolist() if not member.is_dir()]
        # as pandas asks for
        if len(names) != 1:
            raise InputError(
                f"{source}: a zip archive must hold one file, and this one holds {len(names)}"
            )
        return PurePath(names[0]), archive.read(names[0])
