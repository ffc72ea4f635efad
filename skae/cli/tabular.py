"""The commands impute, sample and encode: an autoencoder of a table, and what it makes of it."""

from pathlib import Path

from .errors import InputError
from .fitting import fitting, ids_of, table_encoder
from .input import add_input, read_input
from .writing import check_output, written_whole

# The width of the codes, as a fraction of the columns.
_FRACTION = 1 / 3


def add_to(commands):
    """Add the commands to the parsers of the commands."""
    for name, run, about, out in (
        ("impute", _impute, "fill the missing entries of a table", "imputed.csv"),
        ("sample", _sample, "write new rows that look like those of a table", "sample.csv"),
        ("encode", _encode, "write the codes of the rows of a table", "codes.csv"),
    ):
        command = commands.add_parser(name, help=about)
        command.set_defaults(run=run)
        add_input(command, target="column that is not used")
        add = command.add_argument
        about = "width of the code (default: a third of the columns)"
        add("-k", "--n-components", type=int, metavar="K", help=about)
        add("--max-iter", type=int, help="number of epochs (default: chosen by skae)")
        add("--out", default=out, help=f"CSV or Parquet file to write to (default: {out})")
        if name == "sample":
            add("-n", "--n-rows", type=int, default=1000, help="number of rows (default: 1000)")


def _fitted(args):
    """Return a table as a DataFrame, and the autoencoder that is fitted to it."""
    table = read_input(args)
    check_output(args.out, args.data)
    frame = table.as_frame()
    # imported after the table is read: an error in it does not wait for torch
    from .. import AutoencoderTransformer
    from ..tables import TableAutoencoder

    params = {} if args.max_iter is None else {"max_iter": args.max_iter}
    # A bar is shown, as a fit may take minutes.
    autoencoder = AutoencoderTransformer(verbose=1, **params)
    width = args.n_components or -int(-frame.shape[1] * _FRACTION // 1)
    model = TableAutoencoder(
        width,
        encoder=table_encoder(args),
        autoencoder=autoencoder,
        random_state=args.random_state,
    )
    with fitting(args.data):
        model.fit(frame)
    return frame, model


def _impute(args):
    frame, model = _fitted(args)
    filled = model.impute(frame)
    n_filled = int(frame.isna().sum().sum() - filled.isna().sum().sum())
    _write(args.out, filled)
    print(f"{n_filled} of {frame.size} entries were missing and are filled: {args.out}")


def _sample(args):
    if args.n_rows < 1:
        raise InputError(f"--n-rows must be at least 1, got {args.n_rows}")
    _, model = _fitted(args)
    _write(args.out, model.sample(args.n_rows, args.random_state))
    print(f"{args.n_rows} new rows: {args.out}")


def _encode(args):
    import pandas

    frame, model = _fitted(args)
    names = [f"code {i}" for i in range(model.autoencoder_.n_components_)]
    codes = pandas.DataFrame(model.transform(frame), columns=names)
    _write(args.out, pandas.concat([frame[ids_of(model.encoder_)], codes], axis=1))
    print(f"Codes of {len(frame)} rows: {args.out}")


def _write(path, frame):
    with written_whole(path) as unfinished:
        if Path(path).suffix == ".parquet":
            frame.to_parquet(unfinished, index=False)
        else:
            frame.to_csv(unfinished, index=False, lineterminator="\n")
