"""Display classes: each draws one picture of a fitted estimator or of a comparison."""

import numpy as np

__all__ = [
    "AnomalyExplanationDisplay",
    "CodeDisplay",
    "ComponentErrorDisplay",
    "ReconstructionDisplay",
    "ScoreDisplay",
    "TrainingHistoryDisplay",
]

# Colours of Okabe and Ito, which colour-blind people can distinguish.
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#666666"


def _draw_on(display, ax):
    """Give a display the axes to draw on, those of a new figure where ax is None."""
    if ax is None:
        try:
            from matplotlib import pyplot
        except ImportError:
            raise ImportError(
                "Plots need matplotlib: install it with pip install 'skae[plot]'."
            ) from None
        ax = pyplot.subplots(layout="constrained")[1]
    display.ax_, display.figure_ = ax, ax.figure
    return ax


class TrainingHistoryDisplay:
    """The losses of the epochs, and the loss before the training as a line.

    Parameters
    ----------
    history : list of dict
        The ``history_`` of a fitted estimator.
    best_iter : int
        Its ``best_iter_``.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes with the picture, and their figure.
    lines_ : list of matplotlib Line2D
        The lines of the losses.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoencoderTransformer
    >>> from skae.plotting import TrainingHistoryDisplay
    >>> autoencoder = AutoencoderTransformer(1, max_iter=5, random_state=0).fit(load_iris().data)
    >>> display = TrainingHistoryDisplay.from_estimator(autoencoder)
    """

    def __init__(self, history, best_iter):
        self.history = history
        self.best_iter = best_iter

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : AutoencoderTransformer
            A fitted autoencoder.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : TrainingHistoryDisplay
            The display with its picture.
        """
        return cls(estimator.history_, estimator.best_iter_).plot(ax)

    def plot(self, ax=None):
        """Draw the losses.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        self : TrainingHistoryDisplay
            The display with its picture.
        """
        ax = _draw_on(self, ax)
        epochs = [row["epoch"] for row in self.history]
        self.lines_ = []
        for key, colour, label in (
            ("train_loss", _GREY, "rows trained on"),
            ("valid_loss", _ORANGE, "rows held out"),
        ):
            if key in self.history[0]:
                losses = [row[key] for row in self.history]
                self.lines_ += ax.plot(epochs, losses, color=colour, label=label)
        start = self.history[0].get("valid_loss", self.history[0]["train_loss"])
        ax.axhline(start, color=_BLUE, linestyle="--", label="the start (PCA)")
        ax.axvline(self.best_iter, color=_GREY, linestyle=":", label="epoch kept")
        ax.set(xlabel="epoch", ylabel="loss", title="Training history", yscale="log")
        ax.legend(frameon=False)
        return self


class CodeDisplay:
    """The first two components of the codes of some rows.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_components)
        The codes. If there is only one component, it is drawn against the row number.
    y : array-like of shape (n_samples,), default=None
        Classes or numbers that determine the colours of the points.
    title : str, default="Code"
        Title of the picture.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes with the picture, and their figure.
    scatters_ : list of matplotlib PathCollection
        The points, one collection for each class.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from skae.plotting import CodeDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> display = CodeDisplay.from_estimator(PCA(2).fit(X), X, y)
    """

    def __init__(self, codes, y=None, title="Code"):
        self.codes = codes
        self.y = y
        self.title = title

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, title="Code", ax=None):
        """Draw the codes that a fitted transformer gives to X.

        Parameters
        ----------
        estimator : transformer
            A fitted transformer.
        X : array-like of shape (n_samples, n_features)
            Rows to encode.
        y : array-like of shape (n_samples,), default=None
            Classes or numbers that determine the colours of the points.
        title : str, default="Code"
            Title of the picture.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : CodeDisplay
            The display with its picture.
        """
        return cls(np.asarray(estimator.transform(X)), y, title).plot(ax)

    def plot(self, ax=None):
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        self : CodeDisplay
            The display with its picture.
        """
        ax = _draw_on(self, ax)
        first = self.codes[:, 0]
        second = self.codes[:, 1] if self.codes.shape[1] > 1 else np.arange(len(first))
        y = None if self.y is None else np.asarray(self.y)
        style = {"s": 9, "alpha": 0.8, "linewidths": 0}
        if y is None:
            self.scatters_ = [ax.scatter(first, second, color=_BLUE, **style)]
        elif len(np.unique(y)) <= 10:
            self.scatters_ = [
                ax.scatter(first[y == c], second[y == c], label=str(c), **style)
                for c in np.unique(y)
            ]
            ax.legend(frameon=False, fontsize="small", markerscale=2, ncols=2)
        else:
            self.scatters_ = [ax.scatter(first, second, c=y, cmap="viridis", **style)]
            self.figure_.colorbar(self.scatters_[0], ax=self.ax_, label="target")
        label = "component 2" if self.codes.shape[1] > 1 else "row"
        ax.set(xlabel="component 1", ylabel=label, title=self.title)
        return self


