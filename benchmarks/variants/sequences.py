"""Recurrent and convolutional nets on sequences."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.architectures import Convolutional, Recurrent

from ..corpora import series
from ._figures import fitted, linear_accuracy
from ._registry import family

_SETS = {"ItalyPowerDemand": (2, 8), "JapaneseVowels": (8,), "BasicMotions": (8,), "GunPoint": (8,)}


@family("sequences")
def sequences(seed):
    for name, widths in _SETS.items():
        X, y = series(name)
        train, test, y_train, y_test = train_test_split(
            X, y, test_size=0.3, stratify=y, random_state=seed
        )
        mean, deviation = np.nanmean(train, (0, 1)), np.nanstd(train, (0, 1))
        train, test = ((part - mean) / deviation for part in (train, test))
        observed = ~np.isnan(test).reshape(len(test), -1)
        shape = X.shape[1:]
        for k in widths:

            def net(architecture, k=k, shape=shape, **params):
                return AutoencoderTransformer(
                    k, architecture=architecture, input_shape=shape, random_state=seed, **params
                )

            nets = {
                "PCA": (PCA(k, random_state=seed), False),
                "dense": (net("dense", max_iter=100), False),
                "convolutional": (net(Convolutional(n_dims=1), max_iter=100), False),
                "recurrent": (net(Recurrent(), max_iter=100), True),
            }
            if not observed.all():
                nets |= {
                    "recurrent, LSTM": (net(Recurrent("lstm"), max_iter=100), True),
                    "recurrent, both directions": (
                        net(Recurrent(bidirectional=True), max_iter=100),
                        True,
                    ),
                }

            def measure(model, takes_padding, train=train, test=test, observed=observed,
                        y_train=y_train, y_test=y_test):  # fmt: skip
                parts = [part.reshape(len(part), -1) for part in (train, test)]
                if not takes_padding:
                    # the mean of each channel
                    parts = [np.nan_to_num(part) for part in parts]
                model, seconds = fitted(model, parts[0])
                Z_train, Z_test = map(model.transform, parts)
                residual = model.inverse_transform(Z_test) - np.nan_to_num(
                    test.reshape(len(test), -1)
                )
                return {
                    "error": (residual[observed] ** 2).mean(),
                    "accuracy": linear_accuracy(Z_train, y_train, Z_test, y_test),
                    "fit_seconds": seconds,
                }

            yield (
                name,
                k,
                {title: lambda pair=pair: measure(*pair) for title, pair in nets.items()},
            )
