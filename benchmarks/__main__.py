"""The command line: python -m benchmarks TASK [--sets ...] [--seeds N] [--out PATH]."""

import argparse
import os
import sys

from .datasets import ADBENCH, FASHION
from .deep import CHOICES
from .detectors import DETECTORS
from .labelled import SETTINGS, oddbench
from .run import merge, run, table
from .tasks import TASKS


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--sets", nargs="+", metavar="SET", help="data sets (default: the task's)")
    parser.add_argument("--seeds", type=int, help="number of splits (default: the task's)")
    parser.add_argument("--adbench", metavar="DIR", help="folder of the ADBench files")
    parser.add_argument(
        "--oddbench", metavar="DIR", help="folder of OddBench's files, for anomaly and probability"
    )
    parser.add_argument("--setting", choices=SETTINGS, help="of anomaly or wide (default: both)")
    parser.add_argument("--images", metavar="DIR", help="folder of MNIST's files, for deep")
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=[*DETECTORS, *CHOICES],
        metavar="PEER",
        help="of anomaly, wide or deep (default: all)",
    )
    parser.add_argument(
        "--out", help="result files without ending (default benchmarks/results/TASK)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep the rows that are there (default: anew)"
    )
    parser.add_argument("--merge", nargs="+", metavar="PART", help="join result files instead")
    args = parser.parse_args(argv)
    task = TASKS[args.task]
    options = {}
    if args.setting:
        options["settings"] = [args.setting]
    if args.peers:
        options["peers"] = args.peers
    known = {"anomaly": DETECTORS, "wide": DETECTORS, "deep": CHOICES}.get(args.task, {})
    if args.setting and args.task not in ("anomaly", "wide"):
        parser.error("--setting is an option of anomaly and wide")
    if not known.keys() >= set(args.peers or ()):
        parser.error(f"--peers of {args.task} can be: {', '.join(known) or 'none'}")
    if args.images and args.task != "deep":
        parser.error("--images is an option of deep")
    if args.task not in ("anomaly", "probability") and args.oddbench:
        parser.error("--oddbench is an option of anomaly and probability")
    if args.oddbench:
        try:
            task.sets.update(oddbench(args.oddbench))
        except ValueError as error:
            parser.error(str(error))
    unknown = [name for name in args.sets or () if name not in task.sets]
    if unknown:
        parser.error(f"no set {', '.join(unknown)} in {args.task}: {', '.join(task.sets)}")
    if args.adbench:
        os.environ[ADBENCH] = args.adbench
    if args.images:
        os.environ[FASHION] = args.images
    out = args.out or f"benchmarks/results/{args.task}"
    try:
        if args.merge:
            about = merge(args.task, args.merge, out)
        else:
            about = run(
                args.task,
                args.sets or list(task.sets),
                args.seeds or task.n_seeds,
                out,
                args.resume,
                **options,
            )
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(table(args.task, about))
    return 0


if __name__ == "__main__":
    sys.exit(main())
