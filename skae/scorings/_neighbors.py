"""The distance to the nearest training rows, alone and beside the Mahalanobis distance."""

from numbers import Integral

import numpy as np
import torch
from scipy.special import ndtri
from torch.nn import functional

from .._utils.sklearn import Interval
from .._utils.torch import is_tracing
from ._base import Scoring
from ._mahalanobis import MIN_DEVIATION, Mahalanobis, scale_of

# Rows that others are compared with, and values of a feature that its ranks are known at, at most.
# To look up one of more values takes longer, and hardly changes which rows are anomalies.
_MOST_ROWS, _MOST_VALUES = 1000, 64
# How many more rows are looked at than nearest ones are needed, and how far away they are at most,
# in standard deviations, where these are looked for.
_MORE, _FARTHEST = 3, 1e15
# The search for them compares groups of so many rows first. It pays for no more than so many near
# rows, and for no fewer rows to score.
_GROUP, _MOST_NEAREST, _FEWEST_SEARCHED = 8, 16, 32
# The fraction of the largest distances whose mean excess tells how surprises go on beyond them.
_TAIL = 0.1
# Smaller ones say nothing: the rows are equal, or only a few. A typical distance is about one.
_LEAST_EXCESS = 1e-3
# Sums of squares may overflow, and a logarithm of infinity says nothing of a feature.
_LARGEST = 1e280


