"""The private scikit-learn names that skae needs, in one place."""

from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

__all__ = [
    "Interval",
    "Options",
    "RegistryOptions",
    "StrOptions",
    "_check_sample_weight",
    "_fit_context",
    "validate_data",
]


class RegistryOptions(StrOptions):
    """Accept the names that a registry holds at the moment of the check.

    A set of names would freeze the choice when the estimator's class is made, and a strategy
    registered later, by a user, would be refused.
    """

    def __init__(self, registry):
        super().__init__(set(registry))
        self.registry = registry

    def is_satisfied_by(self, val):
        return isinstance(val, str) and val in self.registry

    def __str__(self):
        return f"a str among {{{', '.join(map(repr, sorted(self.registry)))}}}"
