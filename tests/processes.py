"""Runs a script in a process of its own, for tests of what belongs to a whole process."""

import subprocess
import sys
from textwrap import dedent


def run(script, seconds=120):
    """Run a script with warnings as errors; it fails where the script raises or hangs."""
    command = [sys.executable, "-W", "error", "-c", dedent(script)]
    # The limit ends what hangs; nothing is timed.
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