class Neighbors(Scoring, name="neighbors", also=("knn", "nearest_neighbors", "dte_np")):
    """Mean squared distance to the nearest training rows, by values and by normal scores.

    Each feature counts twice: divided by its standard deviation, and as a normal score, the
    quantile of the normal distribution that has the value's rank among the training rows. The first
    says how far away a value is, and the second tells values apart that are close together beside
    the largest of a heavy tail.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of nearest rows.

    Attributes
    ----------
    scale_ : ndarray of shape (n_features,)
        Standard deviation of each feature, 1 where it is constant.
    values_ : ndarray of shape (n_features, n_values)
        Values of each feature, in ascending order: all of them, or 64 that are evenly spaced by
        rank. Between two of them normal scores are interpolated.
    normal_scores_ : ndarray of shape (n_features, n_values)
        The normal scores that belong to them.
    rows_ : ndarray of shape (n_rows, 2 * n_features)
        The rows that others are compared with, in both forms: those of a net's fold, or 1,000.
    weight_ : ndarray of shape (n_rows,)
        How often each of these rows counts.

    References
    ----------
    S. Ramaswamy, R. Rastogi, K. Shim, "Efficient Algorithms for Mining Outliers from Large Data
    Sets", SIGMOD 2000.

    V. Livernoche et al., "On Diffusion Modeling for Anomaly Detection", ICLR 2024, for the mean
    squared distance to five neighbours.

    Examples
    --------
    >>> from skae.scorings import Neighbors
    >>> Neighbors(n_neighbors=10)
    Neighbors(n_neighbors=10)
    """

    _parameter_constraints: dict = {"n_neighbors": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, n_neighbors: int = 5):
        self.n_neighbors = n_neighbors

    def fit(self, residuals, weight):
        rows = residuals.row.numpy()
        values, scores = zip(*(_normal_scores(column, weight) for column in rows.T), strict=True)
        # Shorter lists go on with their last value.
        length = max(map(len, values))
        self.values_, self.normal_scores_ = (
            np.stack([np.pad(part, (0, length - len(part)), mode="edge") for part in parts])
            for parts in (values, scores)
        )
        self.scale_ = scale_of(rows, weight)
        some = slice(None, None, -(-len(rows) // _MOST_ROWS))
        self.rows_ = self._features(residuals).numpy()[some]
        # So that the number of neighbours counts rows of the lightest kind.
        self.weight_ = weight[some] / weight[some].min()

    def _features(self, residuals):
        row = residuals.row
        values, scores = torch.from_numpy(self.values_), torch.from_numpy(self.normal_scores_)
        normal = interpolate(row.T.contiguous(), values, scores).T
        return torch.cat([row / torch.from_numpy(self.scale_), normal], 1)

    def distance(self, residuals):
        return self._distance(self._features(residuals))

    def leave_one_out(self):
        """Return the distances of the kept rows, each compared with the others.

        Returns
        -------
        distance : Tensor of shape (n_rows,)
            As `distance` returns them of other rows.
        """
        return self._distance(torch.from_numpy(self.rows_), own=True)

    def _distance(self, features, own=False):
        rows, weight = torch.from_numpy(self.rows_), torch.from_numpy(self.weight_)
        n_nearest = min(self.n_neighbors, max(1, len(rows) - own))
        nearest = self._candidates(features, own, n_nearest)
        # One neighbour at a time, as all of them are many times the rows.
        near = (functional.embedding(column, rows) for column in nearest.T.contiguous())
        distance = torch.stack([(features - other).square().sum(1) for other in near], 1)
        distance, order = distance.topk(n_nearest, largest=False)
        nearest = nearest.gather(1, order)
        counts = weight[nearest]
        if own:
            counts = counts - (nearest == torch.arange(len(rows))[:, None]).to(counts)
        # Rows count until there are as many as neighbours are asked for.
        before = counts.cumsum(1) - counts
        counts = torch.minimum(counts, self.n_neighbors - before).clamp(min=0)
        return (counts * distance).sum(1) / counts.sum(1).clamp(min=MIN_DEVIATION)

    @torch.no_grad()
    def _candidates(self, features, own, n_nearest):
        """Return which rows are nearest, and a few more: the search has the rounding of float32."""
        rows, weight = torch.from_numpy(self.rows_), torch.from_numpy(self.weight_)
        n = min(n_nearest + _MORE, len(rows) - own) if len(rows) > 1 else 1
        in_groups = not is_tracing() and n <= _MOST_NEAREST and len(features) >= _FEWEST_SEARCHED
        some, others = (x.clamp(-_FARTHEST, _FARTHEST).float() for x in (features, rows))
        size = others.square().sum(1)
        if in_groups:
            # Rows that are nowhere fill the last group.
            more = -len(rows) % _GROUP
            others = functional.pad(others, (0, 0, 0, more))
            size = functional.pad(size, (0, more), value=torch.inf)
        squares = torch.addmm(size[:, None], others, some.T, alpha=-2)
        if own:
            # A row that counts more than once has itself for a neighbour.
            squares.diagonal().copy_(torch.full_like(weight, torch.inf).copysign(1.5 - weight))
        if in_groups:
            return _smallest_by_groups(squares, some.square().sum(1), n)
        return squares.T.topk(n, largest=False, sorted=False).indices


class Combined(Scoring, name="combined"):
    """The larger of two surprises: of the Mahalanobis distance, and of that to the nearest rows.

    A surprise is minus the logarithm of the fraction of training rows whose distance is as large or
    larger. It has no unit, so that distances of different kinds can be compared. The first finds
    what is far from the bulk of the rows, although some of these are anomalies, and the second what
    lies between clusters or on none of the common values.

    Parameters
    ----------
    support_fraction : float, default=0.6
        As for `Mahalanobis`.
    n_neighbors : int, default=5
        As for `Neighbors`.

    Attributes
    ----------
    scorings_ : list of Scoring
        The two, fitted.
    distances_, surprises_ : list of ndarray of shape (n_values,)
        For each of the two distances of training rows, and the surprise that belongs to each.
    excess_ : list of float
        For each of the two the mean excess over the distance that a tenth of the training rows
        passes: beyond the training rows a surprise grows as the logarithm of the distance in this
        unit.

    References
    ----------
    L. H. C. Tippett, "The Methods of Statistics", 1931, for the smallest of several probabilities.

    Examples
    --------
    >>> from skae.scorings import Combined
    >>> Combined(n_neighbors=10)
    Combined(n_neighbors=10)
    """

    _parameter_constraints: dict = {
        **Mahalanobis._parameter_constraints,
        **Neighbors._parameter_constraints,
    }

    def __init__(self, support_fraction: float = 0.6, n_neighbors: int = 5):
        self.support_fraction = support_fraction
        self.n_neighbors = n_neighbors

    def fit(self, residuals, weight):
        mahalanobis, neighbors = Mahalanobis(self.support_fraction), Neighbors(self.n_neighbors)
        self.scorings_ = [mahalanobis, neighbors]
        for scoring in self.scorings_:
            scoring.fit(residuals, weight)
        tails = (
            _tail(mahalanobis.distance(residuals).numpy(), weight),
            _tail(neighbors.leave_one_out().numpy(), neighbors.weight_),
        )
        self.distances_, self.surprises_, self.excess_ = map(list, zip(*tails, strict=True))

    def distance(self, residuals):
        known = zip(self.scorings_, self.distances_, self.surprises_, self.excess_, strict=True)
        found = []
        for scoring, distances, surprises, excess in known:
            distance = scoring.distance(residuals).clamp(max=_LARGEST)
            knots, heights = torch.from_numpy(distances), torch.from_numpy(surprises)
            # Few rows cannot tell how odd it is to be far beyond them: no more than another time
            # their largest surprise.
            beyond = ((distance - knots[-1]).clamp(min=0) / excess).log1p()
            beyond = beyond / (1 + beyond / heights[-1])
            found.append(interpolate(distance, knots, heights) + beyond)
        return torch.maximum(*found)


def _normal_scores(column, weight):
    """Return distinct values of a feature, in ascending order, and their normal scores."""
    values, counts = _distinct(column, weight)
    total = counts.sum()
    rank = np.cumsum(counts) - counts / 2
    # The extremes are as those of as many rows, whatever the unit of their weights.
    n_rows = len(column)
    probability = np.clip(rank / total, 0.5 / (n_rows + 1), 1 - 0.5 / (n_rows + 1))
    kept = _evenly_spaced(len(values), _MOST_VALUES)
    return values[kept], ndtri(probability[kept])


def _evenly_spaced(n, most):
    """Return which of n sorted numbers to keep: all, or as many as `most`, both ends among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int))


def _distinct(values, weight):
    """Return distinct values in ascending order, and the weight of each."""
    order = np.argsort(values)
    values = values[order]
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return values[starts], np.add.reduceat(weight[order], starts)


def _tail(distances, weight):
    """Return distances in ascending order, the surprise of each, and the mean excess of a tail."""
    distances, counts = _distinct(distances, weight)
    n_rows, total = len(weight), counts.sum()
    # The smallest fraction is that of one row among one more.
    reached = np.cumsum(counts[::-1])[::-1] * (n_rows / total)
    surprises = -np.log(np.clip(reached / (n_rows + 1), 1 / (n_rows + 1), 1))
    first = np.argmax(reached <= max(_TAIL * n_rows, reached[-1]))
    fraction = counts[first:] / counts[first:].sum()
    excess = fraction @ (distances[first:] - distances[max(first - 1, 0)])
    kept = _evenly_spaced(len(distances), _MOST_ROWS)
    return distances[kept], surprises[kept], max(excess, _LEAST_EXCESS)


def _smallest_by_groups(squares, more, n):
    """Return where the n smallest numbers of each column are, an array of shape (n_columns, n).

    They are in the n groups of rows with the smallest minima. With `more` they are not negative.
    """
    members = squares.unflatten(0, (_GROUP, -1))
    n_groups = members.shape[1]
    group = _smallest(members.amin(0) + more, min(n, n_groups))
    some = members.gather(1, group.expand(_GROUP, -1, -1)).flatten(0, 1)
    at = _smallest(some + more, n)
    return (at // len(group) * n_groups + group.gather(0, at % len(group))).T


def _smallest(numbers, n):
    """Return where the n smallest numbers of each column are, an array of shape (n, n_columns).

    The last bits of a number are replaced by its place, so that a minimum tells where it is: that
    is several times as fast as a partial sort. Numbers that differ in these bits alone are equal.
    """
    last = 2 ** (len(numbers) - 1).bit_length() - 1
    places = torch.arange(len(numbers), dtype=torch.int32)[:, None]
    keys = (numbers.clamp(min=0).view(torch.int32) & ~last) | places
    found = []
    for _ in range(n):
        at = (keys.amin(0, keepdim=True) & last).long()
        keys.scatter_(0, at, torch.iinfo(torch.int32).max)
        found.append(at)
    return torch.cat(found)


def interpolate(x, knots, heights):
    """Return what belongs to values of x between knots, the same beyond them as at the ends."""
    if knots.shape[-1] == 1:
        return heights.expand_as(x) + 0.0 * x
    left = torch.searchsorted(knots[..., 1:-1].contiguous(), x.detach())
    # Shorter lists of knots end in equal ones.
    gap = (knots[..., 1:] - knots[..., :-1]).clamp(min=MIN_DEVIATION)
    slope = (heights[..., 1:] - heights[..., :-1]) / gap
    low, start, slope = (part.gather(-1, left) for part in (knots, heights, slope))
    inside = torch.minimum(torch.maximum(x, knots[..., :1]), knots[..., -1:])
    return start + slope * (inside - low)
