"""The private scikit-learn names that skae needs, in one place."""

from sklearn.base import _fit_context
from sklearn.decomposition._pca import _infer_dimension
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

__all__ = [
    "Interval",
    "Options",
    "StrOptions",
    "_check_sample_weight",
    "_fit_context",
    "_infer_dimension",
    "validate_data",
]
