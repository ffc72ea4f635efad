"""A loss of a user's own, whose preparation works in NumPy."""

import numpy as np

from skae.losses import Huber, Preparation


class Logs(Preparation):
    def transform(self, X):
        return np.log1p(X), None

    def inverse_transform(self, mu):
        return np.expm1(mu)


class HuberOfLogs(Huber):
    preparation = Logs()
