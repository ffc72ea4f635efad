"""The result of a comparison, with its tables and pictures."""

import csv
from pathlib import Path

import numpy as np

from ..plotting import (
    CodeDisplay,
    ComponentErrorDisplay,
    ReconstructionDisplay,
    TrainingHistoryDisplay,
)

# The number of images that a picture of reconstructions shows.
_N_IMAGES = 12


class ComparisonResult:
    """The result of a comparison, with methods for tables and pictures.

    `skae.compare.compare_with_pca` returns it.

    Parameters
    ----------
    results : dict of str to ndarray
        The columns of a table with a row for each model, width and fold.
    models : dict
        A tuple for each ``(model, n_components)``: the Pipeline that was fitted in the first fold,
        and the indices of the rows that were held out in that fold.
    X : ndarray of shape (n_samples, n_features)
        The data.
    y : ndarray of shape (n_samples,) or None
        The target.
    scale : bool
        Whether the features were standardised.

    Attributes
    ----------
    results : dict of str to ndarray
        The columns ``model``, ``n_components``, ``fold``, ``error`` (the mean squared error of a
        held-out entry), ``ratio_to_pca``, ``explained_variance``, ``fit_seconds``, and
        ``downstream_score`` if there is a target. ``pandas.DataFrame(results)`` makes a data frame.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae.compare import compare_with_pca
    >>> result = compare_with_pca(load_iris().data, n_components=1, cv=2, random_state=0)
    >>> print(result.headline())  # doctest: +ELLIPSIS
    On rows left out the autoencoder's error is ...
    """

    def __init__(self, results, models, X, y, scale):
        self.results = results
        self.models = models
        self.X = X
        self.y = y
        self.scale = scale

    def means(self):
        """Return the means over the folds.

        Returns
        -------
        rows : list of dict
            One dict for each width and model, PCA before the autoencoder. It has the keys of
            `results` except ``fold``.
        """
        rows = []
        names = [n for n in self.results if n not in ("model", "n_components", "fold")]
        for k in np.unique(self.results["n_components"]):
            for model in ("PCA", "autoencoder"):
                rows_of_model = (self.results["n_components"] == k) & (
                    self.results["model"] == model
                )
                row = {"model": model, "n_components": int(k)}
                rows.append(row | {n: float(self.results[n][rows_of_model].mean()) for n in names})
        # This is the ratio of the mean errors. In the mean of the ratios, a fold in which PCA's
        # error is tiny would outweigh all others.
        for pca, autoencoder in zip(rows[::2], rows[1::2], strict=True):
            for row in (pca, autoencoder):
                row["ratio_to_pca"] = row["error"] / pca["error"] if pca["error"] else np.nan
        return rows

    def headline(self):
        """Return the main result in a sentence.

        Returns
        -------
        text : str
            A sentence with the ratio of the mean errors for each width.
        """
        ratios = [
            f"{row['ratio_to_pca']:.2f} x PCA's with {row['n_components']} "
            f"component{'s' if row['n_components'] > 1 else ''}"
            for row in self.means()
            if row["model"] == "autoencoder"
        ]
        joined = ", ".join(ratios[:-1]) + " and " + ratios[-1] if len(ratios) > 1 else ratios[0]
        return f"On rows left out the autoencoder's error is {joined}."

    def summary(self):
        """Return the means over the folds as a table.

        Returns
        -------
        text : str
            A table with a line for each width and model.
        """
        rows = self.means()
        titles = {
            "n_components": "components",
            "model": "model",
            "error": "held-out error",
            "ratio_to_pca": "ratio to PCA",
            "explained_variance": "explained variance",
            "fit_seconds": "fit seconds",
            "downstream_score": "downstream score",
        }
        shown = [name for name in titles if name in rows[0]]
        lines = [[titles[name] for name in shown]]
        lines += [[_format(row[name]) for name in shown] for row in rows]
        width = [max(len(line[i]) for line in lines) for i in range(len(shown))]
        return "\n".join(
            "  ".join(cell.rjust(w) for cell, w in zip(line, width, strict=True)) for line in lines
        )

    def to_csv(self, path):
        """Write the results of every fold to a CSV file.

        Parameters
        ----------
        path : str or Path
            The file to write.
        """
        with Path(path).open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.results)
            columns = [column.tolist() for column in self.results.values()]
            writer.writerows(zip(*columns, strict=True))

    def plot(self, ax=None):
        """Draw the held-out error against the number of components.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : ComponentErrorDisplay
            The display with its picture.
        """
        widths = np.unique(self.results["n_components"])
        errors = {}
        for model in ("PCA", "autoencoder"):
            of_model = self.results["model"] == model
            by_width = [of_model & (self.results["n_components"] == k) for k in widths]
            errors[model] = np.array([self.results["error"][rows] for rows in by_width])
        return ComponentErrorDisplay(widths, errors).plot(ax)

    def plot_codes(self, axes):
        """Draw the first two components of both models' codes of held-out rows.

        The rows are those that were held out in the first fold. Of the compared widths, the one
        nearest to 2 is drawn.

        Parameters
        ----------
        axes : pair of matplotlib Axes
            The axes for PCA and for the autoencoder.

        Returns
        -------
        displays : list of CodeDisplay
            The displays with their pictures.
        """
        k = self._width_near(2)
        displays = []
        for ax, name in zip(axes, ("PCA", "autoencoder"), strict=True):
            model, test = self.models[name, k]
            y = None if self.y is None else self.y[test]
            title = f"{name}, {k} component{'s' if k > 1 else ''}"
            display = CodeDisplay.from_estimator(model, self.X[test], y, title=title, ax=ax)
            displays.append(display)
        return displays

    def plot_reconstructions(self, image_shape, ax=None):
        """Draw held-out images above the reconstructions of both models with the median width.

        Parameters
        ----------
        image_shape : (int, int)
            Height and width.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : ReconstructionDisplay
            The display with its picture.
        """
        widths = np.unique(self.results["n_components"])
        k = int(widths[len(widths) // 2])
        images = self.X[self.models["PCA", k][1][:_N_IMAGES]]
        rows = {"original": images}
        for name in ("PCA", "autoencoder"):
            model = self.models[name, k][0]
            rows[f"{name}, {k}"] = model.inverse_transform(model.transform(images))
        return ReconstructionDisplay(rows, image_shape).plot(ax)

    def plot_history(self, ax=None):
        """Draw the training history of the autoencoder whose width is nearest to 2.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : TrainingHistoryDisplay
            The display with its picture.
        """
        k = self._width_near(2)
        model, _ = self.models["autoencoder", k]
        display = TrainingHistoryDisplay.from_estimator(model[-1], ax=ax)
        display.ax_.set_title(f"Training history, {k} component{'s' if k > 1 else ''}")
        return display

    def to_html(self, path, *, title="PCA and the autoencoder", image_shape=None):
        """Write a report: a single HTML file that contains its pictures.

        Parameters
        ----------
        path : str or Path
            The file to write.
        title : str, default="PCA and the autoencoder"
            Title of the page.
        image_shape : (int, int), default=None
            Height and width if the rows are images. They are then drawn, too.
        """
        from ._report import write_report

        write_report(self, Path(path), title, image_shape)

    def _width_near(self, wanted):
        widths = np.unique(self.results["n_components"])
        return int(widths[np.abs(widths - wanted).argmin()])


def _format(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
