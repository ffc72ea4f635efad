"""Pictures of errors: over the epochs, and over the number of components."""

from itertools import cycle
from typing import Any, Self

import numpy as np
from sklearn.model_selection import validation_curve

from ..metrics import reconstruction_error
from ._base import BLUE, COLOURS, GREY, ORANGE, draw_on, last_step, legend_beside


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
        estimator : AutoencoderTransformer or Pipeline
            A fitted autoencoder, or a Pipeline that ends in one.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : TrainingHistoryDisplay
            The display with its picture.
        """
        _, autoencoder = last_step(estimator)
        return cls(autoencoder.history_, autoencoder.best_iter_).plot(ax)

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
        ax.axhline(start, color=BLUE, linestyle="--", label="before training")
        ax.axvline(self.best_iter, color=GREY, linestyle=":", label="epoch kept")
        ax.set(xlabel="epoch", ylabel="loss", title="Training history", yscale="log")
        legend_beside(ax)
        return self


# What a band may show, and how the title says it.
_SPREADS = {"range": "all folds", "standard_error": "standard error"}


class ComponentErrorDisplay:
    """The held-out error against the number of components.

    Parameters
    ----------
    n_components : array-like of shape (n_widths,)
        The numbers of components.
    errors : dict of str to ndarray of shape (n_widths, n_folds)
        The held-out errors of each model, by its name.
    ylabel : str, default="mean squared error of a held-out entry"
        What the errors are.
    yscale : {"log", "linear"}, default="log"
        The scale of the axis of the errors.
    spread : {"range", "standard_error"}, default="range"
        What the band about a mean shows: all folds, from the smallest error to the largest, or the
        standard error of the mean on both sides of it, which is the standard deviation over the
        folds divided by the root of their number.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        The axes with the picture, and their figure.
    lines_ : list of matplotlib Line2D
        The lines of the mean errors.
    bands_ : list of matplotlib PolyCollection
        The bands about the means.

    See Also
    --------
    skae.compare.compare_with_pca : Measures more than the error of PCA and of the autoencoder.
    sklearn.model_selection.ValidationCurveDisplay : The score against any parameter.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from skae import AutoencoderTransformer
    >>> from skae.plotting import ComponentErrorDisplay
    >>> models = {"PCA": PCA(), "autoencoder": AutoencoderTransformer(max_iter=5, random_state=0)}
    >>> display = ComponentErrorDisplay.from_estimator(
    ...     models, load_iris().data, n_components=[1, 2], cv=3
    ... )
    """

    ax_: Any
    figure_: Any

    def __init__(
        self,
        n_components: Any,
        errors: Any,
        ylabel: str = "mean squared error of a held-out entry",
        yscale: str = "log",
        spread: str = "range",
    ):
        self.n_components = n_components
        self.errors = errors
        self.ylabel = ylabel
        self.yscale = yscale
        self.spread = spread

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_components: Any,
        cv: Any = None,
        n_jobs: int | None = None,
        spread: str = "range",
        ax: Any = None,
    ) -> Self:
        """Fit transformers with each number of components on folds, and draw their errors.

        Parameters
        ----------
        estimator : transformer or dict of str to transformer
            A transformer with ``n_components`` and ``inverse_transform``, or a Pipeline that ends
            in one; or several of them by their names. Clones are fitted.
        X : array-like of shape (n_samples, n_features)
            Rows of numbers.
        n_components : array-like of int
            The numbers of components.
        cv : int, cross-validator or iterable, default=None
            As in :func:`sklearn.model_selection.cross_validate`. None stands for five folds.
        n_jobs : int, default=None
            The number of processes that fit.
        spread : {"range", "standard_error"}, default="range"
            What the band about a mean shows.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : ComponentErrorDisplay
            The display with its picture.
        """
        if not isinstance(estimator, dict):
            estimator = {type(last_step(estimator)[1]).__name__: estimator}
        errors = {}
        for name, model in estimator.items():
            step = f"{model.steps[-1][0]}__" if hasattr(model, "steps") else ""
            _, scores = validation_curve(
                model,
                X,
                None,
                param_name=f"{step}n_components",
                param_range=n_components,
                cv=cv,
                scoring=_negative_error,
                n_jobs=n_jobs,
                error_score="raise",
            )
            errors[name] = -scores
        return cls(n_components, errors, spread=spread).plot(ax)

    @classmethod
    def from_search(
        cls, search: Any, *, metric: str = "score", spread: str = "range", ax: Any = None
    ) -> Self:
        """Draw the scores of a fitted search over the number of components.

        Parameters
        ----------
        search : GridSearchCV, BatchedGridSearchCV or another fitted search
            Its candidates differ in a parameter whose name ends in ``n_components``. Each
            combination of the other parameters has a line of its own.
        metric : str, default="score"
            The scorer whose scores are drawn, for a search with several of them.
        spread : {"range", "standard_error"}, default="range"
            What the band about a mean shows.
        ax : matplotlib Axes, default=None
            The axes to draw on. None makes a new figure.

        Returns
        -------
        display : ComponentErrorDisplay
            The display with its picture. It shows the scores as they are, so that more is better.

        Raises
        ------
        ValueError
            If the candidates do not all have one such parameter, or not the same values of it; if
            the search has no scores of that metric.
        """
        results = search.cv_results_
        names = {n for params in results["params"] for n in params if n.endswith("n_components")}
        if len(names) != 1 or not all(names <= params.keys() for params in results["params"]):
            raise ValueError(
                "All candidates of the search must have one parameter whose name ends in "
                f"n_components; got {sorted(names) or 'none'}."
            )
        [width] = names
        first = "split0_test_"
        if f"{first}{metric}" not in results:
            known = [name.removeprefix(first) for name in results if name.startswith(first)]
            raise ValueError(f"metric must be one of the search, {known}; got {metric!r}.")
        splits = [results[f"split{fold}_test_{metric}"] for fold in range(search.n_splits_)]
        found: dict[str, dict[int, Any]] = {}
        for params, scores in zip(results["params"], np.transpose(splits), strict=True):
            others = [_in_words(name, value) for name, value in params.items() if name != width]
            label = ", ".join(others) or type(last_step(search.estimator)[1]).__name__
            found.setdefault(label, {})[params[width]] = scores
        widths = sorted({k for scores in found.values() for k in scores})
        if any(len(scores) < len(widths) for scores in found.values()):
            raise ValueError(f"Not all models of the search were tried with each of {widths}.")
        scores = {label: np.array([of[k] for k in widths]) for label, of in found.items()}
        ylabel = f"{metric} of a held-out fold"
        return cls(widths, scores, ylabel, yscale="linear", spread=spread).plot(ax)

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

        Raises
        ------
        ValueError
            If `spread` is none of the allowed names, or there is one fold and the standard error
            is asked for.
        """
        if self.spread not in _SPREADS:
            raise ValueError(f"spread must be one of {list(_SPREADS)}, got {self.spread!r}.")
        if self.spread == "standard_error" and any(e.shape[1] < 2 for e in self.errors.values()):
            raise ValueError("spread='standard_error' needs the errors of two folds or more.")
        ax = draw_on(self, ax)
        widths = self.n_components
        self.lines_, self.bands_ = [], []
        for (title, errors), colour in zip(self.errors.items(), cycle(COLOURS), strict=False):
            mean = errors.mean(1)
            low, high = errors.min(1), errors.max(1)
            if self.spread == "standard_error":
                error = errors.std(1, ddof=1) / errors.shape[1] ** 0.5
                low, high = mean - error, mean + error
            self.lines_ += ax.plot(widths, mean, color=colour, marker="o", label=title)
            self.bands_.append(ax.fill_between(widths, low, high, color=colour, alpha=0.2, lw=0))
        ax.set(
            xlabel="number of components",
            ylabel=self.ylabel,
            title=f"Held-out rows (line: mean; band: {_SPREADS[self.spread]})",
            xticks=list(widths),
            yscale=self.yscale,
        )
        legend_beside(ax)
        return self


def _negative_error(estimator, X, y=None):
    return -reconstruction_error(X, estimator.inverse_transform(estimator.transform(X)))


def _in_words(name, value):
    """Return a parameter as text; an estimator's class says enough."""
    return type(value).__name__ if hasattr(value, "get_params") else f"{name}={value}"
