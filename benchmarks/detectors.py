"""The anomaly detectors that are compared. Adding one is one entry in `DETECTORS`.

Each is a function of the share of anomalies, or None for its default, and the seed; it returns an
estimator with scikit-learn's or PyOD's interface.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM

from skae import AutoencoderAnomalyDetector


@dataclass(frozen=True)
class Detector:
    """A way to make a detector, the package it needs, and whether it must be told X's width."""

    make: Callable
    package: str
    calibrated: bool = False
    sized: bool = False

    def odd(self, model, X):
        """Return scores that are higher for odder rows."""
        if self.package == "pyod":
            return model.decision_function(X)
        return -model.score_samples(X)

    def flags(self, model, X):
        """Return which rows the model calls anomalies."""
        label = 1 if self.package == "pyod" else -1
        return model.predict(X) == label


def _share(name, contamination):
    return {} if contamination is None else {name: contamination}


class DTENP:
    """Mean squared distance to five neighbours: DTE-NP of V. Livernoche et al., ICLR 2024."""

    def fit(self, X):
        self.neighbors = NearestNeighbors(n_neighbors=5).fit(X)
        return self

    def score_samples(self, X):
        """Return scores that are lower for odder rows."""
        return -np.mean(self.neighbors.kneighbors(X)[0] ** 2, axis=1)


def _skae(**params):
    def make(contamination, seed):
        share = _share("contamination", contamination)
        return AutoencoderAnomalyDetector(random_state=seed, **params, **share)

    return make


def dte_np(contamination, seed):
    return DTENP()


def isolation_forest(contamination, seed):
    return IsolationForest(random_state=seed, **_share("contamination", contamination))


def lof(contamination, seed):
    return LocalOutlierFactor(novelty=True, **_share("contamination", contamination))


def svm(contamination, seed):
    return OneClassSVM(**_share("nu", contamination))


def envelope(contamination, seed):
    return EllipticEnvelope(random_state=seed, **_share("contamination", contamination))


def _pyod(name, module, seeded=True):
    def make(contamination, seed, **params):
        cls = getattr(importlib.import_module(f"pyod.models.{module}"), name)
        params |= _share("contamination", contamination)
        if seeded:
            params["random_state"] = seed
        return cls(**params)

    return make


# What the default is chosen from: see `summary.choose_on_halves`.
CANDIDATES = {
    "skae": {},
    "skae, mahalanobis": {"scoring": "mahalanobis"},
    "skae, neighbors": {"scoring": "neighbors"},
    "skae, whitened": {"scoring": "whitened"},
    "skae, reconstruction": {"scoring": "reconstruction"},
}
DETECTORS = {
    title: Detector(_skae(**params), "skae", calibrated=title == "skae")
    for title, params in CANDIDATES.items()
} | {
    "IsolationForest": Detector(isolation_forest, "sklearn", calibrated=True),
    "LocalOutlierFactor": Detector(lof, "sklearn", calibrated=True),
    "OneClassSVM": Detector(svm, "sklearn", calibrated=True),
    "EllipticEnvelope": Detector(envelope, "sklearn"),
    "DTE-NP": Detector(dte_np, "sklearn"),
    "PyOD AutoEncoder": Detector(_pyod("AutoEncoder", "auto_encoder"), "pyod", calibrated=True),
    "PyOD VAE": Detector(_pyod("VAE", "vae"), "pyod"),
    "PyOD DeepSVDD": Detector(_pyod("DeepSVDD", "deep_svdd"), "pyod", sized=True),
    "PyOD ECOD": Detector(_pyod("ECOD", "ecod", seeded=False), "pyod"),
    "PyOD COPOD": Detector(_pyod("COPOD", "copod", seeded=False), "pyod"),
    "PyOD KNN": Detector(_pyod("KNN", "knn", seeded=False), "pyod"),
    "PyOD MCD": Detector(_pyod("MCD", "mcd"), "pyod"),
    "PyOD CBLOF": Detector(_pyod("CBLOF", "cblof"), "pyod"),
    "PyOD HBOS": Detector(_pyod("HBOS", "hbos", seeded=False), "pyod"),
    "PyOD INNE": Detector(_pyod("INNE", "inne"), "pyod"),
    "PyOD KDE": Detector(_pyod("KDE", "kde", seeded=False), "pyod"),
    "PyOD LUNAR": Detector(_pyod("LUNAR", "lunar", seeded=False), "pyod"),
}
