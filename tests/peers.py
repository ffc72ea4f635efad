"""scikit-learn's own tests of an estimator as tests of another one."""

import types

import pytest


def class_of(module, excluded, not_ours=(), slow=(), only=None):
    """Return a class whose methods are the tests of a module.

    Parameters
    ----------
    module : module
    excluded : dict
        The beginnings of the names of tests that must fail, and why they do.
    not_ours : collection of str
        Parameters of tests that stand for nothing in the other estimator: one value is enough.
    slow : collection of str
        Tests that are to be marked as slow.
    only : collection of str or None
        The tests to take; None takes all.
    """
    methods = {"excluded": excluded}
    for name, test in vars(module).items():
        # Those of other array libraries need these, and are about objects made beforehand.
        wanted = name.startswith("test_") and "array_api" not in name
        if wanted and (only is None or name in only):
            own = types.FunctionType(test.__code__, vars(module), name, test.__defaults__)
            marks = getattr(test, "pytestmark", [])
            own.pytestmark = [_reduced(mark, not_ours) for mark in marks]
            own.pytestmark += [pytest.mark.slow.mark] if name in slow else []
            methods[name] = staticmethod(own)
    return type("Tests", (), methods)


def _reduced(mark, not_ours):
    if mark.name == "parametrize" and mark.args[0] in not_ours:
        return pytest.mark.parametrize(mark.args[0], list(mark.args[1])[:1]).mark
    return mark


def expect_failures(request):
    """Mark the test of a fixture's request as one that must fail, if its class lists it."""
    for beginning, reason in request.cls.excluded.items():
        if f"{request.node.name}$".startswith(beginning):
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
