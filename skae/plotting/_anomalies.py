"""Pictures of anomaly detectors."""

from numbers import Real
from typing import Any, Self

import numpy as np
from scipy.stats import binom

from ._base import BLUE, COLOURS, GREY, ORANGE, detector_and_rows, draw_on, legend_beside, shortened


class AnomalyExplanationDisplay:
    """Which features make a row an anomaly, with each value beside what was expected.

    Parameters
    ----------
    details : DataFrame
        The lines of one row of ``explain(X, details=True)`` of a detector, also of tables.
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
        estimator : AutoencoderAnomalyDetector or skae.tables.TableAnomalyDetector
            A fitted detector.
        X : DataFrame, array-like or sparse matrix of shape (n_samples, n_features)
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
        names = shown["column" if "column" in shown else "feature"]
        labels = [
            f"{shortened(name)}\n{_as_text(value)}, expected {_as_text(expected)}"
            for name, value, expected in zip(names, shown["value"], shown["expected"], strict=True)
        ]
        places = np.arange(len(shown))
        amounts = -shown["contribution"].to_numpy()
        colours = [ORANGE if amount > 0 else GREY for amount in amounts]
        self.bars_ = ax.barh(places, amounts, color=colours)
        ax.set_yticks(places, labels, fontsize="small")
        ax.invert_yaxis()
        ax.set(xlabel="contribution to the oddness", title=self.title)
        return self


def _as_text(value):
    return f"{value:.3g}" if isinstance(value, Real) else shortened(value)


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
        estimator : AutoencoderAnomalyDetector or Pipeline
            A fitted detector, or a Pipeline that ends in one.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : ScoreDisplay
            The display with its picture.
        """
        estimator, X = detector_and_rows(estimator, X)
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
        handles = [*ax.get_legend_handles_labels()[0], self.line_]
        # beside the label of the p-values' axis
        legend_beside(ax, handles, distance=50)
        return self


class PValueCalibrationDisplay:
    """The fraction of new rows whose p-value is at most alpha, against alpha.

    Of rows like the training rows, a fraction of alpha should be flagged at the level alpha: the
    curve of a calibrated detector follows the diagonal.

    Parameters
    ----------
    p_values : ndarray of shape (n_samples,)
        The p-values of rows that are like the training rows and not among them.
    name : str, default=None
        The name of the detector in the legend.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes with the picture, and their figure.
    line_ : matplotlib Line2D
        The curve: a step at each p-value.
    diagonal_ : matplotlib Line2D or None
        The diagonal. None where another display has drawn it on the same axes.
    band_ : matplotlib PolyCollection or None
        Where 95 % of the fractions at a level are, if p-values are uniform. None as `diagonal_`.

    See Also
    --------
    ScoreDisplay : Scores, threshold and p-values of rows that may be anomalies.
    sklearn.calibration.CalibrationDisplay : Calibration of the probabilities of a classifier.

    Notes
    -----
    The band is that of a binomial distribution, for each alpha by itself. It tells how far the
    fraction among this number of new rows deviates by chance. The chance that is in the draw of
    the training rows comes on top.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import AutoencoderAnomalyDetector
    >>> from skae.plotting import PValueCalibrationDisplay
    >>> X = load_wine().data
    >>> detector = AutoencoderAnomalyDetector(max_iter=5, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), detector).fit(X[::2])
    >>> display = PValueCalibrationDisplay.from_estimator(pipeline, X[1::2])
    """

    ax_: Any
    figure_: Any

    def __init__(self, p_values: np.ndarray, name: str | None = None):
        self.p_values = p_values
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, name: str | None = None, ax: Any = None
    ) -> Self:
        """Draw the curve of a fitted detector.

        Parameters
        ----------
        estimator : AutoencoderAnomalyDetector or Pipeline
            A fitted detector, or a Pipeline that ends in one.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows that are like the training rows, without anomalies, and not among them.
        name : str, default=None
            The name of the detector in the legend. None stands for the name of its class.
        ax : matplotlib Axes, default=None
            The axes to draw on, such as those with the curve of another detector. None makes a new
            figure.

        Returns
        -------
        display : PValueCalibrationDisplay
            The display with its picture.
        """
        detector, X = detector_and_rows(estimator, X)
        name = type(detector).__name__ if name is None else name
        return cls(detector.p_values(X), name).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the curve, and the diagonal where there is none yet.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on, such as those with the curve of another detector. None makes a new
            figure.

        Returns
        -------
        self : PValueCalibrationDisplay
            The display with its picture.
        """
        ax = draw_on(self, ax)
        n = len(self.p_values)
        self.diagonal_ = self.band_ = None
        if not any(line.get_label() == "calibrated" for line in ax.lines):
            alphas = np.linspace(0, 1, 201)
            low, high = (binom.ppf(q, n, alphas) / n for q in (0.025, 0.975))
            self.band_ = ax.fill_between(
                alphas, low, high, color=GREY, alpha=0.2, lw=0, label="95 % of samples"
            )
            (self.diagonal_,) = ax.plot([0, 1], [0, 1], "--", color=GREY, label="calibrated")
        # the diagonal is the first line
        colour = COLOURS[(len(ax.lines) - 1) % len(COLOURS)]
        places = [0, *np.sort(self.p_values), 1]
        fractions = [*np.arange(n + 1) / n, 1]
        (self.line_,) = ax.step(places, fractions, where="post", color=colour, label=self.name)
        ax.set(
            xlabel="alpha",
            ylabel="fraction of rows with p ≤ alpha",
            title="p-values of new rows",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        legend_beside(ax)
        return self
