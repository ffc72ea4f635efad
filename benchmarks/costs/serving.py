"""Seconds and megabytes of a model that onnxruntime runs, beside the estimator it was made of."""

import re
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from sklearn.base import clone

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer, io

from ..datasets import Unavailable
from ._data import low_rank
from ._engine import SPEED, Case, part, seconds_a_call

N_TRAINED, N_FEATURES = 2_000, 30
SIZES = [1, 100, 10_000]
FITTED = {
    "transform": AutoencoderTransformer(8, random_state=0),
    "score": AutoencoderAnomalyDetector(random_state=0),
}


def _exported(model, path, output):
    """Write a model and return a function that runs it on rows, on one thread."""
    try:
        import onnxruntime

        from skae.export import to_onnx
    except ImportError as reason:
        raise Unavailable(str(reason)) from None
    to_onnx(model, path, output=output)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    return lambda X: session.run(None, {"X": X})[0]


def _timed(function, X):
    return lambda repeat: {"seconds": seconds_a_call(lambda: function(X))}


def installed_mb(*names):
    """Return the megabytes of packages and of what they need, as they are installed here."""
    found, waiting = {}, list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:
            # of another system, or of another version of Python
            continue
        paths = [package.locate_file(file) for file in package.files or []]
        found[name] = sum(Path(path).stat().st_size for path in paths if Path(path).is_file())
        waiting += [
            re.match(r"[\w.-]+", requirement)[0]
            for requirement in package.requires or []
            if "extra ==" not in requirement
        ]
    return sum(found.values()) / 1e6


@part(SPEED, "serving")
def serving():
    X = low_rank(N_TRAINED, N_FEATURES)
    for output, estimator in FITTED.items():
        model = clone(estimator).fit(X)
        method = model.transform if output == "transform" else model.score_samples
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            run = _exported(model, path, output)
            stored = Path(folder) / "model.skops"
            io.save(model, stored)
            sizes = {"skae": stored.stat().st_size / 1e6, "onnxruntime": path.stat().st_size / 1e6}
        for n_rows in SIZES:
            rows = low_rank(n_rows, N_FEATURES, seed=1)
            peers = {"skae": _timed(method, rows), "onnxruntime": _timed(run, rows)}
            yield Case(f"{output}, {n_rows:,} rows", peers, n_rows, N_FEATURES)
        yield Case(
            f"{output}, file",
            {peer: lambda repeat, mb=mb: {"mb": mb} for peer, mb in sizes.items()},
        )
    needed = {"skae": ["skae"], "onnxruntime": ["onnxruntime", "numpy"]}
    yield Case(
        "packages",
        {peer: lambda repeat, of=of: {"mb": installed_mb(*of)} for peer, of in needed.items()},
    )
