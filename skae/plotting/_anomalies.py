"""Pictures of anomaly detectors."""

from typing import Any, Self

import numpy as np

from ._base import BLUE, GREY, ORANGE, draw_on


class AnomalyExplanationDisplay:
    """Which features make a row an anomaly, with each value beside what was expected.

    Parameters
    ----------
    details : DataFrame
        The lines of one row of ``explain(X, details=True)``.
    max_features : int, default=10
        The oddest features are shown, at most so many.
    title : str, default="Why this row is odd"
        Title of the picture.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes with the picture, and their figure.
    bars_ : matplotlib BarContainer
        The bars, the oddest feature first.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import AutoencoderAnomalyDetector
    >>> from skae.plotting import AnomalyExplanationDisplay
    >>> X = StandardScaler().fit_transform(load_wine().data)
    >>> detector = AutoencoderAnomalyDetector(max_iter=5, random_state=0).fit(X)
    >>> display = AnomalyExplanationDisplay.from_estimator(detector, X, row=3)
    """

    ax_: Any
    figure_: Any

    def __init__(self, details: Any, max_features: int = 10, title: str = "Why this row is odd"):
        self.details = details
        self.max_features = max_features
        self.title = title

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, row: int = 0, max_features: int = 10, ax: Any = None
    ) -> Self:
        """Explain one row and draw the explanation.

        Parameters
        ----------
        estimator : AutoencoderAnomalyDetector
            A fitted detector.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.
        row : int, default=0
            Which of them, counted from 0.
        max_features : int, default=10
            The oddest features are shown, at most so many.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : AnomalyExplanationDisplay
            The display with its picture.

        Raises
        ------
        ValueError
            If there is no such row.
        """
        n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
        if not 0 <= row < n_rows:
            raise ValueError(f"row must be from 0 to {n_rows - 1}, got {row!r}.")
        chosen = X.iloc[row : row + 1] if hasattr(X, "iloc") else X[row : row + 1]
        return cls(estimator.explain(chosen, details=True), max_features).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        self : AnomalyExplanationDisplay
            The display with its picture.
        """
        ax = draw_on(self, ax)
        shown = self.details.head(self.max_features)
        labels = [
            f"{_shortened(feature)}\n{value:.3g}, expected {expected:.3g}"
            for feature, value, expected in zip(
                shown["feature"], shown["value"], shown["expected"], strict=True
            )
        ]
        places = np.arange(len(shown))
        amounts = -shown["contribution"].to_numpy()
        colours = [ORANGE if amount > 0 else GREY for amount in amounts]
        self.bars_ = ax.barh(places, amounts, color=colours)
        ax.set_yticks(places, labels, fontsize="small")
        ax.invert_yaxis()
        ax.set(xlabel="contribution to the oddness", title=self.title)
        return self


def _shortened(name, most=30):
    name = str(name)
    return name if len(name) <= most else name[: most - 1] + "…"


class ScoreDisplay:
    """The scores of some rows, the threshold below which they are anomalies, and their p-values.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        The scores; higher is more normal.
    p_values : ndarray of shape (n_samples,)
        Their p-values.
    threshold : float
        Rows with lower scores are anomalies.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes with the picture, and their figure.
    line_ : matplotlib Line2D
        The p-values.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import AutoencoderAnomalyDetector
    >>> from skae.plotting import ScoreDisplay
    >>> X = StandardScaler().fit_transform(load_wine().data)
    >>> detector = AutoencoderAnomalyDetector(max_iter=5, random_state=0).fit(X[::2])
    >>> display = ScoreDisplay.from_estimator(detector, X[1::2])
    """

    ax_: Any
    figure_: Any

    def __init__(self, scores: np.ndarray, p_values: np.ndarray, threshold: float):
        self.scores = scores
        self.p_values = p_values
        self.threshold = threshold

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *, ax: Any = None) -> Self:
        """Score rows and draw the scores.

        Parameters
        ----------
        estimator : AutoencoderAnomalyDetector
            A fitted detector.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : ScoreDisplay
            The display with its picture.
        """
        p_values, scores = estimator.p_values(X, return_scores=True)
        return cls(scores, p_values, estimator.offset_).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the histogram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        self : ScoreDisplay
            The display with its picture.
        """
        ax = draw_on(self, ax)
        flagged = self.scores < self.threshold
        edges = np.histogram_bin_edges(self.scores, bins=40)
        groups = [self.scores[~flagged], self.scores[flagged]]
        labels = ["normal", f"anomalies: {flagged.sum()} of {len(flagged)}"]
        ax.hist(groups, edges, stacked=True, color=[BLUE, ORANGE], label=labels)
        ax.axvline(self.threshold, color="black", linestyle="--", label="threshold")
        beside = ax.twinx()
        order = np.argsort(self.scores)
        (self.line_,) = beside.plot(
            self.scores[order], self.p_values[order], color=GREY, label="p-value"
        )
        beside.set(ylabel="p-value", ylim=(0, 1))
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="score, higher is more normal", ylabel="rows", title="Scores")
        handles, texts = ax.get_legend_handles_labels()
        ax.legend([*handles, self.line_], [*texts, "p-value"], loc="upper left")
        return self
