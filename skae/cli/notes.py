"""Warnings of a fit, as lines for the reader of a command."""

import sys
import warnings
from contextlib import contextmanager


@contextmanager
def notes_to_stderr():
    """Print each warning that is raised within as a line, once."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        yield
    for text in dict.fromkeys(str(warning.message) for warning in found):
        print("skae: note:", " ".join(text.splitlines()), file=sys.stderr)
