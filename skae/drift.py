"""Whether the rows of a stream still come from where the training rows came from."""

from numbers import Real
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from ._utils.sklearn import BaseEstimator, Interval, _fit_context
from ._utils.stored import VersionedMixin
from .tables import TableAnomalyDetector

__all__ = ["DriftMonitor"]

# Slopes of the bets on p-values, and how much of the capital changes slopes at each row.
_SLOPES, _JUMPING = np.array([-1.5, -0.75, 0.0, 0.75, 1.5]), 0.01


class DriftMonitor(VersionedMixin, BaseEstimator):
    """An alarm for streams: rows no longer come from where the reference rows came from.

    It bets on the ranks of new rows among all rows so far: of their anomaly scores, and of each
    feature's values. As long as the rows are exchangeable, no bet gains in expectation, and the
    probability that the capital ever passes ``1 / false_alarm`` times the stake is at most
    `false_alarm`, however long the stream is (Ville's inequality).

    Read more in the :doc:`User Guide </drift>`.

    Parameters
    ----------
    detector : AutoencoderAnomalyDetector
        A fitted detector, or another with ``score_samples``. Of a
        `skae.tables.TableAnomalyDetector`, the features are the numbers that a table is encoded by:
        ``detector.encoder_.get_feature_names_out()`` are their names.
    false_alarm : float, default=0.01
        Probability of an alarm at any time where nothing changes.
    random_state : int, RandomState instance or None, default=None
        Seed of the ranks among equal values.

    Attributes
    ----------
    log_martingale_ : float
        Natural logarithm of the capital, the stake being 1. It may fall again.
    n_rows_ : int
        Rows of the stream so far.
    alarm_at_ : int or None
        The row of the stream, counted from 0, at which the capital first passed
        ``1 / false_alarm``.
    log_martingales_ : ndarray of shape (1 + n_features,)
        The parts of the capital: what the bets on the scores and on each feature have become. The
        capital is their mean, and the largest says what has changed.
    n_features_in_ : int
        Number of features of the reference rows.

    See Also
    --------
    skae.AutoencoderAnomalyDetector : Judges single rows.

    Notes
    -----
    The guarantee needs reference rows that the detector was not fitted to. The training rows do
    nearly as well, as it scores them by nets that have not seen them.

    Each part is a Simple Jumper: capital on bets of five slopes, of which a hundredth changes its
    slope at each row. A row takes time in proportion to the rows so far.

    References
    ----------
    V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", 2nd ed., Springer
    2022, chapter 8.

    Examples
    --------
    >>> import numpy as np
    >>> from skae import AutoencoderAnomalyDetector
    >>> from skae.drift import DriftMonitor
    >>> rng = np.random.default_rng(0)
    >>> train, stream = rng.normal(size=(400, 3)), rng.normal(size=(200, 3))
    >>> detector = AutoencoderAnomalyDetector(max_iter=5, random_state=0).fit(train)
    >>> monitor = DriftMonitor(detector, random_state=0).fit(train)
    >>> monitor.update(stream).shape, monitor.alarm_at_
    ((200,), None)
    >>> _ = monitor.update(stream + 1)
    >>> 200 < monitor.alarm_at_ < 300
    True
    """

    log_martingale_: float
    n_rows_: int
    alarm_at_: int | None
    log_martingales_: np.ndarray

    _parameter_constraints: dict = {
        "detector": [BaseEstimator],
        "false_alarm": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        detector: Any,
        false_alarm: float = 0.01,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.detector = detector
        self.false_alarm = false_alarm
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Take reference rows, and start a new stream.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows that those of the stream are compared with, missing values included.
        y : None
            Ignored.

        Returns
        -------
        self : DriftMonitor
            Fitted.

        Raises
        ------
        ValueError
            If X or a parameter is not allowed.
        """
        values = self._values(X)
        self.n_features_in_ = values.shape[1] - 1
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        self._generator = np.random.default_rng(seed)
        self._rows = values
        n_parts = values.shape[1]
        self._capital = np.full((n_parts, len(_SLOPES)), 1 / len(_SLOPES))
        self.log_martingales_ = np.zeros(n_parts)
        self.log_martingale_, self.n_rows_, self.alarm_at_ = 0.0, 0, None
        return self

    def update(self, X: Any) -> np.ndarray:
        """Take the next rows of the stream.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            In the order in which they came.

        Returns
        -------
        log_martingale : ndarray of shape (n_samples,)
            Natural logarithm of the capital after each row. Evidence of a change is
            ``exp(log_martingale)``: 100 is an alarm at ``false_alarm=0.01``.

        Raises
        ------
        ValueError
            If X is not allowed or has another number of features.
        """
        check_is_fitted(self)
        values = self._values(X)
        if values.shape[1] != len(self.log_martingales_):
            raise ValueError(
                f"X has {values.shape[1] - 1} features, but DriftMonitor is expecting "
                f"{self.n_features_in_} features as input."
            )
        n_known = len(self._rows)
        self._rows = np.vstack([self._rows, values])
        out = np.array(
            [self._bet(self._rows[:at], self._rows[at]) for at in range(n_known, len(self._rows))]
        )
        passed = np.flatnonzero(out >= -np.log(self.false_alarm))
        if self.alarm_at_ is None and len(passed):
            self.alarm_at_ = self.n_rows_ + int(passed[0])
        self.n_rows_ += len(out)
        self.log_martingale_ = float(out[-1])
        return out

    def _bet(self, known, row):
        """Bet on the ranks of a row among those before it; return the logarithm of the capital."""
        less, up_to = (known < row).sum(axis=0), (known <= row).sum(axis=0)
        # The row is one of the equal ones.
        within = self._generator.random(len(row)) * (up_to - less + 1)
        p_values = (less + within) / (len(known) + 1)
        capital = (1 - _JUMPING) * self._capital
        capital += _JUMPING * self._capital.mean(axis=1, keepdims=True)
        capital *= 1 + _SLOPES * (p_values[:, None] - 0.5)
        total = capital.sum(axis=1)
        # What is kept are proportions, so that no capital over- or underflows.
        self._capital = capital / total[:, None]
        self.log_martingales_ = self.log_martingales_ + np.log(total)
        return np.logaddexp.reduce(self.log_martingales_) - np.log(len(row))

    def _values(self, X):
        """Return the score and the features of each row; what is missing is above all values."""
        detector = self.detector
        if isinstance(detector, TableAnomalyDetector):
            check_is_fitted(detector)
            X, detector = detector.encoder_.transform(X), detector.detector_
        scores = detector.score_samples(X)
        X = X.toarray() if sparse.issparse(X) else X
        X = check_array(X, dtype=np.float64, ensure_all_finite="allow-nan")
        return np.nan_to_num(
            np.column_stack([scores, X]), nan=np.inf, posinf=np.inf, neginf=-np.inf
        )
