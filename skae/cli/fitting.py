"""Models of a command: a warning becomes a note, and what they refuse an error of the input."""

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


def add_contamination(command):
    """Add the argument that says how many rows are anomalies."""
    about = "fraction of anomalies, in [0, 0.5] (default: auto)"
    command.add_argument("--contamination", help=about)


def contamination_of(args):
    """Return the value of ``--contamination`` as the detector takes it."""
    text = args.contamination
    if text in (None, "auto"):
        return "auto"
    try:
        contamination = float(text)
    except ValueError:
        contamination = float("nan")
    if not 0 <= contamination <= 0.5:
        raise InputError(f"--contamination must be 'auto' or a number in [0, 0.5], got {text!r}")
    return contamination


def fit_detector(args, frame):
    """Return the detector that the arguments ask for, fitted to a table."""
    from ..tables import TableAnomalyDetector

    model = TableAnomalyDetector(
        contamination_of(args),
        encoder=table_encoder(args),
        random_state=args.random_state,
        verbose=1,  # a bar, as a fit may take minutes
    )
    with fitting(args.data):
        return model.fit(frame)


def load_detector(path):
    """Return the detector that the command fit has saved."""
    # a file that is no model is refused before torch is imported
    from ..io import load

    with fitting(path):
        try:
            model = load(path)
        except FileNotFoundError as error:
            raise InputError(f"no file {path!r}") from error
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        except ValueError as error:
            raise InputError(str(error)) from error
    from ..tables import TableAnomalyDetector

    if not isinstance(model, TableAnomalyDetector) or not hasattr(model, "encoder_"):
        kind = type(model).__name__
        raise InputError(f"{path}: holds no fitted TableAnomalyDetector but a {kind}")
    return model


def ids_of(encoder):
    """Return the names of the columns that a fitted encoder has found to be ids."""
    return [name for name, reason in encoder.left_out_.items() if reason == "id"]
