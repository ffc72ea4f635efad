"""The command compare: PCA and the autoencoder on the same folds of a table."""

from pathlib import Path

from .. import AutoencoderTransformer
from ..compare import compare_with_pca
from .reading import DATA_HELP, InputError, read


def add_compare(commands):
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compare", help="compare PCA and the autoencoder on the same folds and write a report"
    )
    parser.add_argument("data", help=DATA_HELP)
    parser.add_argument(
        "--n-components", nargs="+", type=int, metavar="K", help="widths of the code"
    )
    parser.add_argument("--cv", type=int, default=3, help="number of folds (default: 3)")
    parser.add_argument("--target", metavar="COLUMN", help="column to predict from the codes")
    parser.add_argument("--out", default="report", help="folder to write to (default: report)")
    parser.add_argument("--max-iter", type=int, help="number of epochs (default: chosen by skae)")
    parser.add_argument("--random-state", type=int, default=0, help="seed (default: 0)")
    parser.set_defaults(run=_compare)


def _compare(args):
    table = read(args.data, args.target)
    widths = args.n_components or _default_widths(*table.X.shape, args.cv)
    params = {} if args.max_iter is None else {"max_iter": args.max_iter}
    out = Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        result = compare_with_pca(
            table.X,
            table.y,
            n_components=widths,
            cv=args.cv,
            estimator=AutoencoderTransformer(**params),
            scale=table.image_shape is None,
            random_state=args.random_state,
            verbose=1,
        )
    except (OSError, ValueError) as error:
        raise InputError(str(error)) from error
    print(result.summary())
    print(result.headline())
    result.to_csv(out / "results.csv")
    print(f"Figures of every fold: {out / 'results.csv'}")
    title = f"PCA and the autoencoder on {table.name}"
    result.to_html(out / "report.html", title=title, image_shape=table.image_shape)
    print(f"Report: {out / 'report.html'}")


def _default_widths(n_rows, n_features, n_folds):
    """Return widths of the code that are smaller than PCA's largest width in every fold."""
    limit = min(n_rows - n_rows // max(n_folds, 2), n_features)
    return [k for k in (2, 8, 16) if k < limit] or [1]
