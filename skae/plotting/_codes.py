"""Pictures of codes and of the components that they belong to."""

import math
from typing import Any, Self

import numpy as np

from ._base import (
    BLUE,
    GREY,
    chosen_components,
    draw_on,
    image_shape_of,
    last_step,
    legend_beside,
    panels,
    shortened,
    show_images,
)


class CodeDisplay:
    """The first two components of the codes of some rows.

    Points far from 90 % of the others are drawn at the edge under a cross, because the others could
    not be told apart beside them.

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
    outside_ : ndarray of shape (n_samples,)
        Which points lie further out than they are drawn.

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
        (first, beyond), (second, above) = _drawn(first), _drawn(second)
        self.outside_ = beyond | above
        style = {"s": 9, "alpha": 0.8, "linewidths": 0}
        if y is None:
            self.scatters_ = [ax.scatter(first, second, color=BLUE, **style)]
        elif len(np.unique(y)) <= 10:
            self.scatters_ = [
                ax.scatter(first[y == c], second[y == c], label=str(c), **style)
                for c in np.unique(y)
            ]
            legend_beside(ax, fontsize="small", markerscale=2)
        else:
            self.scatters_ = [ax.scatter(first, second, c=y, cmap="viridis", **style)]
            self.figure_.colorbar(self.scatters_[0], ax=self.ax_, label="target")
        label = "component 2" if self.codes.shape[1] > 1 else "row"
        below = "component 1"
        if self.outside_.any():
            ax.scatter(first[self.outside_], second[self.outside_], c=GREY, marker="x", s=30)
            n_outside = np.count_nonzero(self.outside_)
            points = "point lies" if n_outside == 1 else "points lie"
            below += f"\n(crosses: {n_outside} {points} further out)"
        ax.set(xlabel=below, ylabel=label, title=self.title)
        return self


def _drawn(values):
    """Return where values are drawn, and which of them lie further out."""
    low, high = np.quantile(values, [0.05, 0.95])
    margin = high - low
    if margin == 0:
        return values, np.zeros(len(values), dtype=bool)
    drawn = np.clip(values, low - margin, high + margin)
    return drawn, drawn != values


class LoadingsDisplay:
    """The loadings of the components: how much each feature changes with each of them.

    Parameters
    ----------
    loadings : ndarray of shape (n_shown, n_features)
        The loadings of the components to draw.
    components : list of int
        Their numbers, counted from 0.
    feature_names : sequence of str
        The names of the features, for bars.
    image_shape : (int, int), default=None
        Height and width if the features are the pixels of an image. The loadings are then drawn as
        images.
    max_features : int, default=30
        Bars are drawn of the features with the largest absolute loadings, at most so many.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes with the picture, and their figure.
    axes_ : ndarray of matplotlib Axes
        The axes of the bars, one a component. Empty for images.
    bars_ : list of matplotlib BarContainer
        The bars, one container a component. Empty for images.
    image_ : matplotlib AxesImage or None
        All images, joined to one. None for bars.

    See Also
    --------
    LatentTraversalDisplay : What the components change, not only to first order.

    Notes
    -----
    PCA's reconstruction is linear in the code, and its loadings say all of it. An autoencoder's is
    not: its ``components_`` are means of the derivative over training rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from skae.plotting import LoadingsDisplay
    >>> pca = PCA(2).fit(load_iris(as_frame=True).data)
    >>> display = LoadingsDisplay.from_estimator(pca)
    """

    ax_: Any
    figure_: Any

    def __init__(
        self,
        loadings: np.ndarray,
        components: list[int],
        feature_names: Any,
        image_shape: tuple[int, int] | None = None,
        max_features: int = 30,
    ):
        self.loadings = loadings
        self.components = components
        self.feature_names = feature_names
        self.image_shape = image_shape
        self.max_features = max_features

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        components: Any = None,
        feature_names: Any = None,
        image_shape: tuple[int, int] | None = None,
        max_features: int = 30,
        ax: Any = None,
    ) -> Self:
        """Draw the ``components_`` of a fitted transformer.

        Parameters
        ----------
        estimator : transformer
            A fitted transformer with ``components_``, or a Pipeline that ends in one. The features
            are those that its last step was fitted on.
        components : int or sequence of int, default=None
            The numbers of the components to draw, counted from 0. None stands for all.
        feature_names : sequence of str, default=None
            The names of the features. None stands for those that the transformer was fitted with,
            or else for their numbers.
        image_shape : (int, int), default=None
            Height and width if the features are the pixels of an image.
        max_features : int, default=30
            Bars are drawn of the features with the largest absolute loadings, at most so many.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : LoadingsDisplay
            The display with its picture.

        Raises
        ------
        ValueError
            If there is no such component, or if the number of names or of pixels is not the number
            of features.
        """
        before, transformer = last_step(estimator)
        loadings = transformer.components_
        chosen = chosen_components(components, len(loadings))
        if feature_names is None and hasattr(before, "get_feature_names_out"):
            feature_names = before.get_feature_names_out()
        if feature_names is None:
            numbers = range(loadings.shape[1])
            feature_names = getattr(transformer, "feature_names_in_", [str(i) for i in numbers])
        if len(feature_names) != loadings.shape[1]:
            raise ValueError(
                f"feature_names must have {loadings.shape[1]} names, got {len(feature_names)}."
            )
        if image_shape is not None:
            image_shape = image_shape_of(loadings, image_shape)
        shown = loadings[chosen]
        return cls(shown, chosen, feature_names, image_shape, max_features).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the bars or the images.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure. Bars are drawn in axes of their own in
            the place of these.

        Returns
        -------
        self : LoadingsDisplay
            The display with its picture.
        """
        ax = draw_on(self, ax)
        self.axes_, self.bars_, self.image_ = np.array([], dtype=object), [], None
        if self.image_shape is not None:
            self._plot_images(ax)
            return self
        titles = [f"component {k + 1}" for k in self.components]
        largest = np.abs(self.loadings).max(0)
        # The largest, in the order of the features.
        shown = np.sort(np.argsort(-largest, kind="stable")[: self.max_features])
        self.axes_ = panels(ax, 1, len(titles), sharex=True, sharey=True)
        for axes, loadings, title in zip(self.axes_, self.loadings, titles, strict=True):
            places = np.arange(len(shown))
            self.bars_.append(axes.barh(places, loadings[shown], color=BLUE))
            axes.axvline(0, color="black", lw=0.8)
            axes.set(title=title, xlabel="loading")
        names = [shortened(self.feature_names[i]) for i in shown]
        self.axes_[0].set_yticks(places, names, fontsize="small")
        self.axes_[0].invert_yaxis()
        return self

    def _plot_images(self, ax):
        most, n_shown = np.abs(self.loadings).max(), len(self.components)
        # So many in a row that the picture is about as wide as it is high.
        n_columns = math.ceil(n_shown**0.5)
        n_rows = math.ceil(n_shown / n_columns)
        strips = np.full((n_rows * n_columns, self.loadings.shape[1]), np.nan)
        strips[:n_shown] = self.loadings
        numbers = [str(k + 1) for k in self.components]
        titles = [", ".join(numbers[i : i + n_columns]) for i in range(0, n_shown, n_columns)]
        self.image_ = show_images(
            ax,
            np.split(strips, n_rows),
            self.image_shape,
            titles,
            cmap="RdBu_r",
            vmin=-most,
            vmax=most,
        )
        ax.set_ylabel("components")
        self.figure_.colorbar(self.image_, ax=ax, label="loading")
