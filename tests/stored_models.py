"""Models in files that every later version must load: ``python -m tests.stored_models``.

The command adds the files that `models` has and the folder lacks. A file that is there stays as it
is, whatever version has written it: what it is for is that later versions load it.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.architectures import ARCHITECTURES
from skae.io import save
from skae.scorings import SCORINGS
from skae.tables import TableAnomalyDetector, TableAutoencoder

FOLDER = Path(__file__).parent / "data" / "models"
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 2, "early_stopping": False, "random_state": 0}
FEW = SMALL | {"n_folds": 2}
# What is compared, of those that a model has.
METHODS = ("transform", "reconstruct", "score_samples", "p_values")


def as_table(X):
    """Return rows as a table of numbers, text and dates, with a gap."""
    dates = pd.Timestamp(2024, 1, 1) + pd.to_timedelta(np.arange(len(X)), unit="D")
    table = pd.DataFrame({"price": X[:, 0], "item": np.where(X[:, 1] > 0, "tea", "cake")})
    table["sold"] = dates
    table.loc[3, ["price", "item"]] = np.nan
    return table


def models():
    """Return {name: unfitted model}, one for each architecture and scoring, and some others."""
    found = {
        f"architecture {name}": AutoencoderTransformer(
            2, architecture=name, input_shape=(6,), **SMALL
        )
        for name in ARCHITECTURES
    }
    found |= {
        f"scoring {name}": AutoencoderAnomalyDetector(2, scoring=name, **FEW) for name in SCORINGS
    }
    found["pipeline"] = make_pipeline(StandardScaler(), AutoencoderTransformer(2, **SMALL))
    autoencoder = AutoencoderTransformer(**SMALL)
    found["table autoencoder"] = TableAutoencoder(2, autoencoder=autoencoder)
    detector = AutoencoderAnomalyDetector(2, **FEW)
    found["table detector"] = TableAnomalyDetector(detector=detector)
    return found


def rows_for(name, X):
    """Return what a model of a name takes."""
    return as_table(X) if name.startswith("table") else X


def outputs(model, X):
    """Return {method: array of what it returns}; a table's reconstruction is no array."""
    found = {name: getattr(model, name)(X) for name in METHODS if hasattr(model, name)}
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def write():
    """Write the files that are not there."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    X = np.random.default_rng(0).normal(size=(40, 6))
    for name, model in models().items():
        path = FOLDER / f"{name.replace(' ', '-')}.skops"
        if not path.exists():
            rows = rows_for(name, X)
            save(model.fit(rows), path)
            np.savez_compressed(path.with_suffix(".npz"), X=X, **outputs(model, rows))


if __name__ == "__main__":
    write()
