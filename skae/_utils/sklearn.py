"""The private names of scikit-learn, what only later ones have, and types of its base classes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from sklearn import base
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

if TYPE_CHECKING:
    # What scikit-learn's own code does not tell a type checker of what the estimators inherit.
    _Method = TypeVar("_Method", bound=Callable[..., Any])

    class BaseEstimator(base.BaseEstimator):
        feature_names_in_: np.ndarray
        n_features_in_: int

        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...

    class CallbackSupportMixin:
        def set_callbacks(self, *callbacks: Any) -> Self: ...

    class ClassNamePrefixFeaturesOutMixin(base.ClassNamePrefixFeaturesOutMixin):
        def get_feature_names_out(self, input_features: Any = None) -> np.ndarray: ...

    class OutlierMixin(base.OutlierMixin):
        def fit_predict(self, X: Any, y: Any = None, **params: Any) -> np.ndarray: ...

    class TransformerMixin(base.TransformerMixin):
        def fit_transform(self, X: Any, y: Any = None, **params: Any) -> np.ndarray: ...
        def set_output(self, *, transform: str | None = None) -> Self: ...

    def _fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[_Method], _Method]: ...
    def available_if(check: Callable[[Any], bool]) -> Callable[[_Method], _Method]: ...

else:
    from sklearn.base import (
        BaseEstimator,
        ClassNamePrefixFeaturesOutMixin,
        OutlierMixin,
        TransformerMixin,
        _fit_context,
    )
    from sklearn.utils.metaestimators import available_if

    try:
        from sklearn.callback import CallbackSupportMixin
    except ImportError:

        class CallbackSupportMixin:
            """Nothing before scikit-learn 1.9: there is no `set_callbacks`."""


__all__ = [
    "BaseEstimator",
    "CallbackSupportMixin",
    "ClassNamePrefixFeaturesOutMixin",
    "Interval",
    "InvalidParameterError",
    "Options",
    "OutlierMixin",
    "StrOptions",
    "TransformerMixin",
    "_check_sample_weight",
    "_fit_context",
    "_infer_dimension",
    "_safe_indexing",
    "as_output",
    "available_if",
    "validate_data",
]


def as_output(estimator, rows, X):
    """Return rows made of X, with the features of the input, as ``set_output`` asks for them."""
    adapter = _get_container_adapter("transform", estimator)
    if adapter is None or not hasattr(estimator, "set_output"):
        return rows
    return adapter.create_container(rows, X, _check_feature_names_in(estimator))
