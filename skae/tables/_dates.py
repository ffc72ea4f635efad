"""Columns of dates and times."""

import datetime

import numpy as np

from ._column import Column, is_text, quantiles_of, refuse
from ._frames import import_pandas


class Date(Column):
    """Dates and times: the days that have passed, and the time of day, week and year.

    A time is left out where it does not vary. A date is decoded from the days alone, rounded to the
    unit of the training values: to whole days where all are at midnight.
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
        self.unit = next((unit for unit, size in self._UNITS if (seconds % size == 0).all()), "s")
        if (abs(known * 86_400 - seconds) > 1e-3).any():
            self.unit = "us"
        self.low, self.high = known.min(), known.max()
        self.mean, self.deviation = known.mean(), known.std() or 1.0
        self.quantiles = quantiles_of((known - self.mean) / self.deviation)
        self.cycles = [cycle for cycle in self._CYCLES if self._varies(*cycle, known)]
        parts = [f"_{part} of {name}" for name, _ in self.cycles for part in ("cosine", "sine")]
        self.suffixes = ("", *parts)
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
        self._refuse_numbers(series, "dates")
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
