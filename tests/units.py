"""The unit of standardized rows, for tests that compute with them."""

import numpy as np


def scale_of(X):
    """Return the root of the mean variance of the features, over the entries that are there."""
    return np.sqrt(np.nanvar(X, axis=0).mean())
