"""The estimators' outputs as ONNX models."""

import warnings
from numbers import Integral
from os import PathLike
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .. import AutoencoderAnomalyDetector, AutoencoderTransformer, __version__
from .._anomaly.module import ScoreModule
from .._model.modules import Encoder, Reconstructor
from .._utils.files import written_whole
from .._utils.torch import taking_rows

# The outputs of each estimator, and the number among the score module's for those of a score.
_SCORES = {"score": 0, "predict": 1, "p_values": 2}
_OUTPUTS = {
    AutoencoderTransformer: ("transform", "reconstruct"),
    AutoencoderAnomalyDetector: ("transform", "reconstruct", *_SCORES),
}
# Earlier ones lack operators; it is also what the smallest number of runtimes is too old for.
OLDEST_OPSET = 18
# Rows that are traced: more than one, because torch takes one for a size of its own.
_TRACED_ROWS = 2


def to_onnx(
    estimator: AutoencoderTransformer | AutoencoderAnomalyDetector,
    path: str | PathLike[str],
    output: str = "transform",
    *,
    dtype: str = "float32",
    opset: int = OLDEST_OPSET,
) -> Any:
    """Write what a fitted estimator does of rows to an ONNX file.

    Parameters
    ----------
    estimator : AutoencoderTransformer or AutoencoderAnomalyDetector
        Fitted.
    path : str or path-like
        Where the file is written, whole or not at all.
    output : str, default="transform"
        The method: "transform" or "reconstruct", and of a detector also "score" (its
        ``score_samples``), "predict" or "p_values".
    dtype : {"float32", "float64"}, default="float32"
        The float type of the rows that the file takes.
    opset : int, default=18
        The version of ONNX's operators, at least 18.

    Returns
    -------
    model : onnx.ModelProto
        What was written. Its input is "X" of shape (n_samples, n_features), for any number of rows,
        and its output has the name of the method.

    Raises
    ------
    ImportError
        If onnx is not installed.
    TypeError
        If `estimator` is neither of the two.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    ValueError
        If another parameter is not allowed, or if a part of the estimator cannot be translated.

    Notes
    -----
    The file holds all that the method does: the means and the scale, the completion of missing
    entries, and of a detector all nets, their scorings, the calibration and the keys by which
    training rows are recognised. It checks nothing: rows that the estimator refuses get a number.

    Examples
    --------
    >>> import os
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoencoderTransformer
    >>> from skae.export import to_onnx
    >>> autoencoder = AutoencoderTransformer(max_iter=2, random_state=0).fit(load_iris().data)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = to_onnx(autoencoder, os.path.join(folder, "codes.onnx"))
    >>> [output.name for output in model.graph.output]
    ['transform']
    """
    outputs = _OUTPUTS[_kind(estimator)]
    if output not in outputs:
        raise ValueError(
            f"The 'output' parameter of to_onnx must be a str among {set(outputs)} for "
            f"{type(estimator).__name__}, got {output!r}."
        )
    model = as_model(estimator, [output], dtype, opset)
    with written_whole(path) as unfinished:
        unfinished.write_bytes(model.SerializeToString())
    return model


def _kind(estimator):
    for kind in _OUTPUTS:
        if isinstance(estimator, kind):
            return kind
    raise TypeError(
        "to_onnx takes an AutoencoderTransformer or an AutoencoderAnomalyDetector, got "
        f"{estimator!r}. A Pipeline that holds one is converted by skl2onnx: see "
        "skae.export.register_skl2onnx. Text and dates are encoded in Python: of a "
        "TableAutoencoder pass `autoencoder_`, of a TableAnomalyDetector `detector_`, and give the "
        "file what `encoder_.transform` returns."
    )


def as_model(estimator, outputs, dtype="float32", opset=OLDEST_OPSET):
    """Return the ONNX model of some outputs of a fitted estimator."""
    try:
        from onnx.defs import onnx_opset_version
    except ImportError:
        raise ImportError(
            "skae.export needs onnx: install it with pip install 'skae[export]'."
        ) from None

    check_is_fitted(estimator)
    if dtype not in ("float32", "float64"):
        raise ValueError(f"The 'dtype' parameter must be 'float32' or 'float64', got {dtype!r}.")
    newest = onnx_opset_version()
    if not isinstance(opset, Integral) or not OLDEST_OPSET <= opset <= newest:
        raise ValueError(
            f"The 'opset' parameter must be an int from {OLDEST_OPSET} to {newest}, the newest "
            f"that the installed onnx knows, got {opset!r}."
        )
    dtype = getattr(torch, dtype)
    x = torch.zeros(_TRACED_ROWS, estimator.n_features_in_, dtype=dtype)
    module = _module(estimator, outputs, dtype)
    with warnings.catch_warnings():
        # of torch's own code
        warnings.simplefilter("ignore")
        try:
            return _translated(module, x, outputs, int(opset))
        except NotImplementedError as error:
            raise ValueError(
                f"{type(estimator).__name__} cannot be exported: there is no translation of the "
                f"torch operator {error}."
            ) from error


def _translated(module, x, outputs, opset):
    # they register what they translate
    from . import _axes, _entries, _layers  # noqa: F401
    from ._graph import to_model

    producer = f"skae {__version__}"
    try:
        with taking_rows():
            return to_model(module, x, "X", outputs, opset, producer)
    except RuntimeError:
        # Some layers of a user's own cannot be traced for rows whose number is not known.
        return to_model(module, x, "X", outputs, opset, producer)


def _module(estimator, outputs, dtype):
    """Return a torch module with some outputs of an estimator."""
    if outputs[0] in _SCORES:
        scores = ScoreModule(estimator._crossfit, estimator._calibration, estimator.offset_)
        return _Some(scores, [_SCORES[output] for output in outputs])
    (output,) = outputs
    detector = isinstance(estimator, AutoencoderAnomalyDetector)
    model = estimator.models_[0] if detector else estimator._fitted.model
    if output == "reconstruct":
        module = Reconstructor(model)
    else:
        divisor = np.ones(model.n_components)
        if not detector and estimator.whiten:
            least = torch.finfo(dtype).eps
            divisor = np.sqrt(estimator.explained_variance_).clip(min=least)
        module = Encoder(model, divisor)
    module.module.to(dtype)
    return module


class _Some(nn.Module):
    """Some of the outputs of a module."""

    def __init__(self, module, which):
        super().__init__()
        self.module = module
        self.which = which

    def forward(self, x):
        found = self.module(x)
        return tuple(found[i] for i in self.which)