class ReconstructionDisplay:
    """A row of images above the row of their reconstructions.

    Parameters
    ----------
    rows : dict of str to ndarray of shape (n_images, height * width)
        The images of each row of the picture, by the title of the row. The first row has the
        original images.
    image_shape : (int, int)
        Height and width.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes with the picture, and their figure.
    image_ : matplotlib AxesImage
        All images, joined to one.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skae.plotting import ReconstructionDisplay
    >>> X = load_digits().data
    >>> display = ReconstructionDisplay.from_estimator(PCA(8).fit(X), X[:10])
    """

    def __init__(self, rows, image_shape):
        self.rows = rows
        self.image_shape = image_shape

    @classmethod
    def from_estimator(cls, estimator, X, *, image_shape=None, ax=None):
        """Draw images and their reconstructions by a fitted transformer.

        Parameters
        ----------
        estimator : transformer
            A fitted transformer with ``inverse_transform``.
        X : array-like of shape (n_images, height * width)
            The images.
        image_shape : (int, int), default=None
            Height and width. None stands for square images.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : ReconstructionDisplay
            The display with its picture.

        Raises
        ------
        ValueError
            If the number of features is not the number of pixels of an image of this shape.
        """
        X = np.asarray(X)
        side = round(X.shape[1] ** 0.5)
        shape = (side, side) if image_shape is None else tuple(image_shape)
        if np.prod(shape) != X.shape[1]:
            raise ValueError(
                f"image_shape must have {X.shape[1]} pixels, the number of features; got {shape}."
            )
        reconstructed = np.asarray(estimator.inverse_transform(estimator.transform(X)))
        return cls({"original": X, type(estimator).__name__: reconstructed}, shape).plot(ax)

    def plot(self, ax=None):
        """Draw the images, one row for each title.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        self : ReconstructionDisplay
            The display with its picture.
        """
        ax = _draw_on(self, ax)
        height, width = self.image_shape
        titles, rows = zip(*self.rows.items(), strict=True)
        limits = {"vmin": rows[0].min(), "vmax": rows[0].max()}
        strips = []
        for images in rows:
            images = images.reshape(-1, height, width).astype(float)
            # A border of NaN, which is not drawn, separates the images.
            border = ((0, 0), (1, 1), (1, 1))
            strips.append(np.hstack(np.pad(images, border, constant_values=np.nan)))
        self.image_ = ax.imshow(np.vstack(strips), cmap="gray_r", **limits)
        middles = (np.arange(len(strips)) + 0.5) * (height + 2) - 0.5
        ax.set_yticks(middles, titles)
        ax.set_xticks([])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_title("Held-out images and their reconstructions")
        return self


class ComponentErrorDisplay:
    """The held-out error against the number of components.

    Parameters
    ----------
    n_components : array-like of shape (n_widths,)
        The widths of the code.
    errors : dict of str to ndarray of shape (n_widths, n_folds)
        The held-out errors of each model, by its name.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes with the picture, and their figure.
    lines_ : list of matplotlib Line2D
        The lines of the mean errors.
    bands_ : list of matplotlib PolyCollection
        The bands from the smallest to the largest error of the folds.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.plotting import ComponentErrorDisplay
    >>> errors = {"PCA": np.array([[4.0, 5.0], [1.0, 2.0]])}
    >>> display = ComponentErrorDisplay([1, 2], errors).plot()
    """

    def __init__(self, n_components, errors):
        self.n_components = n_components
        self.errors = errors

    def plot(self, ax=None):
        """Draw the mean errors and their spread over the folds.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        self : ComponentErrorDisplay
            The display with its picture.
        """
        ax = _draw_on(self, ax)
        widths = self.n_components
        self.lines_, self.bands_ = [], []
        for (title, errors), colour in zip(self.errors.items(), (_BLUE, _ORANGE), strict=False):
            mean = errors.mean(1)
            low, high = errors.min(1), errors.max(1)
            self.lines_ += ax.plot(widths, mean, color=colour, marker="o", label=title)
            self.bands_.append(ax.fill_between(widths, low, high, color=colour, alpha=0.2, lw=0))
        ax.set(
            xlabel="number of components",
            ylabel="mean squared error of a held-out entry",
            title="Held-out error (line: mean; band: all folds)",
            xticks=list(widths),
            yscale="log",
        )
        ax.legend(frameon=False)
        return self


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

    def __init__(self, details, max_features=10, title="Why this row is odd"):
        self.details = details
        self.max_features = max_features
        self.title = title

    @classmethod
    def from_estimator(cls, estimator, X, *, row=0, max_features=10, ax=None):
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

    def plot(self, ax=None):
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
        ax = _draw_on(self, ax)
        shown = self.details.head(self.max_features)
        labels = [
            f"{_shortened(feature)}\n{value:.3g}, expected {expected:.3g}"
            for feature, value, expected in zip(
                shown["feature"], shown["value"], shown["expected"], strict=True
            )
        ]
        places = np.arange(len(shown))
        amounts = -shown["contribution"].to_numpy()
        colours = [_ORANGE if amount > 0 else _GREY for amount in amounts]
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

    def __init__(self, scores, p_values, threshold):
        self.scores = scores
        self.p_values = p_values
        self.threshold = threshold

    @classmethod
    def from_estimator(cls, estimator, X, *, ax=None):
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
        scores, p_values = estimator.score_samples(X), estimator.p_values(X)
        return cls(scores, p_values, estimator.offset_).plot(ax)

    def plot(self, ax=None):
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
        ax = _draw_on(self, ax)
        flagged = self.scores < self.threshold
        edges = np.histogram_bin_edges(self.scores, bins=40)
        groups = [self.scores[~flagged], self.scores[flagged]]
        labels = ["normal", f"anomalies: {flagged.sum()} of {len(flagged)}"]
        ax.hist(groups, edges, stacked=True, color=[_BLUE, _ORANGE], label=labels)
        ax.axvline(self.threshold, color="black", linestyle="--", label="threshold")
        beside = ax.twinx()
        order = np.argsort(self.scores)
        (self.line_,) = beside.plot(
            self.scores[order], self.p_values[order], color=_GREY, label="p-value"
        )
        beside.set(ylabel="p-value", ylim=(0, 1))
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="score, higher is more normal", ylabel="rows", title="Scores")
        handles, texts = ax.get_legend_handles_labels()
        ax.legend([*handles, self.line_], [*texts, "p-value"], loc="upper left")
        return self
