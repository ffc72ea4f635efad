"""Seconds until Python has imported skae and is done, beside what skae needs anyway."""

import subprocess
import sys

from ._engine import SPEED, Case, part, seconds


def _starts(modules):
    command = [sys.executable, "-c", f"import {modules}"]
    return lambda repeat: {"seconds": seconds(lambda: subprocess.run(command, check=True))}


@part(SPEED, "import")
def imports():
    peers = {names: _starts(names) for names in ("torch, skorch", "torch, skorch, skae")}
    for start in peers.values():
        start(0)  # the files come to the cache, and the byte code is written
    yield Case("a new process", peers)
