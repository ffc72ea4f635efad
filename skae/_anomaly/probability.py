"""Probabilities of being an anomaly, from p-values: the binormal model of signal detection."""

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

# Between these normal scores, and beyond the mean of the anomalies', there is a node each 0.01.
_RANGE, _STEP = 10.0, 0.01


def posterior(p_values, fraction, roc_auc):
    """Return the probability of being an anomaly for rows with these p-values.

    After some monotone transformation, oddness has a standard normal distribution among normal
    rows and a normal one with a larger mean and the same variance among anomalies, which are a
    `fraction` of the rows that the p-values are relative to. The area under the curve of the two
    says how far the means are apart. The p-value of a row is the upper tail of the mixture.
    """
    if fraction == 0:
        return np.zeros(len(p_values))
    apart = np.sqrt(2) * ndtri(roc_auc)
    # From the oddest to the most normal, as p-values ascend.
    z = np.arange(apart + _RANGE, -_RANGE, -_STEP)
    tail = (1 - fraction) * ndtr(-z) + fraction * ndtr(apart - z)
    return np.interp(p_values, tail, expit(logit(fraction) + apart * (z - apart / 2)))
