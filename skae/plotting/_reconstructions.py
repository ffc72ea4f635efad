"""Pictures of images: reconstructed, and decoded from codes that move."""

from typing import Any, Self

import numpy as np

from ._base import chosen_components, draw_on, image_shape_of, panels, shortened, show_images


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
        X : array-like of shape (n_images, height * width) or (n_images, height, width)
            The images.
        image_shape : (int, int), default=None
            Height and width. None stands for the shape of the rows of a 3-dimensional X, or else
            for square images.
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
        shape = image_shape_of(X, image_shape)
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
        titles, rows = zip(*self.rows.items(), strict=True)
        limits = {"vmin": rows[0].min(), "vmax": rows[0].max()}
        self.image_ = show_images(ax, rows, self.image_shape, titles, cmap="gray_r", **limits)
        ax.set_title("Images and their reconstructions")
        return self


class LatentTraversalDisplay:
    """What each component of the code changes: rows decoded from codes that move along it.

    Parameters
    ----------
    decoded : ndarray of shape (n_components, n_steps, n_features)
        The decoded rows. Along the second axis one component of the code grows, and the others
        stay as they are.
    components : list of int
        The numbers of the components, counted from 0.
    quantiles : (float, float)
        The quantiles of the component's codes at the first and at the last step.
    image_shape : (int, int), default=None
        Height and width if the rows are images. Others are drawn as lines, for which the features
        should be on one scale.
    feature_names : sequence of str, default=None
        The names of the features, for lines.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes with the picture, and their figure.
    image_ : matplotlib AxesImage or None
        All images, joined to one. None for lines.
    axes_ : ndarray of matplotlib Axes
        The axes of the lines, one a component. Empty for images.
    lines_ : list of list of matplotlib Line2D
        The lines, a list a component. Empty for images.

    See Also
    --------
    LoadingsDisplay : What the components change to first order.
    skae.AutoencoderTransformer.interpolate : Rows decoded from codes between those of two rows.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skae.plotting import LatentTraversalDisplay
    >>> X = load_digits().data
    >>> display = LatentTraversalDisplay.from_estimator(PCA(4).fit(X), X, image_shape=(8, 8))
    """

    ax_: Any
    figure_: Any

    def __init__(
        self,
        decoded: np.ndarray,
        components: list[int],
        quantiles: tuple[float, float],
        image_shape: tuple[int, int] | None = None,
        feature_names: Any = None,
    ):
        self.decoded = decoded
        self.components = components
        self.quantiles = quantiles
        self.image_shape = image_shape
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        row: int | None = None,
        components: Any = None,
        n_steps: int = 7,
        quantiles: tuple[float, float] = (0.05, 0.95),
        image_shape: tuple[int, int] | None = None,
        ax: Any = None,
    ) -> Self:
        """Encode X, move along each component, and draw the decoded rows.

        Parameters
        ----------
        estimator : transformer
            A fitted transformer with ``inverse_transform``, such as a Pipeline.
        X : array-like of shape (n_samples, n_features) or (n_samples, height, width)
            Rows whose codes say how far to move, such as the training rows.
        row : int, default=None
            Which of them to start from, counted from 0. None starts from the median of each
            component's codes.
        components : int or sequence of int, default=None
            The numbers of the components to move along, counted from 0. None stands for all.
        n_steps : int, default=7
            The number of equal steps from the one quantile to the other.
        quantiles : (float, float), default=(0.05, 0.95)
            How far to move: the quantiles of the component's codes that are the first and the last.
        image_shape : (int, int), default=None
            Height and width if the rows are images. None stands for the shape of the rows of a
            3-dimensional X; other rows are drawn as lines.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : LatentTraversalDisplay
            The display with its picture.

        Raises
        ------
        ValueError
            If there is no such row or component, if the quantiles are not in [0, 1], or if the
            number of pixels is not the number of features.
        """
        codes = np.asarray(estimator.transform(X))
        chosen = chosen_components(components, codes.shape[1])
        if row is not None and not 0 <= row < len(codes):
            raise ValueError(f"row must be from 0 to {len(codes) - 1}, got {row!r}.")
        start = np.median(codes, axis=0) if row is None else codes[row]
        moved = np.tile(start, (len(chosen), n_steps, 1)).astype(codes.dtype)
        for own, k in zip(moved, chosen, strict=True):
            low, high = np.quantile(codes[:, k], quantiles)
            own[:, k] = np.linspace(low, high, n_steps)
        decoded = np.asarray(estimator.inverse_transform(moved.reshape(-1, codes.shape[1])))
        decoded = decoded.reshape(*moved.shape[:2], -1)
        if image_shape is not None or np.ndim(X) == 3:
            image_shape = image_shape_of(np.asarray(X), image_shape)
        names = [*X.columns] if hasattr(X, "columns") else None
        return cls(decoded, chosen, quantiles, image_shape, names).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the images, or the lines.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure. Lines are drawn in axes of their own in
            the place of these.

        Returns
        -------
        self : LatentTraversalDisplay
            The display with its picture.
        """
        ax = draw_on(self, ax)
        titles = [f"component {k + 1}" for k in self.components]
        ends = [f"quantile {q:g}" for q in self.quantiles]
        self.image_, self.axes_, self.lines_ = None, np.array([], dtype=object), []
        if self.image_shape is not None:
            self.image_ = show_images(ax, self.decoded, self.image_shape, titles, cmap="gray_r")
            width, n_steps = self.image_shape[1] + 2, self.decoded.shape[1]
            ax.set_xticks([width / 2 - 0.5, width * (n_steps - 0.5) - 0.5], ends)
            ax.set_title("Decoded while one component of the code grows")
            return self
        from matplotlib.cm import ScalarMappable

        colours = ScalarMappable(cmap="viridis")
        colours.set_clim(0, 1)
        places = np.arange(self.decoded.shape[2])
        self.axes_ = panels(ax, len(titles), 1, sharex=True, sharey=True)
        for axes, rows, title in zip(self.axes_, self.decoded, titles, strict=True):
            steps = colours.to_rgba(np.linspace(0, 1, len(rows)))
            self.lines_.append(
                [axes.plot(places, x, color=c)[0] for x, c in zip(rows, steps, strict=True)]
            )
            axes.set_ylabel(title, rotation=0, ha="right", va="center")
        if self.feature_names is None:
            self.axes_[-1].set_xlabel("feature")
        else:
            names = [shortened(name, 20) for name in self.feature_names]
            self.axes_[-1].set_xticks(places, names, rotation=90, fontsize="small")
        bar = self.figure_.colorbar(colours, ax=self.axes_)
        bar.set_ticks([0, 1], labels=ends)
        self.axes_[0].set_title("Decoded while one component of the code grows")
        return self
