"""The command fit: a detector of unusual rows, saved for the command detect."""

from .fitting import add_contamination, contamination_of, fit_detector
from .input import add_input, read_input
from .writing import check_output, refusing_errors


def add_to(commands):
    """Add the command to the parsers of the commands."""
    about = "fit a detector of unusual rows to a table and save it for detect --model"
    command = commands.add_parser("fit", help=about)
    command.set_defaults(run=run)
    add_input(command, target="column that is not a feature")
    add_contamination(command)
    about = "file to save the detector in, such as model.skops"
    command.add_argument("--model", required=True, metavar="FILE", help=about)


def run(args):
    """Read a table, fit a detector to it and save the detector."""
    contamination_of(args)
    table = read_input(args)
    check_output(args.model, args.data)
    # imported after the table is read: an error in it does not wait for torch
    from ..io import import_skops, save

    import_skops()  # without it the fit would be lost
    frame = table.as_frame()
    model = fit_detector(args, frame)
    with refusing_errors(args.model):
        save(model, args.model)
    n_columns = len(model.encoder_.columns_)
    print(f"Detector of {len(frame)} rows by {n_columns} columns: {args.model}")
