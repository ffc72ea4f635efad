"""What tables hold of pandas, polars and Arrow, as NumPy arrays and plain Python for a file.

A pickle of it loads with another version of these libraries, and skops needs to trust no more than
skae. What has no plain form stays as it is: a pickle has it, and skops says what it does not take.
"""

import datetime
import decimal
import json

import numpy as np

from .._utils.stored import Stored
from ._frames import import_pandas, library_of


class Plain(Stored):
    """A value of another library: the name of its kind in `_RESTORE`, and plain arguments."""

    def __init__(self, kind, *content):
        self.kind = kind
        self.content = content


class PlainStateMixin(Stored):
    """An object whose state is made plain where it is stored."""

    def __getstate__(self):
        return {name: to_plain(value) for name, value in (super().__getstate__() or {}).items()}

    def __setstate__(self, state):
        vars(self).update({name: from_plain(value) for name, value in state.items()})


def to_plain(value):
    """Return what a value is in plain Python."""
    if type(value) in (list, tuple):
        return type(value)(map(to_plain, value))
    if type(value) is dict:
        # a name of a column need not be text, which a file of skops has as keys
        return Plain("dict", *([to_plain(k), to_plain(v)] for k, v in value.items()))
    if isinstance(value, np.dtype):
        return Plain("numpy", str(value))
    if isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 1:
        if all(type(entry) is str for entry in value):
            return Plain("texts", json.dumps(value.tolist()))
        return Plain("objects", *map(to_plain, value))
    if type(value) is datetime.date:
        return Plain("date", value.isoformat())
    if type(value) is datetime.datetime and value.tzinfo is None:
        return Plain("datetime", value.isoformat())
    if type(value) is decimal.Decimal:
        return Plain("decimal", str(value))
    library = library_of(value)
    if library in ("polars", "pyarrow"):
        return Plain(library, _schema_bytes(library, value))
    if library == "pandas":
        return _pandas_to_plain(value)
    return _zone_to_plain(value) if isinstance(value, datetime.tzinfo) else value


def from_plain(value):
    """Return the value that `to_plain` was given."""
    if type(value) in (list, tuple):
        return type(value)(map(from_plain, value))
    if not isinstance(value, Plain):
        return value
    return _RESTORE[value.kind](*map(from_plain, value.content))


def _pandas_to_plain(value):
    pandas = import_pandas()
    if isinstance(value, pandas.CategoricalDtype):
        return Plain("categories", to_plain(value.categories), value.ordered)
    if isinstance(value, pandas.ArrowDtype):
        return Plain("arrow", _schema_bytes("pyarrow", value.pyarrow_dtype))
    if isinstance(value, pandas.api.extensions.ExtensionDtype):
        if pandas.api.types.pandas_dtype(str(value)) == value:
            return Plain("pandas", str(value))
        plain = isinstance(value, pandas.StringDtype)
        return Plain("string", value.storage) if plain else value
    if isinstance(value, pandas.IntervalIndex):
        return Plain("intervals", to_plain(value.left), to_plain(value.right), value.closed)
    if isinstance(value, pandas.DatetimeIndex):
        zone = None if value.tz is None else to_plain(value.tz)
        return Plain("dates", value.tz_localize(None).to_numpy(), zone)
    if isinstance(value, pandas.Index) and value.dtype.kind == "m":
        return Plain("durations", value.to_numpy())
    if isinstance(value, pandas.Index):
        return Plain("index", to_plain(value.to_numpy(dtype=object)), to_plain(value.dtype))
    if isinstance(value, pandas.Timestamp | pandas.Timedelta | pandas.Interval):
        return Plain("value", to_plain(pandas.Index([value])))
    return value


def _zone_to_plain(zone):
    try:
        same = _zone(str(zone)) == zone
    except Exception:  # what is no name of a zone is refused in many ways
        same = False
    return Plain("zone", str(zone)) if same else zone


def _zone(name):
    return import_pandas().DatetimeTZDtype(tz=name).tz


def _dates(values, zone):
    dates = import_pandas().DatetimeIndex(values)
    return dates if zone is None else dates.tz_localize("UTC").tz_convert(zone)


def _schema_bytes(library, dtype):
    """Return the type of a column in the format in which Arrow stores schemas."""
    import pyarrow

    if library == "polars":
        import polars

        schema = polars.DataFrame(schema={"": dtype}).to_arrow().schema
    else:
        schema = pyarrow.schema([("", dtype)])
    return schema.serialize().to_pybytes()


def _arrow_type(data):
    import pyarrow

    return pyarrow.ipc.read_schema(pyarrow.py_buffer(data)).field(0).type


def _polars_type(data):
    import polars
    import pyarrow

    schema = pyarrow.ipc.read_schema(pyarrow.py_buffer(data))
    return polars.from_arrow(schema.empty_table()).dtypes[0]


def _objects(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


_RESTORE = {
    "arrow": lambda data: import_pandas().ArrowDtype(_arrow_type(data)),
    "categories": lambda values, ordered: import_pandas().CategoricalDtype(values, ordered),
    "date": datetime.date.fromisoformat,
    "dates": _dates,
    "datetime": datetime.datetime.fromisoformat,
    "decimal": decimal.Decimal,
    "dict": lambda *pairs: dict(pairs),
    "durations": lambda values: import_pandas().TimedeltaIndex(values),
    "index": lambda values, dtype: import_pandas().Index(values, dtype=dtype),
    "intervals": lambda left, right, closed: import_pandas().IntervalIndex.from_arrays(
        left, right, closed
    ),
    "numpy": np.dtype,
    "objects": _objects,
    "pandas": lambda name: import_pandas().api.types.pandas_dtype(name),
    "polars": _polars_type,
    "pyarrow": _arrow_type,
    "string": lambda storage: import_pandas().StringDtype(storage),
    "texts": lambda text: np.array(json.loads(text), dtype=object),
    "value": lambda index: index[0],
    "zone": _zone,
}
