"""Files that are written whole or not at all."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


@contextmanager
def written_whole(path):
    """Give a path to write to. What it holds takes the place of the file when nothing has failed.

    An error leaves the file as it was. A device or a pipe is written to directly.
    """
    # a symbolic link stays one
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            yield target
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        # beside the file: a move from another file system would not be in one step
        temporary = target.with_name(f".skae-{os.getpid()}.tmp")
        try:
            yield temporary
            if target.exists():
                shutil.copymode(target, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: not written ({error.strerror or error})") from error


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
