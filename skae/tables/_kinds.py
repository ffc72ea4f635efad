"""Kinds of columns: how each becomes numbers, and how these become its values again."""

import datetime

import numpy as np

from ._frames import import_pandas

# Beyond this many standard deviations a column of numbers has heavy tails.
_HEAVY = 8.0
# How many quantiles of the training values stand for their distribution.
_N_QUANTILES = 1001
# sinh of more overflows.
_LARGEST_EXPONENT = 700.0
# A second category is named beside the most probable one if it is at least so probable beside it.
_AS_PROBABLE = 0.5


class Column:
    """How one column of a table becomes numbers.

    A subclass is one kind of column. `suffixes` name the columns of the encoded table that belong
    to it, after its own name, and `loss` is the name of the loss they have under
    `skae.losses.Mixed`, all together where it is "multinomial".
    """

    loss = "squared_error"
    suffixes: tuple = ("",)
    # Quantiles of the first number at evenly spaced levels; None where numbers are probabilities.
    quantiles = None

    def fit(self, series):
        """Learn from the training values and return self."""
        self.dtype = series.dtype
        return self

    def encode(self, series):
        """Return an array of shape (n_rows, n_suffixes), NaN where the value is missing."""
        raise NotImplementedError

    def decode(self, values, legal=False):
        """Return the values as a Series that has the training column's dtype.

        `legal` keeps numbers within the range of the training values.
        """
        raise NotImplementedError

    def draw(self, values, random):
        """Return numbers for values that are drawn where `values` are probabilities."""
        return values

    def describe(self, values):
        """Return what is expected, for a reader: a value, or the values that are likeliest."""
        return self.decode(values, legal=True).to_numpy(dtype=object, na_value=None)


class Number(Column):
    """Numbers and durations.

    Integers are rounded when they are decoded. The scale is "standard" (mean and standard
    deviation), "robust" (the inverse hyperbolic sine of the distance from the median in robust
    standard deviations, and then the standard one) or "auto": robust where a training value is
    more than eight standard deviations from the mean.
    """

    def __init__(self, scale="auto"):
        self.scale = scale

    def fit(self, series):
        super().fit(series)
        values = self._floats(series)
        values = values[~np.isnan(values)]
        self.low, self.high = values.min(), values.max()
        # Halves, lest the difference of the largest numbers overflow.
        unit = max(self.high / 2 - self.low / 2, np.finfo(np.float64).tiny)
        spread = unit * (values / unit).std()
        heavy = abs(values - values.mean()).max() > _HEAVY * spread
        self.bend = None
        if self.scale == "robust" or (self.scale == "auto" and heavy):
            median = np.median(values)
            low, high = np.quantile(values, [0.25, 0.75])
            robust = (high - low) / 1.349 or abs(values - median).mean() or 1.0
            self.bend = median, robust
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


class Boolean(Column):
    """Two values, such as False and True, or 0 and 1: the second one's indicator."""

    loss = "binary_cross_entropy"

    def fit(self, series):
        super().fit(series)
        self.values = sorted(series.dropna().unique().tolist())
        return self

    def encode(self, series):
        known = series.isin(self.values)
        wrong = (~known & series.notna()).to_numpy(dtype=bool)
        if wrong.any():
            refuse(series, wrong, f"{self.values[0]!r} and {self.values[1]!r}")
        encoded = (series == self.values[1]).to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(series.isna(), np.nan, encoded)[:, None]

    def decode(self, values, legal=False):
        pandas = import_pandas()
        missing = np.isnan(values[:, 0])
        found = np.array(self.values)[(values[:, 0] > 0.5).astype(int)]
        if not missing.any():
            return pandas.Series(found).astype(self.dtype)
        found = pandas.Series(found, dtype=object).mask(missing, None)
        return found if isinstance(self.dtype, np.dtype) else found.astype(self.dtype)

    def draw(self, values, random):
        return (random.uniform(size=values.shape) < values).astype(np.float64)


