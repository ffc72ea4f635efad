"""The command line: python -m benchmarks TASK [--sets ...] [--seeds N] [--out PATH]."""

import argparse
import sys

from .datasets import DATASETS
from .run import merge, run, table
from .tasks import TASKS


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--sets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--seeds", type=int, default=3, help="number of splits (default 3)")
    parser.add_argument(
        "--out", help="result files without ending (default benchmarks/results/TASK)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep the rows that are there (default: anew)"
    )
    parser.add_argument("--merge", nargs="+", metavar="PART", help="join result files instead")
    args = parser.parse_args(argv)
    out = args.out or f"benchmarks/results/{args.task}"
    try:
        if args.merge:
            about = merge(args.task, args.merge, out)
        else:
            about = run(args.task, args.sets, args.seeds, out, args.resume)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(table(about))
    return 0


if __name__ == "__main__":
    sys.exit(main())
