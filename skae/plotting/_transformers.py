"""Pictures of transformers, and of comparisons of them."""

from typing import Any, Self

import numpy as np

from ._base import BLUE, GREY, ORANGE, draw_on


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

    ax_: Any
    figure_: Any

    def __init__(self, history: list[dict[str, Any]], best_iter: int):
        self.history = history
        self.best_iter = best_iter

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
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

    def plot(self, ax: Any = None) -> Self:
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
        ax = draw_on(self, ax)
        epochs = [row["epoch"] for row in self.history]
        self.lines_ = []
        for key, colour, label in (
            ("train_loss", GREY, "rows trained on"),
            ("valid_loss", ORANGE, "rows held out"),
        ):
            if key in self.history[0]:
                losses = [row[key] for row in self.history]
                self.lines_ += ax.plot(epochs, losses, color=colour, label=label)
        start = self.history[0].get("valid_loss", self.history[0]["train_loss"])
        ax.axhline(start, color=BLUE, linestyle="--", label="the start (PCA)")
        ax.axvline(self.best_iter, color=GREY, linestyle=":", label="epoch kept")
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

    ax_: Any
    figure_: Any

    def __init__(self, codes: np.ndarray, y: Any = None, title: str = "Code"):
        self.codes = codes
        self.y = y
        self.title = title

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, title: str = "Code", ax: Any = None
    ) -> Self:
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

    def plot(self, ax: Any = None) -> Self:
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
        ax = draw_on(self, ax)
        first = self.codes[:, 0]
        second = self.codes[:, 1] if self.codes.shape[1] > 1 else np.arange(len(first))
        y = None if self.y is None else np.asarray(self.y)
        style = {"s": 9, "alpha": 0.8, "linewidths": 0}
        if y is None:
            self.scatters_ = [ax.scatter(first, second, color=BLUE, **style)]
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

    ax_: Any
    figure_: Any

    def __init__(self, rows: dict[str, np.ndarray], image_shape: tuple[int, int]):
        self.rows = rows
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, image_shape: tuple[int, int] | None = None, ax: Any = None
    ) -> Self:
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
        shape = (side, side) if image_shape is None else image_shape
        if np.prod(shape) != X.shape[1]:
            raise ValueError(
                f"image_shape must have {X.shape[1]} pixels, the number of features; got {shape}."
            )
        reconstructed = np.asarray(estimator.inverse_transform(estimator.transform(X)))
        return cls({"original": X, type(estimator).__name__: reconstructed}, shape).plot(ax)

    def plot(self, ax: Any = None) -> Self:
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
        ax = draw_on(self, ax)
        height, width = self.image_shape
        titles, rows = zip(*self.rows.items(), strict=True)
        limits = {"vmin": rows[0].min(), "vmax": rows[0].max()}
        strips = []
        for images in rows:
            images = images.reshape(-1, height, width).astype(float)
            # A border of NaN, which is not drawn, separates the images.
            border = ((0, 0), (1, 1), (1, 1))
            strips.append(np.hstack([*np.pad(images, border, constant_values=np.nan)]))
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

    ax_: Any
    figure_: Any

    def __init__(self, n_components: Any, errors: Any):
        self.n_components = n_components
        self.errors = errors

    def plot(self, ax: Any = None) -> Self:
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
        ax = draw_on(self, ax)
        widths = self.n_components
        self.lines_, self.bands_ = [], []
        for (title, errors), colour in zip(self.errors.items(), (BLUE, ORANGE), strict=False):
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
