"""Warnings of a fit, as lines for the reader of a command."""

import sys
import warnings
from contextlib import contextmanager


@contextmanager
def notes_to_stderr():
    """Print the first sentence of each warning that is raised within, once."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        yield
    for text in dict.fromkeys(str(warning.message) for warning in found):
        # what follows is about Python's parameters
        text = " ".join(text.splitlines()).partition(". Pass ")[0]
        print("skae: note:", text, file=sys.stderr)