class Category(Column):
    """Text and categories: an indicator for each frequent value, and one for all others.

    A value that is not among the training values has the indicator of the others where there is
    one, and else none at all.
    """

    loss = "multinomial"

    def __init__(self, max_categories=30):
        self.max_categories = max_categories

    def fit(self, series):
        super().fit(series)
        self.ordered = getattr(series.dtype, "categories", None)
        counts = series.value_counts()
        counts = counts[counts > 0]
        n_frequent = len(counts)
        if n_frequent > self.max_categories:
            n_frequent = self.max_categories - 1
        self.frequent = counts.index[:n_frequent].to_numpy(dtype=object)
        self.others = counts.index[n_frequent:].to_numpy(dtype=object)
        self.frequencies = counts.to_numpy()[n_frequent:] / max(counts[n_frequent:].sum(), 1)
        self.suffixes = tuple(f"_{value}" for value in self.frequent)
        if len(self.others):
            self.suffixes += ("_other values",)
        return self

    def encode(self, series):
        pandas = import_pandas()
        codes = pandas.Index(self.frequent).get_indexer(series.to_numpy(dtype=object))
        if len(self.others):
            codes[codes < 0] = len(self.frequent)
        encoded = np.zeros((len(series), len(self.suffixes)))
        known = np.flatnonzero(codes >= 0)
        encoded[known, codes[known]] = 1.0
        encoded[series.isna().to_numpy(dtype=bool)] = np.nan
        return encoded

    def decode(self, values, legal=False, random=None):
        pandas = import_pandas()
        names = [*self.frequent, *self.others[:1]]
        missing = np.isnan(values).any(1) | (values.max(1) <= 0)
        codes = np.where(missing, 0, np.nan_to_num(values).argmax(1))
        lookup = np.empty(len(names), dtype=object)
        lookup[:] = names
        found = lookup[codes]
        if random is not None and len(self.others):
            rare = np.flatnonzero(codes == len(self.frequent))
            found[rare] = random.choice(self.others, size=len(rare), p=self.frequencies)
        found = pandas.Series(found, dtype=object)
        return found.mask(missing, None).astype(self.dtype)

    def draw(self, values, random):
        heights = np.cumsum(np.nan_to_num(values).clip(min=0), axis=1)
        drawn = random.uniform(size=(len(values), 1)) * heights[:, -1:]
        return np.eye(values.shape[1])[(drawn > heights).sum(1).clip(max=values.shape[1] - 1)]

    def describe(self, values):
        names = [str(value) for value in self.frequent] + ["another value"]
        order = np.argsort(-values, axis=1, kind="stable")[:, :2]
        likely = np.take_along_axis(values, order, axis=1)
        found = []
        for (first, *second), size in zip(order, likely, strict=True):
            several = second and size[1] >= _AS_PROBABLE * size[0]
            found.append(f"{names[first]} or {names[second[0]]}" if several else names[first])
        return np.array(found, dtype=object)


class Hashed(Category):
    """Text with many values, in as many bins as there may be categories, by a hash of the value.

    It is decoded as the most frequent training value of the bin.
    """

    def fit(self, series):
        Column.fit(self, series)
        counts = series.value_counts()
        bins = self._bins(counts.index.to_numpy(dtype=object))
        self.frequent = np.full(self.max_categories, None, dtype=object)
        for value, number in zip(counts.index[::-1], bins[::-1], strict=True):
            self.frequent[number] = value
        self.others = np.array([], dtype=object)
        self.suffixes = tuple(f"_bin {i}" for i in range(self.max_categories))
        return self

    def _bins(self, values):
        pandas = import_pandas()
        hashed = pandas.util.hash_array(np.array([str(v) for v in values], dtype=object))
        return (hashed % np.uint64(self.max_categories)).astype(int)

    def encode(self, series):
        missing = series.isna().to_numpy(dtype=bool)
        encoded = np.eye(self.max_categories)[self._bins(series.to_numpy(dtype=object))]
        encoded[missing] = np.nan
        return encoded


