"""Autoencoders as first-class scikit-learn estimators."""

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from ._detector import AutoencoderAnomalyDetector
    from ._transformer import AutoencoderTransformer

__all__ = ["AutoencoderAnomalyDetector", "AutoencoderTransformer", "__version__"]

# torch takes seconds to import. A command with a bad file, or a look at the version, does not wait
# for it: the estimators and the public modules are imported when they are first asked for.
_ESTIMATORS = {
    "AutoencoderAnomalyDetector": "._detector",
    "AutoencoderTransformer": "._transformer",
}
_MODULES = {
    "architectures",
    "compare",
    "corruptions",
    "drift",
    "export",
    "io",
    "losses",
    "metrics",
    "model_selection",
    "optimizers",
    "penalties",
    "plotting",
    "schedules",
    "scorings",
    "tables",
}


def __getattr__(name):
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _ESTIMATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_ESTIMATORS[name], __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_ESTIMATORS, *_MODULES})
