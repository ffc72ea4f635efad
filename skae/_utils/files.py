"""Files that are written whole or not at all."""

import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path, beside=None):
    """Give a path to write to. What it holds takes the place of the file when nothing has failed.

    An error leaves the file as it was. A device or a pipe is written to directly. The path is one
    `beside` the file: a process that is killed leaves it, and the next one with the same name there
    overwrites it. None is a name that no other process or thread has.
    """
    # a symbolic link stays one
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        yield target
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # beside the file: a move from another file system would not be in one step
    temporary = target.with_name(beside or f".skae-{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield temporary
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
