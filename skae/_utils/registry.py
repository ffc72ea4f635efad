"""The base of all strategies, which an estimator chooses by name or by object.

Losses, optimizers, schedules, corruptions, penalties, architectures and scorings are strategies.
"""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, clone

from .sklearn import StrOptions


class RegistryOptions(StrOptions):
    """A parameter constraint that accepts the names in a registry.

    The registry is read whenever a parameter is checked. Strategies that a user registers after the
    estimator's class was defined are therefore accepted, too.
    """

    def __init__(self, registry):
        super().__init__(set(registry))
        self.registry = registry

    def is_satisfied_by(self, val):
        return isinstance(val, str) and val in self.registry

    def __str__(self):
        return f"a str among {{{', '.join(map(repr, sorted(self.registry)))}}}"


class Strategy(BaseEstimator):
    """Base class of the kinds of strategies.

    A direct subclass, such as `Loss`, is a kind of strategy. It has a ``registry``, and it declares
    everything that estimators ask about strategies of this kind as class attributes with default
    values. A subclass of a kind that is declared with ``name=...`` enters the registry of the kind.
    The estimators' parameter constraints, the common tests and the tables of the documentation are
    made from the registries.
    """

    _parameter_constraints: dict = {}
    registry: dict

    def __init_subclass__(cls, name=None, **kwargs):
        super().__init_subclass__(**kwargs)
        if Strategy in cls.__bases__:
            cls.registry = {}
        elif name is not None:
            cls.registry[name] = cls


def constraints(kind):
    """Return the parameter constraints that accept a strategy of a kind, by name or object."""
    return [RegistryOptions(kind.registry), kind]


def declared(kind, value):
    """Return the class or the object whose attributes describe an estimator's parameter.

    It can be called before the parameters are validated, for example in ``__sklearn_tags__``: for a
    value that the validation may refuse it returns the kind itself, with its default attributes.
    """
    if isinstance(value, str):
        return kind.registry.get(value, kind)
    return value if isinstance(value, kind) else kind


def resolve(kind, value):
    """Return a new, validated strategy for a name or an object."""
    strategy = kind.registry[value]() if isinstance(value, str) else clone(value)
    strategy._validate_params()
    return strategy


def check_unchanged(name, before, now, one_pass):
    """Check that a parameter is what it was at the fit that another goes on from."""
    if _comparable(before) != _comparable(now):
        way = "partial_fit" if one_pass else "warm_start"
        raise ValueError(
            f"{way} can only be used where {name} stays what it was at the first fit: it was "
            f"{before!r} and is {now!r} now. Set it back, or fit anew with warm_start=False."
        )


def _comparable(value):
    """Return what can be compared of a parameter: of the objects of a user's own, their class."""
    if isinstance(value, Strategy):
        params = value.get_params(deep=False)
        return type(value), [(name, _comparable(params[name])) for name in sorted(params)]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_comparable(entry) for entry in value]
    return value if isinstance(value, str | Real | type | None) else type(value)
