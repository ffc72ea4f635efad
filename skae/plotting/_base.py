"""What the displays share: colours, axes, legends, images side by side."""

import numpy as np

# Colours of Okabe and Ito, which colour-blind people can distinguish.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"
# For several models in one picture, in this order.
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def draw_on(display, ax):
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


def panels(ax, n_rows, n_columns, **shared):
    """Return axes in rows or columns that take the place of the axes ax, which are hidden."""
    ax.set_axis_off()
    grid = ax.get_subplotspec().subgridspec(n_rows, n_columns)
    return grid.subplots(squeeze=False, **shared).ravel()


def legend_beside(ax, handles=None, *, distance=8, **options):
    """Draw a legend on the right of the axes, so many points from it, where it covers no point."""
    from matplotlib.transforms import offset_copy

    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    # A title above the axes and labels below them keep their places.
    ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        bbox_transform=offset_copy(ax.transAxes, ax.figure, x=distance, units="points"),
        borderaxespad=0,
        frameon=False,
        **options,
    )


def image_shape_of(X, image_shape):
    """Return the height and width of the images that are the rows of X.

    None stands for the shape that the rows have, or else for square images.
    """
    if image_shape is None and X.ndim == 3:
        image_shape = X.shape[1:]
    n_pixels = int(np.prod(X.shape[1:]))
    side = round(n_pixels**0.5)
    shape = (side, side) if image_shape is None else tuple(image_shape)
    if np.prod(shape) != n_pixels:
        raise ValueError(
            f"image_shape must have {n_pixels} pixels, the number of features; got {shape}."
        )
    return shape


def show_images(ax, strips, image_shape, titles, **options):
    """Draw rows of images, each with a title on its left, as one image; return the AxesImage.

    Each strip is an array of shape (n_images, height * width).
    """
    height, width = image_shape
    joined = []
    for images in strips:
        images = np.reshape(images, (-1, height, width)).astype(float)
        # A border of NaN, which is not drawn, separates the images.
        border = ((0, 0), (1, 1), (1, 1))
        joined.append(np.hstack([*np.pad(images, border, constant_values=np.nan)]))
    image = ax.imshow(np.vstack(joined), **options)
    middles = (np.arange(len(joined)) + 0.5) * (height + 2) - 0.5
    ax.set_yticks(middles, titles)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return image


def chosen_components(components, n_components):
    """Return the numbers of the components to draw; None stands for all."""
    chosen = range(n_components) if components is None else components
    chosen = [int(k) for k in np.atleast_1d(chosen)]
    for k in chosen:
        if not 0 <= k < n_components:
            raise ValueError(f"components must be from 0 to {n_components - 1}, got {k}.")
    return chosen


def last_step(estimator):
    """Return the steps of a Pipeline before its last one, or None, and the last one."""
    if hasattr(estimator, "steps"):
        return (estimator[:-1] if len(estimator) > 1 else None), estimator[-1]
    return None, estimator


def detector_and_rows(estimator, X):
    """Return a detector, which may be the last step of a Pipeline, and the rows that it gets."""
    before, detector = last_step(estimator)
    return detector, X if before is None else before.transform(X)


def shortened(name, most=30):
    """Return the name of a feature as text of at most so many characters."""
    name = str(name)
    return name if len(name) <= most else name[: most - 1] + "…"
