"""Columns of numbers."""

import numpy as np

from ._column import Column, quantiles_of, refuse
from ._frames import import_pandas

# A column has heavy tails if this quantile of the distances from the median is more than so many
# robust standard deviations.
_TAIL, _HEAVY = 0.99, 8.0
# sinh of more overflows.
_LARGEST_EXPONENT = 700.0


class Number(Column):
    """Numbers and durations.

    Integers are rounded when they are decoded, and so are a net's numbers where all training values
    are whole. The scale is "standard" (mean and standard deviation), "robust" (the inverse
    hyperbolic sine of the distance from the median in robust standard deviations, and then the
    standard one) or "auto": robust where one in a hundred training values is more than eight
    robust standard deviations from the median.
    """

    def __init__(self, scale="auto"):
        self.scale = scale

    def fit(self, series):
        super().fit(series)
        values = self._floats(series)
        values = values[~np.isnan(values)]
        self.low, self.high = values.min(), values.max()
        # Integers are floats where pandas has a gap.
        self.whole = bool((values == np.rint(values)).all())
        median = np.median(values)
        low, high = np.quantile(values, [0.25, 0.75])
        robust = (high / 1.349 - low / 1.349) or abs(values - median).mean() or 1.0
        # A single outlier is no heavy tail, and must remain one.
        heavy = np.quantile(abs(values - median), _TAIL) > _HEAVY * robust
        bent = self.scale == "robust" or (self.scale == "auto" and heavy)
        self.bend = (median, robust) if bent else None
        if bent:
            values = self._bent(values)
        self.mean = values.mean()
        unit = max(abs(values - self.mean).max(), np.finfo(np.float64).tiny)
        self.deviation = unit * ((values - self.mean) / unit).std() or 1.0
        self.quantiles = quantiles_of((values - self.mean) / self.deviation)
        return self

    def _floats(self, series):
        pandas = import_pandas()
        if series.dtype.kind == "m":
            values = series.dt.total_seconds()
        else:
            values = pandas.to_numeric(series, errors="coerce")
            wrong = values.isna() & series.notna()
            if wrong.any():
                refuse(series, wrong, "numbers")
        values = values.to_numpy(dtype=np.float64, na_value=np.nan)
        infinite = np.isinf(values)
        if infinite.any():
            refuse(series, infinite, "finite numbers")
        return values

    def _bent(self, values):
        median, robust = self.bend
        return np.arcsinh((values - median) / robust)

    def encode(self, series):
        values = self._floats(series)
        if self.bend is not None:
            values = self._bent(values)
        return ((values - self.mean) / self.deviation)[:, None]

    def decode(self, values, legal=False):
        pandas = import_pandas()
        numbers = self.mean + self.deviation * values[:, 0].astype(np.float64)
        if self.bend is not None:
            median, robust = self.bend
            numbers = numbers.clip(-_LARGEST_EXPONENT, _LARGEST_EXPONENT)
            numbers = median + robust * np.sinh(numbers)
        if legal:
            numbers = numbers.clip(self.low, self.high)
            numbers = np.rint(numbers) if self.whole else numbers
        missing = np.isnan(numbers)
        if self.dtype.kind == "m":
            return pandas.Series(pandas.to_timedelta(numbers, unit="s")).astype(self.dtype)
        if self.dtype.kind in "iu":
            limits = np.iinfo(getattr(self.dtype, "numpy_dtype", self.dtype))
            numbers = np.rint(numbers).clip(limits.min, limits.max)
            if missing.any() and isinstance(self.dtype, np.dtype):
                return pandas.Series(numbers)
        elif self.dtype == object:
            return pandas.Series(numbers)
        return pandas.Series(numbers).astype(self.dtype)
