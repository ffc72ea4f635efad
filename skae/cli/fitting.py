"""Fits of a command: what they warn of are notes, and what they refuse is an error of the input."""

import sys
import warnings
from contextlib import contextmanager

from .errors import InputError


@contextmanager
def fitting(source):
    """Print the first sentence of each warning that is raised within, once.

    A ValueError becomes an error of the input.
    """
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        except ValueError as error:
            raise InputError(f"{source}: {error}") from error
    for text in dict.fromkeys(str(warning.message) for warning in found):
        # what follows is about Python's parameters
        text = " ".join(text.splitlines()).partition(". Pass ")[0]
        print("skae: note:", text, file=sys.stderr)


def table_encoder(args):
    """Return the encoder of a table that the arguments ask for."""
    from ..tables import TableEncoder

    return TableEncoder(id_columns="auto" if args.id is None else args.id)


def ids_of(encoder):
    """Return the names of the columns that a fitted encoder has found to be ids."""
    return [name for name, reason in encoder.left_out_.items() if reason == "id"]
