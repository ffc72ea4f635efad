"""How good the samples of generative variants are."""

import numpy as np
from scipy.linalg import sqrtm
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neural_network import MLPClassifier

from skae import AutoencoderTransformer
from skae.penalties import MMD, Adversarial, Variational

from ..corpora import fashion_mnist
from ._figures import discrepancy, fitted
from ._registry import family

_N_SAMPLES, _EPOCHS, _K = 2_000, 40, 16


def _frechet(A, B):
    """Return the Fréchet distance of the normal distributions that two samples have."""
    between = sqrtm(np.cov(A.T) @ np.cov(B.T)).real
    spread = np.trace(np.cov(A.T) + np.cov(B.T) - 2 * between)
    return ((A.mean(0) - B.mean(0)) ** 2).sum() + spread


class _PCAMixture:
    """Samples from a mixture of normal distributions on PCA's scores."""

    def __init__(self, k, seed):
        self.pca, self.seed = PCA(k, random_state=seed), seed

    def fit(self, X):
        self.mixture = GaussianMixture(10, random_state=self.seed)
        self.mixture.fit(self.pca.fit_transform(X.astype(np.float64)))
        return self

    def transform(self, X):
        return self.pca.transform(X)

    def inverse_transform(self, Z):
        return self.pca.inverse_transform(Z)

    def sample(self, n_samples, random_state):
        return self.pca.inverse_transform(self.mixture.sample(n_samples)[0])


@family("generative")
def generative(seed):
    train, test, y_train, _ = fashion_mnist(10_000, 5_000, seed)
    judge = MLPClassifier((128,), early_stopping=True, random_state=seed)
    judge.fit(train, y_train)
    space = PCA(50, random_state=seed).fit(train)
    # the spread of the prior: that of the codes at the start
    unit = PCA(_K, random_state=seed).fit_transform(train).std(0)
    random = np.random.default_rng(seed)

    def judged(images):
        images = np.clip(images, 0, 1)
        odds = judge.predict_proba(images) + 1e-12
        share = odds.mean(0)
        return {
            "confidence": odds.max(1).mean(),
            # the inception score of this classifier: sure of each, and of all classes
            "inception_score": np.exp((odds * np.log(odds / share)).sum(1).mean()),
            "frechet": _frechet(space.transform(images), space.transform(test)),
        }

    def net(**params):
        return AutoencoderTransformer(_K, max_iter=_EPOCHS, random_state=seed, **params)

    def measure(model):
        model, seconds = fitted(model, train)
        codes = model.transform(test)
        rebuilt = model.inverse_transform(codes)
        normal = random.normal(size=(2_000, _K))
        figures = {
            "error": ((test - rebuilt) ** 2).mean(),
            "discrepancy": discrepancy(codes[:2_000] / unit, normal),
            "fit_seconds": seconds,
            **judged(model.sample(_N_SAMPLES, random_state=seed)),
        }
        if hasattr(model, "score_samples"):
            figures["bound"] = model.score_samples(test).mean()
        return figures

    models = {
        "PCA and a mixture": _PCAMixture(_K, seed),
        "skae and a mixture": net(),
        "variational": net(penalty=Variational()),
        "variational, beta 4": net(penalty=Variational(beta=4.0)),
        "variational, binary cross-entropy": net(
            penalty=Variational(), loss="binary_cross_entropy"
        ),
        "adversarial": net(penalty=Adversarial()),
        "mmd": net(penalty=MMD()),
    }
    peers = {name: lambda model=model: measure(model) for name, model in models.items()}
    yield (
        "fashion_mnist_10k",
        _K,
        {"real images": lambda: judged(train[:_N_SAMPLES]), **peers},
    )
