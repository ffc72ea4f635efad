"""What the displays share."""

# Colours of Okabe and Ito, which colour-blind people can distinguish.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"


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
