"""The command compare: PCA and the autoencoder on the same folds, and a report."""

import sys
from pathlib import Path

from .fitting import fitting
from .input import add_input, read_input
from .writing import check_output, written_whole

# A comparison fits an autoencoder for each width and fold.
_MOST_ROWS = 10_000


def add_to(commands):
    """Add the command to the parsers of the commands."""
    about = "compare PCA and the autoencoder on the same folds and write a report"
    command = commands.add_parser("compare", help=about)
    command.set_defaults(run=run)
    add_input(command, target="column to predict from the codes", sample=_MOST_ROWS)
    add = command.add_argument
    add("--n-components", nargs="+", type=int, metavar="K", help="widths of the code")
    add("--cv", type=int, default=3, help="number of folds (default: 3)")
    add("--out", default="report", help="folder to write to (default: report)")
    add("--max-iter", type=int, help="number of epochs (default: chosen by skae)")


def run(args):
    """Read a table, compare PCA and the autoencoder on it, and write tables and a report."""
    table = read_input(args)
    results, report = Path(args.out) / "results.csv", Path(args.out) / "report.html"
    for path in (results, report):
        check_output(path, args.data)
    # imported after the table is read: an error in it does not wait for torch
    from .. import AutoencoderTransformer
    from ..compare import compare_with_pca

    # positions in the file: those of all rows end where the rows do
    if table.rows[-1] >= len(table.rows):
        print(f"skae: note: {args.sample} random rows are used; see --sample", file=sys.stderr)
    widths = args.n_components or _default_widths(*table.X.shape, args.cv)
    params = {} if args.max_iter is None else {"max_iter": args.max_iter}
    with fitting(args.data):
        result = compare_with_pca(
            table.X if args.id is None else table.as_frame().drop(columns=args.id),
            table.y,
            n_components=widths,
            cv=args.cv,
            estimator=AutoencoderTransformer(**params),
            scale=table.image_shape is None,
            random_state=args.random_state,
            verbose=1,
        )
    print(result.summary())
    print(result.headline())
    with written_whole(results) as path:
        result.to_csv(path)
    print(f"Figures of every fold: {results}")
    title = f"PCA and the autoencoder on {table.name}"
    with written_whole(report) as path:
        result.to_html(path, title=title, image_shape=table.image_shape, command=args.line)
    print(f"Report: {report}")


def _default_widths(n_rows, n_features, n_folds):
    """Return widths of the code that are smaller than PCA's largest width in every fold."""
    limit = min(n_rows - n_rows // max(n_folds, 2), n_features)
    return [k for k in (2, 8, 16) if k < limit] or [1]
