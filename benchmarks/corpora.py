"""Real images, sequences and sentences with labels, for the benchmark of the variants."""

import gzip
import importlib.util
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from .datasets import FASHION, Unavailable, find_file

AEON = "SKAE_AEON"
WORDNET = "SKAE_WORDNET"


def _bytes(kind, offset):
    with gzip.open(find_file(FASHION, kind)) as file:
        return np.frombuffer(file.read(), np.uint8, offset=offset)


def fashion_mnist(n_train, n_test, seed):
    """Return training images, test images and both labels: rows of 28 x 28 pixels in [0, 1]."""
    parts = []
    for kind, n_rows in (("train", n_train), ("t10k", n_test)):
        X = _bytes(f"{kind}-images-idx3-ubyte.gz", 16).reshape(-1, 784)
        y = _bytes(f"{kind}-labels-idx1-ubyte.gz", 8)
        rows = np.random.default_rng(seed).choice(len(X), n_rows, replace=False)
        parts.append((X[rows].astype(np.float32) / 255, y[rows]))
    (train, y_train), (test, y_test) = parts
    return train, test, y_train, y_test


def _aeon_folder():
    if AEON in os.environ:
        return Path(os.environ[AEON])
    found = importlib.util.find_spec("aeon")
    if found is None:
        raise Unavailable(
            "the package aeon is not installed (pip install --no-deps aeon is enough: only its "
            "bundled data are read)"
        )
    return Path(found.submodule_search_locations[0]) / "datasets" / "data"


def _read_ts(path):
    """Yield the channels and the label of each series of a file in the .ts format."""
    _, data = path.read_text().lower().split("@data\n")
    for line in data.strip().splitlines():
        *channels, label = line.split(":")
        yield [np.array(c.split(","), dtype=float) for c in channels], label


def series(name):
    """Return the series of a set bundled with aeon, and their labels.

    Parameters
    ----------
    name : str

    Returns
    -------
    X : ndarray of shape (n_samples, n_steps, n_channels)
        Shorter series end in NaN.
    y : ndarray of shape (n_samples,)
    """
    folder = _aeon_folder() / name
    found = [case for part in ("TRAIN", "TEST") for case in _read_ts(folder / f"{name}_{part}.ts")]
    n_steps = max(len(channels[0]) for channels, _ in found)
    X = np.full((len(found), n_steps, len(found[0][0])), np.nan)
    for row, (channels, _) in zip(X, found, strict=True):
        row[: len(channels[0])] = np.column_stack(channels)
    return X, np.array([label for _, label in found])


def glosses(n_rows, n_topics, seed):
    """Return definitions of nouns in WordNet and their topics, the most frequent of its 26.

    Returns
    -------
    texts : list of str
    topics : ndarray of int
    """
    folder = Path(os.environ.get(WORDNET, "/usr/share/wordnet"))
    if not (folder / "data.noun").is_file():
        raise Unavailable(f"no file {folder / 'data.noun'} (apt-get install wordnet-base)")
    found = []
    for line in (folder / "data.noun").read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            continue
        gloss = line.split("|")[1].split(";")[0].strip()
        found.append((gloss, int(line.split()[1])))
    common = [topic for topic, _ in Counter(topic for _, topic in found).most_common(n_topics)]
    found = [(gloss, topic) for gloss, topic in found if topic in common]
    texts, topics = zip(*found, strict=True)
    kept, _ = train_test_split(
        np.arange(len(texts)), train_size=n_rows, stratify=topics, random_state=seed
    )
    return [texts[i] for i in kept], np.array(topics)[kept]


def words(text):
    """Return the words of a text."""
    return re.findall(r"[a-z]+", text.lower())
