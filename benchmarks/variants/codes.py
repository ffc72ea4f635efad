"""What sparse, contractive and ordered codes are good for."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.penalties import Contractive, Ordered, Sparse

from ..corpora import fashion_mnist
from ._figures import fitted, rebuilt
from ._registry import family

_EPOCHS = 40
# An entry is nearly zero below this share of its root mean square.
_NEAR_ZERO = 0.1
# Noise that moves a code, in units of the root of the features' mean variance.
_NUDGE = 0.1
# The spread of codes is half the distance between these percentiles: few codes may lie far away. A
# row that moves by more than so many spreads has another code altogether.
_CENTRAL, _JUMP = (15.87, 84.13), 1.0


def _images(seed):
    digits = load_digits().data / 16
    yield ("digits", *train_test_split(digits, test_size=0.25, random_state=seed))
    yield ("fashion_mnist_5k", *fashion_mnist(5_000, 2_000, seed)[:2])


@family("sparse")
def sparse(seed):
    for name, train, test in _images(seed):
        k = 32
        penalties = {
            "skae without penalty": None,
            **{f'Sparse("l1", weight={w:g})': Sparse(weight=w) for w in (0.5, 2.0, 5.0)},
            'Sparse("kl", weight=2)': Sparse("kl", weight=2.0),
        }

        def measure(model, train=train, test=test):
            model.fit(train)
            codes = model.transform(test)
            size = np.abs(codes) / np.sqrt((codes**2).mean(0))
            return {
                "near_zero": (size < _NEAR_ZERO).mean(),
                "mean_size": size.mean(),
                "error": ((test - model.inverse_transform(codes)) ** 2).mean(),
            }

        peers = {"PCA": lambda k=k, measure=measure: measure(PCA(k, random_state=seed))}
        for title, penalty in penalties.items():
            model = AutoencoderTransformer(k, penalty=penalty, max_iter=_EPOCHS, random_state=seed)
            peers[title] = lambda model=model, measure=measure: measure(model)
        yield name, k, peers


def _in_spreads(steps, codes):
    """Return how far each row's code moves, by the spread of most codes in each component."""
    low, high = np.percentile(codes, _CENTRAL, axis=0)
    return np.sqrt(((2 * steps / (high - low)) ** 2).mean(1))


@family("contractive")
def contractive(seed):
    for name, train, test in _images(seed):
        k = 8
        noise = np.random.default_rng(seed).normal(size=test.shape)
        nudged = (test + _NUDGE * np.sqrt(train.var(0).mean()) * noise).astype(test.dtype)

        def measure(model, train=train, test=test, nudged=nudged):
            model, seconds = fitted(model, train)
            codes = model.transform(test)
            movement = _in_spreads(model.transform(nudged) - codes, codes)
            return {
                "movement": np.median(movement),
                "jumps": (movement > _JUMP).mean(),
                "error": ((test - model.inverse_transform(codes)) ** 2).mean(),
                "fit_seconds": seconds,
            }

        peers = {"PCA": lambda k=k, measure=measure: measure(PCA(k, random_state=seed))}
        for title, penalty in {
            "skae without penalty": None,
            **{f"Contractive(weight={w:g})": Contractive(w) for w in (0.1, 1.0, 3.0)},
        }.items():
            model = AutoencoderTransformer(k, penalty=penalty, max_iter=_EPOCHS, random_state=seed)
            peers[title] = lambda model=model, measure=measure: measure(model)
        yield name, k, peers


@family("ordered")
def ordered(seed):
    k = 16
    for name, train, test in _images(seed):

        def first(model, test=test):
            """Return the error with the first 1, 2, 4, ... components."""
            codes = model.transform(test)
            errors = {}
            for j in (1, 2, 4, 8, 16):
                kept = np.where(np.arange(k) < j, codes, 0).astype(codes.dtype)
                errors[f"error_{j}"] = ((test - model.inverse_transform(kept)) ** 2).mean()
            return errors

        def one(model, train=train, first=first):
            return first(model.fit(train))

        def separate(train=train, test=test):
            return {
                f"error_{j}": ((test - rebuilt(net(j, None).fit(train), test)) ** 2).mean()
                for j in (1, 2, 4, 8, 16)
            }

        def net(width, penalty):
            return AutoencoderTransformer(
                width, penalty=penalty, max_iter=_EPOCHS, random_state=seed
            )

        yield (
            name,
            k,
            {
                "PCA": lambda one=one: one(PCA(k, random_state=seed)),
                "skae without penalty": lambda one=one, net=net: one(net(k, None)),
                "skae, ordered": lambda one=one, net=net: one(net(k, Ordered())),
                "skae, a fit for each width": separate,
            },
        )
