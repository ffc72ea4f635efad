"""The anomaly detector of tables."""

import math
from numbers import Real
from typing import Any, Literal, Self, overload

import numpy as np
from sklearn.base import clone
from sklearn.utils import ClassifierTags
from sklearn.utils.validation import check_is_fitted

from .. import AutoencoderAnomalyDetector
from .._utils.sklearn import BaseEstimator, Interval, Options, OutlierMixin, StrOptions
from .._utils.stored import VersionedMixin
from ..corruptions import Masking
from ..losses import Mixed
from ._base import names_of, of_tables
from ._encoder import TableEncoder
from ._frames import import_pandas, library_of, table_tags, to_pandas
from ._odd_cell import OddCell

# What a net needs to learn each column from the others: it sees a part of the rows, with as large a
# part of the columns masked, for so many steps.
_N_FOLDS, _MASKED = 2, 0.2
_BATCH_SIZE, _STEPS, _MOST_EPOCHS = 128, 480, 120


class TableAnomalyDetector(VersionedMixin, OutlierMixin, BaseEstimator):
    """Anomaly detection in tables: which rows are odd, and which of their columns.

    `TableEncoder` encodes the table and `skae.AutoencoderAnomalyDetector` scores its rows: a row is
    odd if one of its cells is unlikely given the others. Missing entries are no anomaly.

    Read more in the :doc:`page on tables </tables>`.

    Parameters
    ----------
    contamination : float or "auto", default="auto"
        Fraction of the training rows that is to be predicted as anomalous, as for
        `AutoencoderAnomalyDetector`.
    encoder : TableEncoder or None, default=None
        What encodes the table. None is one with default parameters.
    detector : AutoencoderAnomalyDetector or None, default=None
        The detector, whose ``contamination`` is set here. None is one whose nets see rows with a
        fifth of their columns masked, and then each column of a row hidden in turn, as the Notes
        say.
    random_state : int, RandomState instance or None, default=None
        Seed of the detector; None leaves the detector's own.
    verbose : int, default=0
        Progress of the fit, as for `AutoencoderAnomalyDetector`; 0 leaves the detector's own.

    Attributes
    ----------
    encoder_ : TableEncoder
        The fitted encoder.
    detector_ : AutoencoderAnomalyDetector
        The detector, fitted on the encoded table.
    offset_ : float
        The threshold: ``decision_function`` is ``score_samples - offset_``.
    classes_ : ndarray of shape (2,)
        The labels -1 and 1, in the order of the columns of `predict_proba`.
    n_features_in_ : int
        Number of columns of the table.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where they are all strings.

    See Also
    --------
    TableAutoencoder : Codes, reconstructions and imputation of a table.
    skae.AutoencoderAnomalyDetector : The detector of tables of numbers, with the same methods.

    Notes
    -----
    The score says how likely it is that one of a row's cells holds a random value: for each column
    the probability of its value among all others, where any category is as likely as another and
    numbers are within four standard deviations, is divided by its probability given the other
    columns, and the logarithm of one plus the sum of these ratios is the score, with a minus.

    `explain` divides the score among the columns. A wrong value also makes those columns odd that
    are reconstructed from it, so the five columns with the largest ratios are compared in pairs of
    which both are hidden: the largest with the second, the more suspect of them with the third, and
    so on. The quotient of the two ratios says how much more likely it is that the one is wrong than
    that the other is. The remaining columns get as much beside the first as their ratios say.

    The probabilities given the others are those of nets that reconstruct a column while it is
    hidden. Each net learns from half of the training rows, of which it sees four fifths of the
    cells, and has a code as wide as the table has encoded columns, as what it sees is masked. To
    score a row takes as many passes as there are columns, and to explain it four more.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae.tables import TableAnomalyDetector
    >>> table = load_iris(as_frame=True).data
    >>> table["species"] = load_iris().target_names[load_iris().target]
    >>> table.loc[0, "species"] = "virginica"
    >>> detector = TableAnomalyDetector(contamination=0.02, random_state=0).fit(table)
    >>> int(detector.predict(table)[0])
    -1
    >>> detector.explain(table[:1], details=True).loc[0, ["column", "value", "expected"]].tolist()
    ['species', 'virginica', 'setosa']
    """

    encoder_: TableEncoder
    detector_: AutoencoderAnomalyDetector

    _parameter_constraints: dict = {
        "contamination": [
            StrOptions({"auto"}),
            Interval(Real, 0, 0.5, closed="right"),
            Options(Real, {0}),
        ],
        "encoder": [TableEncoder, None],
        "detector": [AutoencoderAnomalyDetector, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        contamination: float | str = "auto",
        *,
        encoder: TableEncoder | None = None,
        detector: AutoencoderAnomalyDetector | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.contamination = contamination
        self.encoder = encoder
        self.detector = detector
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the encoding of a table, and fit the detector on it.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The table: a pandas, polars or Arrow frame, or an array. A minority of anomalies is
            allowed.
        y : None
            Ignored.

        Returns
        -------
        self : TableAnomalyDetector
            Fitted.

        Raises
        ------
        ValueError
            If the table or a parameter is not allowed; see `TableEncoder.fit`.
        """
        return self._fit(X, one_pass=False)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train the nets once on the rows of a table, and calibrate on the latest rows.

        The first call also learns the encoding, which later calls keep: a category that is not
        among its rows stays unknown. Thresholds and p-values are those of the (at most 4,096) rows
        given to it last.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The next rows of the table.
        y : None
            Ignored.

        Returns
        -------
        self : TableAnomalyDetector
            Fitted.

        Raises
        ------
        ValueError
            If the table or a parameter is not allowed; see `TableEncoder.fit` and
            `TableEncoder.transform`.
        """
        return self._fit(X, one_pass=True)

    def _fit(self, X, one_pass):
        self._validate_params()
        if one_pass and hasattr(self, "detector_"):
            encoder, own = self.encoder_, self.detector_
            encoded = encoder.transform(X)
        else:
            encoder = clone(TableEncoder() if self.encoder is None else self.encoder).fit(X)
            encoded = encoder.transform(X)
            own = _default(encoder, len(encoded)) if self.detector is None else clone(self.detector)
        own.set_params(contamination=self.contamination)
        if self.random_state is not None:
            own.set_params(random_state=self.random_state)
        if self.verbose:
            own.set_params(verbose=self.verbose)
        (own.partial_fit if one_pass else own.fit)(encoded)
        self.__dict__.pop("feature_names_in_", None)
        self.__dict__.update(names_of(encoder), encoder_=encoder, detector_=own)
        return self

    @property
    def offset_(self) -> float:
        check_is_fitted(self)
        return self.detector_.offset_

    @property
    def classes_(self) -> np.ndarray:
        check_is_fitted(self)
        return self.detector_.classes_

    def _encoded(self, X):
        check_is_fitted(self)
        return self.encoder_.transform(X)

    score_samples = of_tables(AutoencoderAnomalyDetector.score_samples)
    decision_function = of_tables(AutoencoderAnomalyDetector.decision_function)
    predict = of_tables(AutoencoderAnomalyDetector.predict)
    predict_proba = of_tables(AutoencoderAnomalyDetector.predict_proba)
    precision_bound = of_tables(AutoencoderAnomalyDetector.precision_bound)

    @overload
    def p_values(self, X: Any, confidence: float | None = ...) -> np.ndarray: ...

    @overload
    def p_values(
        self, X: Any, confidence: float | None = ..., *, return_scores: Literal[True]
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def p_values(
        self, X: Any, confidence: float | None = None, *, return_scores: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the conformal p-values of the rows of a table.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            A table with the columns of the training table.
        confidence : float or None, default=None
            As for `AutoencoderAnomalyDetector.p_values`.
        return_scores : bool, default=False
            Whether to return the scores as well, so that the rows go through the nets once.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            Small for anomalies, and uniform for rows like the training ones.
        scores : ndarray of shape (n_samples,)
            ``score_samples(X)``. Only where `return_scores` is true.

        Raises
        ------
        ValueError
            If `confidence` is not in (0, 1).
        """
        X = self._encoded(X)
        both = self.detector_.p_values(X, confidence, return_scores=True)
        return both if return_scores else both[0]

    def explain(self, X: Any, details: bool = False) -> Any:
        """Return how much each column contributes to the score of each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            A table with the columns of the training table: rows whose scores are to be explained.
        details : bool, default=False
            Whether to return a line for each row and column, with the value and what was expected.

        Returns
        -------
        contributions : DataFrame
            A pandas DataFrame with a column for each encoded column of the table; they add up to
            ``score_samples(X)``: the most negative one is the oddest.

            With ``details=True`` a line for each row and column with ``row`` (its label where X is
            a pandas DataFrame, else its number), ``column``, ``value``, ``expected`` (the
            reconstruction: a number, a date, or the likeliest category, with the second likeliest
            where it is at least half as probable), ``contribution`` and ``fraction``, the part of
            what the odd columns of the row contribute. The rows are in X's order, and the oddest
            column of each comes first.
        """
        pandas = import_pandas()
        table, encoded = to_pandas(X), self._encoded(X)
        parts = [*self.encoder_._parts()]
        if not details:
            by_number = self.detector_.explain(encoded)
            sums = {name: by_number[:, part].sum(1) for name, _, part in parts}
            return pandas.DataFrame(sums, index=table.index)
        # A line for each number: those of a row in the order of their numbers.
        lines = self.detector_.explain(encoded, details=True).sort_values(["row", "feature"])
        shape = encoded.shape
        by_number = lines["contribution"].to_numpy().reshape(shape)
        expected = lines["expected"].to_numpy().reshape(shape)
        if library_of(X) == "numpy":
            table = table.set_axis(self.encoder_._order, axis=1)
        contributions = np.column_stack([by_number[:, part].sum(1) for _, _, part in parts])
        values = _stack([table[name].to_numpy(dtype=object) for name, _, _ in parts])
        likely = _stack([column.describe(expected[:, part]) for _, column, part in parts])
        order = np.argsort(contributions, axis=1, kind="stable")
        names = np.empty(len(parts), dtype=object)
        names[:] = [name for name, _, _ in parts]
        odd = np.minimum(contributions, 0.0)
        unit = np.minimum(odd.min(1, keepdims=True), -np.finfo(np.float64).tiny)
        fractions = (odd / unit) / np.maximum((odd / unit).sum(1, keepdims=True), 1e-300)
        sorted_parts = {
            "value": values,
            "expected": likely,
            "contribution": contributions,
            "fraction": fractions,
        }
        sorted_parts = {
            k: np.take_along_axis(v, order, axis=1).ravel() for k, v in sorted_parts.items()
        }
        row = np.repeat(table.index.to_numpy(), len(parts))
        return pandas.DataFrame({"row": row, "column": names[order.ravel()]} | sorted_parts)

    def __sklearn_tags__(self):
        tags = table_tags(super().__sklearn_tags__())
        # scikit-learn's checks take predict_proba for a classifier's: it has two columns.
        tags.classifier_tags = ClassifierTags(multi_class=False)
        return tags


def _default(encoder, n_rows):
    """Return a detector that learns to tell each column from the others."""
    parts = [(column, [*range(part.start, part.stop)]) for _, column, part in encoder._parts()]
    columns = [numbers for _, numbers in parts]
    steps_an_epoch = math.ceil(n_rows / _N_FOLDS / _BATCH_SIZE)
    return AutoencoderAnomalyDetector(
        len(columns),
        scoring=OddCell(columns, [c.loss != "squared_error" for c, _ in parts]),
        n_folds=_N_FOLDS,
        corruption=Masking(_MASKED, groups=columns),
        loss=Mixed(encoder.blocks_),
        trim=0.0,
        batch_size=_BATCH_SIZE,
        max_iter=min(_MOST_EPOCHS, math.ceil(_STEPS / steps_an_epoch)),
    )


def _stack(columns):
    """Return columns of any values as an array of objects of shape (n_rows, n_columns)."""
    stacked = np.empty((len(columns[0]), len(columns)), dtype=object)
    for j, column in enumerate(columns):
        stacked[:, j] = column
    return stacked
