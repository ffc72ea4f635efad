"""The private scikit-learn names that skae needs, and what only later ones have, in one place."""

from sklearn.base import _fit_context
from sklearn.decomposition._pca import _infer_dimension
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
)
from sklearn.utils._set_output import _get_container_adapter
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_sample_weight,
    validate_data,
)

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:
        """Nothing before scikit-learn 1.9: there is no `set_callbacks`."""


__all__ = [
    "CallbackSupportMixin",
    "Interval",
    "InvalidParameterError",
    "Options",
    "StrOptions",
    "_check_sample_weight",
    "_fit_context",
    "_infer_dimension",
    "_safe_indexing",
    "as_output",
    "validate_data",
]


def as_output(estimator, rows, X):
    """Return rows made of X, with the features of the input, as ``set_output`` asks for them."""
    adapter = _get_container_adapter("transform", estimator)
    if adapter is None or not hasattr(estimator, "set_output"):
        return rows
    return adapter.create_container(rows, X, _check_feature_names_in(estimator))
