"""Which columns and rows of a table a command works on."""

from difflib import get_close_matches

import numpy as np

from .errors import InputError


def choose_columns(names, source, *, columns=None, drop=None, target=None):
    """Return the names of the features: those asked for, without those to drop and the target."""
    for name in [*(columns or ()), *(drop or ()), *([] if target is None else [target])]:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            suggestion = f" (did you mean {near[0]!r}?)" if near else ""
            raise InputError(f"{source}: no column {name!r}{suggestion}; columns: {_listed(names)}")
    if target is not None and target in (drop or ()):
        raise InputError(f"{source}: column {target!r} is both the target and to be dropped")
    left_out = {*(drop or ()), target}
    features = [name for name in names if name not in left_out]
    if columns:
        features = [name for name in features if name in columns]
    if not features:
        raise InputError(f"{source}: no columns are left of {_listed(names)}")
    return features


def _listed(names, most=50):
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def choose_rows(n_rows, sample, random_state):
    """Return the positions of random rows in their order, or of all rows."""
    if sample is None or sample >= n_rows:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(random_state).choice(n_rows, sample, replace=False))
