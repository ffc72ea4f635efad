"""Bounds that hold with confidence over the draw of the training rows, from order statistics."""

from functools import lru_cache

import numpy as np
from scipy import stats

# Draws by which a confidence is turned into a level for each order statistic, and how many of these
# are looked at, more closely spaced where they are low. A bound between two is that of the next.
_DRAWS, _N_RANKS = 10_000, 200


def _ranks(n):
    """Return some of the numbers from 1 to n, all of the smallest."""
    return np.unique(np.geomspace(1, n, _N_RANKS).astype(int))


def _uniform_order_statistics(n, ranks, generator):
    """Return draws of some order statistics of n uniform numbers, of shape (n_draws, n_ranks)."""
    steps = np.diff(ranks, prepend=0, append=n + 1)
    total = generator.standard_gamma(steps, size=(_DRAWS, len(steps))).cumsum(axis=1)
    return total[:, :-1] / total[:, -1:]


@lru_cache(maxsize=8)
def _order_statistics(n, confidence):
    """Return ranks, and what the order statistics of n uniform numbers are all at most."""
    ranks = _ranks(n)
    drawn = _uniform_order_statistics(n, ranks, np.random.default_rng(0))
    least = stats.beta.sf(drawn, ranks, n + 1 - ranks).min(axis=1)
    level = np.quantile(least, 1 - confidence, method="lower")
    return ranks, stats.beta.isf(level, ranks, n + 1 - ranks)


@lru_cache(maxsize=8)
def _order_counts(n, m, confidence):
    """Return ranks, and how many of n numbers are up to the k-th lowest of m like them, at least.

    That number has a beta-binomial distribution.
    """
    ranks, generator = _ranks(m), np.random.default_rng(0)
    drawn = _uniform_order_statistics(m, ranks, generator)
    gaps = np.diff(drawn, prepend=0.0, append=1.0, axis=1)
    counts = generator.multinomial(n, gaps)[:, :-1].cumsum(axis=1)
    laws = [stats.betabinom.pmf(np.arange(n + 1), n, k, m + 1 - k).cumsum() for k in ranks]
    least = np.min([law[drawn] for law, drawn in zip(laws, counts.T, strict=True)], axis=0)
    level = np.quantile(least, 1 - confidence, method="lower") * (1 - 1e-9)
    return ranks, np.array([np.argmax(law > level) for law in laws])


def conditional(p_values, n, confidence):
    """Return calibration-conditional p-values for marginal conformal ones of n calibration rows.

    With probability `confidence` over the calibration rows, new rows like them are at most
    ``alpha`` with a probability of at most ``alpha``, for all ``alpha`` (Bates et al. 2023). The
    probability that a new row scores as the i-th lowest calibration row or lower is the i-th order
    statistic of uniform numbers. Each has its own beta distribution, whose upper quantiles at one
    level hold together; the level is found by simulation.
    """
    n = max(1, int(n))
    ranks, bounds = _order_statistics(n, confidence)
    # The rank of the first calibration row that is not below, but for rounding.
    rank = np.ceil(np.asarray(p_values) * (n + 1) - 1e-9)
    return np.maximum(np.append(bounds, 1.0)[np.searchsorted(ranks, rank)], p_values)


def false_discoveries(counts, n, confidence):
    """Return how many of the rows that are as odd or odder are no anomalies, at most, and all.

    `counts` are the numbers of the n calibration rows that score as low as each row of a batch or
    lower. All bounds hold together with probability `confidence` over calibration rows and batch.
    Of the calibration rows, at least c_k are up to the k-th lowest of m rows like them, for all k;
    so fewer than k of the rows that are no anomalies have counts below c_k (Blanchard, Neuvial and
    Roquain 2020; Gazin, Blanchard and Roquain 2024).
    """
    ranks, bounds = _order_counts(max(1, int(n)), len(counts), confidence)
    ordered = np.sort(counts)
    # Rows below each bound, and rows up to each row, equal ones included.
    below = np.searchsorted(ordered, bounds, side="left")
    up_to = np.searchsorted(ordered, counts, side="right")
    rest = np.maximum(up_to[:, None] - below, 0)
    return np.minimum((ranks - 1 + rest).min(axis=1), up_to), up_to
