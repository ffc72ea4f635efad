"""Methods compared by their ranks on many data sets: mean ranks and groups that do not differ."""

from itertools import combinations
from typing import Any, Self

import numpy as np
from scipy import stats

from ._base import BLUE, draw_on

_TESTS = ("nemenyi", "wilcoxon")


def mean_ranks(scores, higher_is_better=True):
    """Return the mean rank of each method over the data sets; the best has rank 1.

    `scores` has a row for each data set and a column for each method. Ties share their mean rank.
    """
    scores = np.asarray(scores, dtype=float)
    return stats.rankdata(-scores if higher_is_better else scores, axis=1).mean(0)


def critical_difference(n_methods, n_sets, alpha=0.05):
    """Return by how much mean ranks must differ to be different by Nemenyi's test at alpha."""
    quantile = stats.studentized_range.ppf(1 - alpha, n_methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(n_methods * (n_methods + 1) / (6 * n_sets)))


def holm_wilcoxon(scores, alpha=0.05):
    """Return whether each two methods differ: Wilcoxon's signed-rank test with Holm's correction.

    A symmetric array of bool of shape (n_methods, n_methods).
    """
    n_methods = scores.shape[1]
    pairs = [*combinations(range(n_methods), 2)]
    # The test of two methods with the same scores everywhere has no ranks to go by.
    p_values = [
        stats.wilcoxon(scores[:, i], scores[:, j]).pvalue
        if (scores[:, i] != scores[:, j]).any()
        else 1.0
        for i, j in pairs
    ]
    differ = np.zeros((n_methods, n_methods), bool)
    # The smallest of m p-values is compared with alpha / m, the next with alpha / (m - 1) and so
    # on, until one is larger.
    for place, at in enumerate(np.argsort(p_values)):
        if p_values[at] > alpha / (len(pairs) - place):
            break
        i, j = pairs[at]
        differ[i, j] = differ[j, i] = True
    return differ


def joined_groups(ranks, differ):
    """Return the largest groups of methods, neighbours by rank, of which no two differ.

    Each is a list of at least two numbers of methods, the best first.
    """
    order, groups, end = np.argsort(ranks, kind="stable"), [], 0
    for first in range(len(order)):
        last = first + 1
        while last < len(order) and not differ[np.ix_(order[first:last], [order[last]])].any():
            last += 1
        # a group that ends where the one before ends is a part of it
        if last > max(end, first + 1):
            groups.append(order[first:last].tolist())
            end = last
    return groups


