"""Columns of few values: two of any kind, text, and categories."""

import numpy as np

from ._column import Column, refuse
from ._frames import import_pandas

# A second category is named beside the most probable one if it is at least so probable beside it.
_AS_PROBABLE = 0.5


class Boolean(Column):
    """Two values, such as False and True, or 0 and 1: the second one's indicator."""

    loss = "binary_cross_entropy"

    def fit(self, series):
        super().fit(series)
        found = sorted(series.dropna().unique().tolist())
        self.values = [found[0], found[-1]]
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
        if self.dtype.kind in "iuf" and isinstance(self.dtype, np.dtype):
            return pandas.Series(np.where(missing, np.nan, found))
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
        self._refuse_numbers(series, "text")
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
        self._refuse_numbers(series, "text")
        missing = series.isna().to_numpy(dtype=bool)
        encoded = np.eye(self.max_categories)[self._bins(series.to_numpy(dtype=object))]
        encoded[missing] = np.nan
        return encoded
