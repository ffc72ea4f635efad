"""The command line: python -m skae compare DATA and python -m skae detect DATA."""

import argparse
import sys

from .compare import add_compare
from .detect import add_detect
from .reading import InputError


def main(argv=None):
    """Run a command and return its exit code.

    Parameters
    ----------
    argv : list of str or None
        The arguments; None takes those that Python was started with.

    Returns
    -------
    code : int
        0, or 2 if the input is not valid.
    """
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except (InputError, ImportError) as error:
        print(f"skae: error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="python -m skae")
    commands = parser.add_subparsers(dest="command", required=True)
    add_compare(commands)
    add_detect(commands)
    return parser
