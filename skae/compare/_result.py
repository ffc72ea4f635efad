"""The result of a comparison, with its tables and pictures."""

import csv
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..plotting import (
    CodeDisplay,
    ComponentErrorDisplay,
    ReconstructionDisplay,
    TrainingHistoryDisplay,
)
from ._report import COLUMNS, write_report

# The number of images that a picture of reconstructions shows.
_N_IMAGES = 12
_MODELS = ("PCA", "autoencoder")


class ComparisonResult:
    """The result of a comparison, with methods for tables and pictures.

    `skae.compare.compare_with_pca` returns it.

    Parameters
    ----------
    results : dict of str to ndarray
        The columns of a table with a row for each model, width and fold: ``model``,
        ``n_components``, ``fold``, ``error`` (the mean squared error of a held-out entry),
        ``ratio_to_pca``, ``explained_variance``, ``fit_seconds``, and ``downstream_score`` if there
        is a target. ``pandas.DataFrame(results)`` makes a data frame.
    models : dict
        A tuple for each ``(model, n_components)``: the Pipeline that was fitted in the first fold,
        and the indices of the rows that were held out in that fold.
    X : ndarray of shape (n_samples, n_features)
        The data.
    y : ndarray of shape (n_samples,) or None
        The target.
    scale : bool
        Whether the features were standardized.
    columns : list of DataFrame or None, default=None
        For each fit to a table of any columns what `skae.tables.TableEncoder.column_errors` returns
        of the held-out rows, with ``model``, ``n_components`` and ``fold``.
    random_state : int or None, default=None
        The seed of the comparison.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae.compare import compare_with_pca
    >>> result = compare_with_pca(load_iris().data, n_components=1, cv=2, random_state=0)
    >>> print(result.headline())  # doctest: +ELLIPSIS
    On rows left out the autoencoder's error is ...
    """

    def __init__(
        self,
        results: Any,
        models: Any,
        X: Any,
        y: Any,
        scale: bool,
        columns: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.results = results
        self.models = models
        self.X = X
        self.y = y
        self.scale = scale
        self.columns = columns
        self.random_state = random_state

    def column_errors(self) -> Any:
        """Return the means over the folds of the columns' errors.

        Returns
        -------
        errors : DataFrame or None
            A line for each width and column: its ``kind``, and for ``PCA`` and ``autoencoder`` the
            fraction of wrong values of categories, and of numbers and dates the mean squared error
            in standardized units. None where the data are an array of numbers.
        """
        if self.columns is None:
            return None
        import pandas

        every = pandas.concat(self.columns).rename_axis("column").reset_index()
        every["error"] = every["wrong"].fillna(every["loss"])
        keys = ["n_components", "column", "kind"]
        means = every.pivot_table("error", keys, "model", sort=False).reset_index()
        return means.rename_axis(columns=None)[[*keys, *_MODELS]]

    def means(self) -> list[dict[str, Any]]:
        """Return the means over the folds.

        Returns
        -------
        rows : list of dict
            For each width and model, PCA first, the columns of `results` except ``fold``.
        """
        rows: list[dict[str, Any]] = []
        names = [n for n in self.results if n not in ("model", "n_components", "fold")]
        for k in self._widths():
            for model in _MODELS:
                means = {name: float(self._of(model, k, name).mean()) for name in names}
                rows.append({"model": model, "n_components": int(k)} | means)
        # This is the ratio of the mean errors. In the mean of the ratios, a fold in which PCA's
        # error is tiny would outweigh all others.
        for pca, autoencoder in zip(rows[::2], rows[1::2], strict=True):
            for row in (pca, autoencoder):
                row["ratio_to_pca"] = row["error"] / pca["error"] if pca["error"] else np.nan
        return rows

    def headline(self) -> str:
        """Return the main result in a sentence.

        Returns
        -------
        text : str
            A sentence with the ratio of the mean errors for each width.
        """
        ratios = [
            f"{row['ratio_to_pca']:.2f} x PCA's with {_components(row['n_components'])}"
            for row in self.means()
            if row["model"] == "autoencoder"
        ]
        joined = ", ".join(ratios[:-1]) + " and " + ratios[-1] if len(ratios) > 1 else ratios[0]
        return f"On rows left out the autoencoder's error is {joined}."

    def summary(self) -> str:
        """Return the means over the folds as a table.

        Returns
        -------
        text : str
            A table with a line for each width and model.
        """
        rows = self.means()
        shown = [name for name in COLUMNS if name in rows[0]]
        lines = [[COLUMNS[name][0] for name in shown]]
        lines += [[_format(row[name]) for name in shown] for row in rows]
        width = [max(len(line[i]) for line in lines) for i in range(len(shown))]
        return "\n".join(
            "  ".join(cell.rjust(w) for cell, w in zip(line, width, strict=True)) for line in lines
        )

    def to_csv(self, path: str | PathLike[str]) -> None:
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

    def plot(self, ax: Any = None) -> Any:
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
        widths = self._widths()
        errors = {
            model: np.array([self._of(model, k, "error") for k in widths]) for model in _MODELS
        }
        return ComponentErrorDisplay(widths, errors).plot(ax)

    def plot_codes(self, axes: Any) -> Any:
        """Draw the first two components of both models' codes of held-out rows.

        The rows are those of the first fold, and the width is the one nearest to 2.

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
        for ax, name in zip(axes, _MODELS, strict=True):
            model, test = self.models[name, k]
            y = None if self.y is None else self.y[test]
            title = f"{name}, {_components(k)}"
            rows = rows_of(self.X, test)
            display = CodeDisplay.from_estimator(model, rows, y, title=title, ax=ax)
            displays.append(display)
        return displays

    def plot_reconstructions(self, image_shape: tuple[int, int], ax: Any = None) -> Any:
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
        widths = self._widths()
        k = int(widths[len(widths) // 2])
        images = self.X[self.models["PCA", k][1][:_N_IMAGES]]
        rows = {"original": images}
        for name in _MODELS:
            model = self.models[name, k][0]
            rows[f"{name}, {k}"] = np.asarray(model.inverse_transform(model.transform(images)))
        return ReconstructionDisplay(rows, image_shape).plot(ax)

    def plot_history(self, ax: Any = None) -> Any:
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
        display.ax_.set_title(f"Training history, {_components(k)}")
        return display

    def to_html(
        self,
        path: str | PathLike[str],
        *,
        title: str = "PCA and the autoencoder",
        image_shape: tuple[int, int] | None = None,
        command: str | None = None,
    ) -> None:
        """Write a report: a single HTML file that contains its pictures.

        Parameters
        ----------
        path : str or Path
            The file to write.
        title : str, default="PCA and the autoencoder"
            Title of the page.
        image_shape : (int, int), default=None
            Height and width if the rows are images. They are then drawn, too.
        command : str, default=None
            A command that does the comparison again, to be shown beside the code in Python.
        """
        write_report(self, Path(path), title, image_shape, command)

    def _widths(self):
        return np.unique(self.results["n_components"])

    def _width_near(self, wanted):
        widths = self._widths()
        return int(widths[np.abs(widths - wanted).argmin()])

    def _of(self, model, k, name):
        """Return a column of the results of one model with one width."""
        rows = (self.results["model"] == model) & (self.results["n_components"] == k)
        return self.results[name][rows]


def rows_of(X, part):
    """Return some rows of an array or of a DataFrame."""
    return X.iloc[part] if hasattr(X, "iloc") else X[part]


def _components(k):
    return f"{k} component{'s' if k > 1 else ''}"


def _format(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
