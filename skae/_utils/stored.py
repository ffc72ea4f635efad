"""What stored models are made of: the classes that may be in a file, and versions."""

import warnings
from inspect import signature

import numpy as np
import sklearn
import torch
from sklearn.exceptions import InconsistentVersionWarning

from .._version import __version__

_KEY = "_versions"


class Stored:
    """A class whose objects a stored model may hold.

    skops makes objects of such classes from whatever a file says, without asking. Making one must
    therefore run no code that comes from the file: a skorch net, which unpickles a part of its
    state, must not be one.
    """


def stored_types():
    """Return the names of skae's own classes whose objects a stored model may hold."""
    found, left = set(), [Stored]
    while left:
        cls = left.pop()
        left += cls.__subclasses__()
        # a user's own strategies are not for skae to trust
        if cls.__module__.partition(".")[0] == "skae":
            found.add(f"{cls.__module__}.{cls.__qualname__}")
    return sorted(found)


def versions():
    """Return the versions that a fitted estimator depends on, by the names of the packages."""
    return {
        "skae": __version__,
        "scikit-learn": sklearn.__version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


class OtherVersionWarning(InconsistentVersionWarning):
    """An estimator was stored by another version of skae than the one that loads it."""

    def __init__(self, estimator_name, original):
        self.estimator_name = estimator_name
        self.original_versions = original
        super().__init__(
            estimator_name=estimator_name,
            current_sklearn_version=sklearn.__version__,
            original_sklearn_version=original.get("scikit-learn", "unknown"),
        )

    def __str__(self):
        original = self.original_versions
        text = (
            f"{self.estimator_name} was stored by skae {original.get('skae', 'before 0.1')} and is "
            f"loaded by skae {__version__}: it may fail, or return other results. Fit it again"
        )
        if not original:
            return f"{text}."
        given = ", ".join(f"{name}=={version}" for name, version in original.items())
        return f"{text}, or load it with the versions that stored it: {given}."


class VersionedMixin(Stored):
    """An estimator that is stored with the versions it was fitted by, and asks for the same.

    scikit-learn does that for its own estimators only.
    """

    def __getstate__(self):
        return super().__getstate__() | {_KEY: versions()}

    def __setstate__(self, state):
        state = dict(state)
        original = state.pop(_KEY, {})
        if original.get("skae") != __version__:
            warnings.warn(OtherVersionWarning(type(self).__name__, original), stacklevel=2)
        super().__setstate__(self._defaults() | state)

    def _defaults(self):
        """Return the defaults of the parameters; a version that stored a state may lack some."""
        parameters = signature(type(self)).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}
