"""What `memory` runs in a process of its own: read X, wait for a word, fit."""

import json
import resource
import sys

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer

from ._engine import seconds

# A fit that needs more is to fail by itself, before the machine ends something else.
_MOST = 8 * 10**9


def _read(path, mapped):
    if path.endswith(".npz"):
        return sp.load_npz(path)
    return np.load(path, mmap_mode="r" if mapped else None)


def _tell(**answer):
    print(json.dumps(answer), flush=True)


def main():
    task = json.loads(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST, _MOST))
    X = _read(task["path"], task["mapped"])
    peers = {"skae": AutoencoderTransformer, "PCA": PCA}
    params = task["params"] if task["peer"] == "skae" else {}

    def new(k):
        return peers[task["peer"]](k, random_state=0, **params)

    # What is loaded and made at the first fit is not of X.
    new(2).fit(np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32))
    _tell(ready=True)
    sys.stdin.readline()
    try:
        _tell(seconds=seconds(lambda: new(task["k"]).fit(X)))
    except Exception as error:
        _tell(error=f"{type(error).__name__}: {error}".splitlines()[0])
    # The figures of a process that has ended cannot be read.
    sys.stdin.readline()


if __name__ == "__main__":
    main()