class Date(Column):
    """Dates and times: the days that have passed, and the time of day, week and year where it varies.

    It is decoded from the days alone, rounded to the unit of the training values: to whole days
    where all are at midnight.
    """

    _UNITS = (("D", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    # Names, lengths in days.
    _CYCLES = (("day", 1.0), ("week", 7.0), ("year", 365.2425))

    def fit(self, series):
        super().fit(series)
        self.format = None
        parsed = self._parsed(series)
        self.zone = parsed.dt.tz
        first = series.dropna().iloc[0]
        self.date_only = isinstance(first, datetime.date) and not isinstance(
            first, datetime.datetime
        )
        days = self._days(parsed)
        known = days[~np.isnan(days)]
        seconds = np.rint(known * 86_400)
        self.unit = next(
            (unit for unit, size in self._UNITS if (seconds % size == 0).all()), "s"
        )
        if (abs(known * 86_400 - seconds) > 1e-3).any():
            self.unit = "us"
        self.low, self.high = known.min(), known.max()
        self.mean, self.deviation = known.mean(), known.std() or 1.0
        self.quantiles = quantiles_of((known - self.mean) / self.deviation)
        self.cycles = [cycle for cycle in self._CYCLES if self._varies(*cycle, known)]
        self.suffixes = ("",) + tuple(
            f"_{part} of {name}" for name, _ in self.cycles for part in ("cosine", "sine")
        )
        return self

    def _varies(self, name, length, days):
        """Return whether the dates tell anything by their place in a cycle."""
        if self.high - self.low <= length:
            return False
        dates = np.unique(np.floor(days))
        if name == "day":
            return len(dates) < len(np.unique(days)) or len(np.unique(np.round(days % 1, 6))) > 1
        # Dates that are further apart, such as the first of each month, have a weekday by chance.
        return len(dates) * length > 2 * (self.high - self.low)

    def _parsed(self, series):
        pandas = import_pandas()
        if series.dtype.kind == "M":
            return series
        if is_text(series):
            if self.format is None:
                self.format = date_format(series)
                self.is_zulu = str(series.dropna().iloc[0]).endswith("Z")
            parsed = pandas.to_datetime(series, format=self.format, errors="coerce", utc=False)
        else:
            parsed = pandas.to_datetime(series, errors="coerce")
        wrong = (parsed.isna() & series.notna()).to_numpy(dtype=bool)
        if wrong.any():
            refuse(series, wrong, "dates" + (f" like {self.format}" if self.format else ""))
        return parsed

    def _days(self, parsed):
        pandas = import_pandas()
        naive = parsed.dt.tz_localize(None) if parsed.dt.tz is not None else parsed
        elapsed = (naive - pandas.Timestamp(2000, 1, 1)).dt.total_seconds()
        return elapsed.to_numpy(dtype=np.float64, na_value=np.nan) / 86_400

    def encode(self, series):
        parsed = self._parsed(series)
        if parsed.dt.tz is not None and self.zone is not None:
            parsed = parsed.dt.tz_convert(self.zone)
        days = self._days(parsed)
        columns = [(days - self.mean) / self.deviation]
        for _, length in self.cycles:
            angle = 2 * np.pi * days / length
            # As long as a standardized number.
            columns += [np.sqrt(2) * np.cos(angle), np.sqrt(2) * np.sin(angle)]
        return np.column_stack(columns)

    def decode(self, values, legal=False):
        pandas = import_pandas()
        days = self.mean + self.deviation * values[:, 0].astype(np.float64)
        if legal:
            days = days.clip(self.low, self.high)
        # What pandas can hold.
        days = days.clip(-700_000, 90_000)
        elapsed = pandas.to_timedelta(np.rint(days * 86_400e6), unit="us")
        found = pandas.Series(pandas.Timestamp(2000, 1, 1) + elapsed).dt.round(self.unit)
        if self.zone is not None:
            found = found.dt.tz_localize(self.zone, ambiguous=True, nonexistent="shift_forward")
        if self.format:
            written = found.dt.strftime(self.format)
            if self.is_zulu:
                written = written.str.replace("+0000", "Z")
            return written.astype(self.dtype)
        if self.date_only:
            return found.dt.date.astype(object)
        return found if self.dtype == object else found.astype(self.dtype)


def quantiles_of(values):
    """Return quantiles of values at evenly spaced levels."""
    return np.quantile(values, np.linspace(0, 1, min(_N_QUANTILES, len(values))))


def is_text(series):
    """Return whether the values of a column are text: all that are not missing."""
    pandas = import_pandas()
    if isinstance(series.dtype, pandas.CategoricalDtype):
        return False
    return pandas.api.types.infer_dtype(series, skipna=True) == "string"


def date_format(series):
    """Return the format that all dates of a column of text are written in, or None."""
    pandas = import_pandas()
    known = series.dropna()
    if not len(known) or not any(character.isdigit() for character in str(known.iloc[0])):
        return None
    for day_first in (False, True):
        guess = pandas.tseries.api.guess_datetime_format(str(known.iloc[0]), dayfirst=day_first)
        if guess is None or "%Y" not in guess:
            continue
        if not pandas.to_datetime(known, format=guess, errors="coerce").isna().any():
            return guess
    return None


def refuse(series, wrong, expected):
    """Raise a ValueError that names a column, the first of its values that are wrong, and its row."""
    row = int(np.flatnonzero(np.asarray(wrong))[0])
    raise ValueError(
        f"Column {series.name!r} holds {expected}, but row {series.index[row]!r} has "
        f"{series.iloc[row]!r}."
    )


KINDS: dict = {
    "number": Number,
    "boolean": Boolean,
    "category": Category,
    "hashed": Hashed,
    "date": Date,
}
