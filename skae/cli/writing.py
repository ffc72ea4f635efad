"""The files that a command writes: whole or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path

from .._utils import files
from .errors import InputError


@contextmanager
def refusing_errors(path):
    """Turn the error of a file that cannot be written into one of the input."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: not written ({error.strerror or error})") from error


@contextmanager
def written_whole(path):
    """Give a path to write to, as `files.written_whole`; what fails is an error of the input."""
    with refusing_errors(path), files.written_whole(path) as unfinished:
        yield unfinished


def check_output(path, source):
    """Raise an error if a file cannot be written, or is the one that is read.

    A command calls this before a fit that takes minutes.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise InputError(f"{path}: is a directory, and a file is written")
        if os.path.exists(source) and target.exists() and target.samefile(source):
            raise InputError(f"{path}: is the file that is read; --out names another")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(target if target.exists() else target.parent, os.W_OK):
            raise InputError(f"{path}: not writable")
    except OSError as error:
        raise InputError(f"{path}: not writable ({error.strerror or error})") from error
