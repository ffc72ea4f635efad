"""What losses, optimizers, schedules and architectures have in common.

Think twice before adding something here: every strategy of every kind carries it.
"""

from sklearn.base import BaseEstimator, clone

from ._compat import RegistryOptions


class Strategy(BaseEstimator):
    """A choice that an estimator makes by name or by object.

    A direct subclass is a kind of strategy and has a ``registry``. A class of that kind which is
    declared with ``name=...`` enters the registry; the constraints, the common tests and the
    tables of the documentation follow from there.
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


def kind_of(kind, value):
    """Return what a name or an object stands for without making or checking it.

    That is a class or an object, which have the same class attributes; of a value that validation
    has yet to refuse it is the value itself.
    """
    return kind.registry.get(value) if isinstance(value, str) else value


def resolve(kind, value):
    """Return a fresh, validated strategy for a name or an object."""
    strategy = kind.registry[value]() if isinstance(value, str) else clone(value)
    strategy._validate_params()
    return strategy
