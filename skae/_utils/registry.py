"""The base of all strategies, which an estimator chooses by name or by object.

Losses, optimizers, schedules, corruptions, penalties, architectures and scorings are strategies.
"""

import re
from contextlib import contextmanager
from difflib import get_close_matches
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, clone
from torch import nn

from .sklearn import InvalidParameterError, StrOptions
from .stored import Stored

# How alike two spellings of a name are, from 0 to 1.
_ALIKE = 0.7


class RegistryOptions(StrOptions):
    """A parameter constraint that accepts the names in a registry.

    The registry is read whenever a parameter is checked. Strategies that a user registers after the
    estimator's class was defined are therefore accepted, too. `spellings` are names that other
    libraries use, and the names in the registry that they stand for.
    """

    def __init__(self, registry, spellings):
        super().__init__(set(registry))
        self.registry = registry
        self.spellings = spellings

    def is_satisfied_by(self, val):
        return isinstance(val, str) and val in self.registry

    def __str__(self):
        return f"a str among {{{', '.join(map(repr, sorted(self.registry)))}}}"

    def hint(self, val):
        """Return a sentence about what a value that is refused may have meant, or nothing."""
        if isinstance(val, nn.Module):
            kind = type(val).__name__
            return (
                f" A module is built anew for each fit: pass its class, {kind}, or a pair of "
                "modules (encoder, decoder), which are copied."
            )
        names = {_bare(name): name for name in self.registry}
        names |= {_bare(other): name for other, name in self.spellings.items()}
        found = get_close_matches(_bare(str(val)), names, 1, _ALIKE)
        return f" Did you mean {names[found[0]]!r}?" if found else ""


def _bare(name):
    return re.sub(r"[\W_]|(loss|lr)$", "", name.lower())


@contextmanager
def suggesting(estimator):
    """Say what may have been meant where a parameter of an estimator is refused."""
    try:
        yield
    except InvalidParameterError as error:
        for name, options in estimator._parameter_constraints.items():
            if f"The {name!r} parameter" in str(error) and isinstance(options[0], RegistryOptions):
                raise type(error)(f"{error}{options[0].hint(getattr(estimator, name))}") from None
        raise


class Strategy(Stored, BaseEstimator):
    """Base class of the kinds of strategies.

    A direct subclass, such as `Loss`, is a kind of strategy. It has a ``registry``, and it declares
    everything that estimators ask about strategies of this kind as class attributes with default
    values. A subclass of a kind that is declared with ``name=...`` enters the registry of the kind;
    ``also=(...)`` are names that other libraries have for it, which errors suggest. The estimators'
    parameter constraints, the common tests and the tables of the documentation are made from the
    registries.
    """

    _parameter_constraints: dict = {}
    registry: dict
    spellings: dict

    def __init_subclass__(cls, name=None, also=(), **kwargs):
        super().__init_subclass__(**kwargs)
        if Strategy in cls.__bases__:
            cls.registry, cls.spellings = {}, {}
        elif name is not None:
            cls.registry[name] = cls
            cls.spellings.update(dict.fromkeys(also, name))


def constraints(kind):
    """Return the parameter constraints that accept a strategy of a kind, by name or object."""
    return [RegistryOptions(kind.registry, kind.spellings), kind]


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
