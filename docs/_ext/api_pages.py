"""Completes the API pages: the names that a parameter takes; a check that no method is missing."""

import inspect
import re

from sphinx.util import logging

import skae
from skae._utils.registry import RegistryOptions, Strategy

ESTIMATORS = [skae.AutoencoderTransformer, skae.AutoencoderAnomalyDetector]
TORCH = "https://docs.pytorch.org/docs/stable/generated/torch.nn."
PARAMETER = re.compile(r"\w+ : ")


def registry_of(estimator, parameter):
    """Return the names and classes that a parameter takes, none where it takes no names."""
    allowed = estimator._parameter_constraints.get(parameter, [])
    return next((a.registry for a in allowed if isinstance(a, RegistryOptions)), {})


def names_list(registry):
    """Return a list of a registry's names, each with its class and the class's first sentence."""
    lines = [""]
    for name, kind in registry.items():
        if issubclass(kind, Strategy):
            module = ".".join(kind.__module__.split(".")[:2])
            link = f":class:`~{module}.{kind.__name__}`"
        else:
            link = f"`{kind.__name__} <{TORCH}{kind.__name__}.html>`__"
        lines.append(f'    - ``"{name}"``, {link}: {inspect.getdoc(kind).splitlines()[0]}')
    return [*lines, ""]


def with_names(estimator, lines):
    """Return an estimator's docstring with a list of names under each parameter that takes them."""
    found, registry = [], {}
    for line in lines:
        # the next parameter, or the blank line after the last one
        if registry and (PARAMETER.match(line) or not line.strip()):
            found += names_list(registry)
            registry = {}
        if PARAMETER.match(line):
            registry = registry_of(estimator, line.split(" : ")[0])
        found.append(line)
    return found


def without_roles(text):
    """Return scikit-learn's text without links to labels that only its own pages have."""
    text = re.sub(r":(?:ref|term):`([^`<]+?)\s*<[^`]*>`", r"\1", text)
    text = re.sub(r":ref:`[^`]*`", "scikit-learn's documentation", text)
    return re.sub(r":term:`([^`]*)`", r"\1", text)


def complete(app, what, name, obj, options, lines):
    """Change a docstring before numpydoc reads it."""
    if obj in ESTIMATORS:
        lines[:] = with_names(obj, lines)
    elif (getattr(obj, "__module__", None) or "").startswith("sklearn"):
        lines[:] = without_roles("\n".join(lines)).split("\n")
    # "(n_samples, *input_shape)" would begin an emphasis
    lines[:] = [line.replace("*", r"\*") if PARAMETER.match(line) else line for line in lines]


def methods(estimator):
    """Return the names of an estimator's public methods, the inherited ones too."""
    members = inspect.getmembers_static(estimator)
    return [n for n, m in members if not n.startswith("_") and not isinstance(m, property | dict)]


def check(app, env):
    """Warn of a public method that has no entry on the pages."""
    there = env.get_domain("py").objects
    for estimator in ESTIMATORS:
        for name in methods(estimator):
            if f"skae.{estimator.__name__}.{name}" not in there:
                logging.getLogger(__name__).warning("no entry of %s.%s", estimator.__name__, name)


def setup(app):
    # before numpydoc's
    app.connect("autodoc-process-docstring", complete, priority=100)
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True}
