"""Data sets with known anomalies."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .datasets import ADBENCH, find_file, read_mlbench


@dataclass(frozen=True)
class Labelled:
    """A data set whose rows are normal (0) or anomalies (1), and the name of one that equals it."""

    load: Callable[[], tuple[np.ndarray, np.ndarray]]
    source: str
    twin: str | None = None


LABELLED: dict[str, Labelled] = {}


def _adbench(name, file):
    def load():
        data = np.load(find_file(ADBENCH, f"{file}.npz"), allow_pickle=False)
        return data["X"].astype(np.float64), data["y"].astype(int)

    LABELLED[name] = Labelled(load, "ADBench")


def _mlbench(name, file, target, anomalies, left_out=(), twin=None):
    def load():
        frame = read_mlbench(file)
        frame = frame[~frame[target].isin(left_out)]
        labels = frame.pop(target).isin(anomalies)
        frame = frame.drop(columns="Id", errors="ignore").astype(float)
        whole = frame.notna().all(axis=1)
        return frame[whole].to_numpy(), labels[whole].to_numpy().astype(int)

    LABELLED[f"{name} (mlbench)"] = Labelled(load, "mlbench (Debian r-cran-mlbench)", twin)


for _file in (
    "2_annthyroid",
    "4_breastw",
    "12_fault",
    "14_glass",
    "19_landsat",
    "26_optdigits",
    "27_PageBlocks",
    "28_pendigits",
    "29_Pima",
    "30_satellite",
    "32_shuttle",
    "37_Stamps",
    "41_Waveform",
    "44_Wilt",
):
    _adbench(_file.partition("_")[2].lower(), _file)
# Anomalies as in ODDS (Rayana, 2016) where the set is there, else the rarest class.
_mlbench("breastw", "BreastCancer", "Class", ["malignant"], twin="breastw")
_mlbench("glass", "Glass", "Type", ["6"])
_mlbench("ionosphere", "Ionosphere", "Class", ["bad"])
_mlbench("letter", "LetterRecognition", "lettr", ["H"])
_mlbench("pima", "PimaIndiansDiabetes", "diabetes", ["pos"], twin="pima")
_mlbench(
    "satellite",
    "Satellite",
    "classes",
    ["cotton crop", "damp grey soil", "vegetation stubble"],
    twin="satellite",
)
_mlbench(
    "shuttle",
    "Shuttle",
    "Class",
    ["Bypass", "Bpv.Close", "Bpv.Open", "Fpv.Close", "Fpv.Open"],
    left_out=["High"],
    twin="shuttle",
)
_mlbench("sonar", "Sonar", "Class", ["R"])
_mlbench("vehicle", "Vehicle", "Class", ["van"])
_mlbench("vowel", "Vowel", "Class", ["hid"])
