"""The command line: skae compare, detect, fit, impute, sample and encode."""

import argparse
import shlex
import sys

from . import compare, detect, fit, tabular
from .errors import InputError

__all__ = ["InputError", "main"]


def main(argv=None):
    """Run a command and return its exit code: 0, or 2 if the input is not valid."""
    args = _parser().parse_args(argv)
    args.line = shlex.join(["skae", *(sys.argv[1:] if argv is None else argv)])
    try:
        args.run(args)
    except (InputError, ImportError) as error:
        # a name of a column may hold a line break
        print("skae: error:", " ".join(str(error).splitlines()), file=sys.stderr)
        return 2
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="skae")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (compare, detect, fit, tabular):
        command.add_to(commands)
    return parser
