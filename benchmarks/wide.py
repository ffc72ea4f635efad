"""Wide tables with known anomalies, which no default was chosen on."""

import numpy as np
import pandas as pd

from .corpora import fashion_mnist
from .datasets import CARET, KERNLAB, Unavailable, read_mlbench, read_r
from .labelled import Labelled

# More anomalies than this fraction of the rows are cut down to it.
_MOST_ANOMALIES = 0.1
_IMAGES, _NORMAL_IMAGES, _ODD_IMAGES = 40_000, 2_000, 105

WIDE: dict[str, Labelled] = {}


def wide_set(name, source):
    """Enter a set: a function that returns a DataFrame, and which of its rows are anomalies."""

    def enter(read):
        def load():
            frame, odd = read()
            X, odd = frame.to_numpy(float), np.asarray(odd, bool)
            most = round(_MOST_ANOMALIES / (1 - _MOST_ANOMALIES) * (~odd).sum())
            kept = np.sort(np.concatenate([np.flatnonzero(~odd), np.flatnonzero(odd)[:most]]))
            return X[kept], odd[kept].astype(int)

        WIDE[name] = Labelled(load, source)
        return read

    return enter


@wide_set("dna", "mlbench (Debian r-cran-mlbench)")
def _dna():
    """180 columns of 0 and 1: 60 bases; anomalies are the borders from exon to intron."""
    frame = read_mlbench("DNA")
    return frame.drop(columns="Class").astype(float), frame["Class"] == "ei"


@wide_set("soybean", "mlbench (Debian r-cran-mlbench)")
def _soybean():
    """Categories as columns of 0 and 1, "missing" among them; anomalies are the rare diseases."""
    frame = read_mlbench("Soybean")
    disease = frame.pop("Class")
    coded = pd.get_dummies(frame.astype(object).fillna("missing")).astype(float)
    return coded, disease.map(disease.value_counts()).astype(int) <= 20


@wide_set("musk", "kernlab (Debian r-cran-kernlab)")
def _musk():
    frame = read_r(KERNLAB, "musk.rda")["musk"]
    return frame.drop(columns="Class"), frame["Class"] == "1"


@wide_set("ticdata", "kernlab (Debian r-cran-kernlab)")
def _ticdata():
    """Customers, some with a caravan insurance; categories as columns of 0 and 1."""
    frame = read_r(KERNLAB, "ticdata.rda")["ticdata"]
    insured = frame.pop("CARAVAN") == "insurance"
    return pd.get_dummies(frame).astype(float), insured


@wide_set("cox2", "caret (Debian r-cran-caret)")
def _cox2():
    found = read_r(CARET, "cox2.RData")
    return found["cox2Descr"].astype(float), np.equal(found["cox2Class"], "Active")


@wide_set("dhfr", "caret (Debian r-cran-caret)")
def _dhfr():
    frame = read_r(CARET, "dhfr.RData")["dhfr"]
    return frame.drop(columns="Y"), frame["Y"] == "inactive"


@wide_set("mdrr", "caret (Debian r-cran-caret)")
def _mdrr():
    found = read_r(CARET, "mdrr.RData")
    return found["mdrrDescr"], np.equal(found["mdrrClass"], "Inactive")


@wide_set("faces", "scikit-image")
def _faces():
    """Faces of 25 x 25 pixels; anomalies are other parts of the photographs."""
    try:
        from skimage.data import lfw_subset
    except ImportError:
        raise Unavailable("the package scikit-image is not installed") from None
    images = lfw_subset()
    return pd.DataFrame(images.reshape(len(images), -1)), np.arange(len(images)) >= 100


def _fashion(name, label, black_and_white):
    @wide_set(name, "Fashion-MNIST (Debian dataset-fashion-mnist)")
    def _one_kind():
        X, _, y, _ = fashion_mnist(_IMAGES, 1, 0)
        normal, odd = X[y == label][:_NORMAL_IMAGES], X[y != label][:_ODD_IMAGES]
        rows = pd.DataFrame(np.concatenate([normal, odd]))
        rows = (rows > 0.5).astype(float) if black_and_white else rows
        return rows, np.arange(len(rows)) >= len(normal)


for _label, _name in ((0, "T-shirts"), (4, "coats"), (8, "bags")):
    _fashion(f"fashion, {_name}", _label, black_and_white=False)
    _fashion(f"fashion, {_name}, 0 and 1", _label, black_and_white=True)
