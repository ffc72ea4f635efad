"""Data sets with known anomalies."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from .datasets import ADBENCH, find_file, read_mlbench

SETTINGS = ("contaminated", "clean")
MOST_ROWS, MOST_ON_EACH_SIDE = 4000, 3000


@dataclass(frozen=True)
class Labelled:
    """A data set whose rows are normal (0) or anomalies (1), and the name of one that equals it."""

    load: Callable[[], tuple[np.ndarray, ...]]
    source: str
    twin: str | None = None

    def rows(self):
        """Return all rows and their labels."""
        return self.load()

    def split(self, setting, seed):
        """Return rows to fit, with or without the anomalies, rows to judge, and their labels."""
        X, y = self.load()
        if len(X) > MOST_ROWS:
            X, _, y, _ = train_test_split(X, y, train_size=MOST_ROWS, stratify=y, random_state=seed)
        train, test, known, truth = train_test_split(
            X, y, test_size=0.3, stratify=y, random_state=seed
        )
        return (train[known == 0] if setting == "clean" else train), test, truth


class Presplit(Labelled):
    """A data set whose normal rows to fit and rows to judge, with labels, are given."""

    def rows(self):
        train, test, truth = self.load()
        return np.vstack([train, test]), np.concatenate([np.zeros(len(train), int), truth])

    def split(self, setting, seed):
        """Return rows to fit, with half of those to judge or without, the others, and labels."""
        train, test, truth = self.load()
        rng = np.random.default_rng(seed)
        if setting == "contaminated":
            moved, judged = np.array_split(rng.permutation(len(test)), 2)
            train, test, truth = np.vstack([train, test[moved]]), test[judged], truth[judged]
        train = train[rng.permutation(len(train))[:MOST_ON_EACH_SIDE]]
        judged = rng.permutation(len(test))[:MOST_ON_EACH_SIDE]
        return train, test[judged], truth[judged]


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


def oddbench(folder):
    """Return the sets of OddBench's collection in a folder, a file each, by name."""

    def loader(path):
        def load():
            data = np.load(path, allow_pickle=True)
            rows = (np.asarray(data[name], dtype=np.float64) for name in ("train", "test"))
            return *rows, np.asarray(data["test_labels"]).astype(int)

        return load

    paths = sorted(Path(folder).glob("*.npz"))
    if not paths:
        raise ValueError(f"no .npz files of OddBench in {folder}")
    return {f"oddbench/{path.stem}": Presplit(loader(path), "OddBench") for path in paths}
