"""Draws the picture of the front page, for light and for dark pages, from the handwritten digits.

Run by hand, in the root of the repository: ``python docs/front_picture.py``. The two files that it
writes are committed.
"""

from pathlib import Path

import numpy as np
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.metrics import explained_variance_scorer

FOLDER = Path(__file__).parent / "_static"
# Text and ink, and the colour of what is unusual. The background is transparent.
THEMES = {"light": ("#1f2328", "#C44E00"), "dark": ("#e6edf3", "#FF8A3D")}
N_COMPONENTS, N_IMAGES = 8, 10
# Row and column of the upper left corner of the two by two pixels that are set to full ink.
PATCH = (1, 6)
# Inches at 100 pixels each: 700 wide in a page. The files have twice as many pixels.
WIDTH, HEIGHT = 7.0, 2.75
FONT_SIZE = 12.5


def fitted_content(**options):
    """Fit the models; return what the picture shows.

    The rows of images by their titles, the digit with the patch, and of that digit the
    contributions of its pixels and the p-value.
    """
    train, test = train_test_split(load_digits().data, random_state=0)
    shown = test[:N_IMAGES]
    rows = {"Digits that no model was fitted on": shown}
    for name, model in {
        "PCA": PCA(N_COMPONENTS),
        "skae": AutoencoderTransformer(N_COMPONENTS, random_state=0, **options),
    }.items():
        model.fit(train)
        explained = explained_variance_scorer(model, test)
        kept = f"{100 * explained:.0f} % of the variance"
        title = f"{name}, {N_COMPONENTS} numbers each: {kept}"
        rows[title] = model.inverse_transform(model.transform(shown))
    detector = AutoencoderAnomalyDetector(random_state=0, **options).fit(train)
    row, column = PATCH
    odd = test[:1].copy()
    odd.reshape(8, 8)[row : row + 2, column : column + 2] = 16
    contributions = np.clip(-detector.explain(odd), 0, None)
    return rows, odd, contributions, detector.p_values(odd)[0]


def ink(colour):
    """Return a colour map from nothing to a colour."""
    colours = np.tile(to_rgba(colour), (256, 1))
    colours[:, 3] = np.linspace(0, 1, 256)
    return ListedColormap(colours)


def show(figure, image, place, colour, frame, largest):
    """Draw an image at (left, bottom, side), in inches."""
    left, bottom, side = place
    axes = figure.add_axes((left / WIDTH, bottom / HEIGHT, side / WIDTH, side / HEIGHT))
    axes.imshow(np.reshape(image, (8, 8)), cmap=ink(colour), vmin=0, vmax=largest)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=frame, alpha=0.25, linewidth=0.6)
    return axes


def draw(content, theme):
    """Return the figure for a theme."""
    rows, odd, contributions, p_value = content
    text, unusual = THEMES[theme]
    figure = Figure(figsize=(WIDTH, HEIGHT))

    def write(x, y, words):
        figure.text(x / WIDTH, y / HEIGHT, words, color=text, fontsize=FONT_SIZE, va="bottom")

    side, gap = 0.42, 0.03
    for place, (title, images) in enumerate(rows.items()):
        bottom = 0.06 + (2 - place) * 1.005
        write(0.02, bottom + side + 0.05, title)
        for i, image in enumerate(images):
            show(figure, image, (0.02 + i * (side + gap), bottom, side), text, text, 16)
    left, side = 4.9, 1.06
    panels = (
        ("A digit with a flaw", odd, text, 16),
        (f"Found, p = {p_value:.3f}", contributions, unusual, contributions.max()),
    )
    for place, (title, image, colour, largest) in enumerate(panels):
        bottom = 0.06 + (1 - place) * 1.37
        write(left, bottom + side + 0.05, title)
        axes = show(figure, image, (left, bottom, side), colour, text, largest)
        row, column = PATCH
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, 2, 2, fill=False, edgecolor=unusual, linewidth=1.5))
    return figure


def main(folder=FOLDER):
    """Write both pictures."""
    folder.mkdir(exist_ok=True)
    content = fitted_content()
    for theme in THEMES:
        path = folder / f"front-{theme}.png"
        draw(content, theme).savefig(path, dpi=200, transparent=True)


if __name__ == "__main__":
    main()