class CriticalDifferenceDisplay:
    """Mean ranks of methods on many data sets; bars join those that do not differ.

    Parameters
    ----------
    mean_ranks : ndarray of shape (n_methods,)
        The mean rank of each method; the best possible is 1.
    names : sequence of str
        The names of the methods.
    groups : list of list of int
        The numbers of the methods that a bar joins, one list a bar.
    n_sets : int
        The number of data sets.
    critical_difference : float, default=None
        The least difference of mean ranks that Nemenyi's test finds. None: it is not shown.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes with the picture, and their figure.
    lines_ : list of matplotlib Line2D
        The lines from the ranks on the axis to the names, in the order of `names`.
    texts_ : list of matplotlib Text
        The names with the mean ranks, in the order of `names`.
    bars_ : list of matplotlib Line2D
        The bars, one a group.
    ruler_ : matplotlib Line2D or None
        A line as long as the critical difference.

    References
    ----------
    J. Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", Journal of Machine
    Learning Research 7, 2006.

    A. Benavoli, G. Corani, F. Mangili, "Should We Really Use Post-Hoc Tests Based on Mean-Ranks?",
    Journal of Machine Learning Research 17(5), 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.plotting import CriticalDifferenceDisplay
    >>> scores = np.random.default_rng(0).normal([0.0, 0.2, 2.0], size=(30, 3))
    >>> display = CriticalDifferenceDisplay.from_scores(scores, names=["a", "b", "c"])
    >>> display.groups
    [[1, 0]]
    """

    ax_: Any
    figure_: Any

    def __init__(
        self,
        mean_ranks: np.ndarray,
        names: Any,
        groups: list[list[int]],
        n_sets: int,
        critical_difference: float | None = None,
    ):
        self.mean_ranks = mean_ranks
        self.names = names
        self.groups = groups
        self.n_sets = n_sets
        self.critical_difference = critical_difference

    @classmethod
    def from_scores(
        cls,
        scores: Any,
        *,
        names: Any = None,
        higher_is_better: bool = True,
        test: str = "nemenyi",
        alpha: float = 0.05,
        ax: Any = None,
    ) -> Self:
        """Rank the methods on each data set, test which differ, and draw the mean ranks.

        Parameters
        ----------
        scores : array-like or DataFrame of shape (n_sets, n_methods)
            The score of each method on each data set.
        names : sequence of str, default=None
            The names of the methods. None stands for the columns of a DataFrame, or else for
            numbers.
        higher_is_better : bool, default=True
            Whether the highest score has rank 1.
        test : {"nemenyi", "wilcoxon"}, default="nemenyi"
            How methods are compared. "nemenyi": two of them differ if their mean ranks differ by
            the critical difference. "wilcoxon": by Wilcoxon's signed-rank test of their scores,
            with Holm's correction for the number of pairs; that depends on no third method.
        alpha : float, default=0.05
            The level: the largest probability that methods which are alike are told apart.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : CriticalDifferenceDisplay
            The display with its picture.

        Raises
        ------
        ValueError
            If there are fewer than two methods, if a score is missing, or if there is no such test.
        """
        if test not in _TESTS:
            raise ValueError(f"test must be one of {_TESTS}, got {test!r}.")
        if names is None:
            names = getattr(scores, "columns", None)
        table = np.asarray(scores, dtype=float)
        if table.ndim != 2 or table.shape[1] < 2:
            raise ValueError(
                f"scores must have a column for each of two methods or more, got {table.shape}."
            )
        if np.isnan(table).any():
            raise ValueError(
                "Scores are missing (NaN): leave out the data sets or the methods that lack one, "
                "as with DataFrame.dropna()."
            )
        n_sets, n_methods = table.shape
        names = [str(name) for name in (range(n_methods) if names is None else names)]
        ranks = mean_ranks(table, higher_is_better)
        apart = None
        if test == "nemenyi":
            apart = critical_difference(n_methods, n_sets, alpha)
            differ = np.abs(ranks[:, None] - ranks) >= apart
        else:
            differ = holm_wilcoxon(table, alpha)
        return cls(ranks, names, joined_groups(ranks, differ), n_sets, apart).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the axis of the ranks, the names on both sides, and the bars.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        self : CriticalDifferenceDisplay
            The display with its picture.
        """
        ax = draw_on(self, ax)
        ranks, n_methods = np.asarray(self.mean_ranks), len(self.names)
        # One unit of height is a line of text. The axis of the ranks is at 0, below it are the
        # bars, then the names: the better half on the left, the others on the right.
        step = 0.4
        top = step * (len(self.groups) + 1)
        half = (n_methods + 1) // 2
        low, high = np.floor(ranks.min()), np.ceil(ranks.max())
        margin = 0.04 * (high - low)
        lines, texts = {}, {}
        for place, i in enumerate(np.argsort(ranks, kind="stable")):
            left = place < half
            depth = top + (place if left else n_methods - 1 - place)
            side = low - margin if left else high + margin
            (lines[i],) = ax.plot(
                [ranks[i], ranks[i], side], [0, depth, depth], color=BLUE, lw=1, clip_on=False
            )
            texts[i] = ax.annotate(
                f"{self.names[i]} ({ranks[i]:.2f})",
                (side, depth),
                (-4 if left else 4, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                annotation_clip=False,
            )
        self.lines_ = [lines[i] for i in range(n_methods)]
        self.texts_ = [texts[i] for i in range(n_methods)]
        self.bars_ = []
        for place, group in enumerate(self.groups):
            ends = ranks[group].min(), ranks[group].max()
            depth = step * (place + 1) - 0.1
            self.bars_ += ax.plot(ends, [depth, depth], color="black", lw=3)
        bottom = top + half - 0.5
        self.ruler_ = None
        if self.critical_difference is not None:
            bottom += 1
            end = low + self.critical_difference
            (self.ruler_,) = ax.plot(
                [low, end], [bottom - 0.5] * 2, "|-", color="black", lw=1, clip_on=False
            )
            text = f"critical difference {self.critical_difference:.2f}"
            ax.annotate(text, (end, bottom - 0.5), (6, 0), textcoords="offset points", va="center")
        ax.set(xlim=(low, high), ylim=(bottom, 0), yticks=[])
        ax.set_xlabel(f"mean rank on {self.n_sets} data sets; bars join what does not differ")
        ax.xaxis.tick_top()
        ax.xaxis.set_label_position("top")
        ax.spines[["left", "right", "bottom"]].set_visible(False)
        return self
