"""Denoising of images: nets that were trained on noise against PCA and scikit-image's filters."""

import numpy as np
from scipy.ndimage import median_filter
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer
from skae.corruptions import Gaussian, Masking, SaltAndPepper

from ..corpora import fashion_mnist
from ..datasets import Unavailable
from ._figures import mean_psnr, rebuilt
from ._registry import family

_NOISE, _SHARE, _SPOILT = 0.3, 0.3, 0.2
_N_COMPONENTS, _EPOCHS = 128, 30


def _best(figures):
    """Return the best of several settings: the most that the method can do on these images."""
    return {"psnr": max(figures)}


def _filter(function, images, clean, settings):
    square = images.reshape(-1, 28, 28)
    return _best(
        mean_psnr(
            clean, np.stack([function(image, **setting) for image in square]).reshape(clean.shape)
        )
        for setting in settings
    )


@family("denoising")
def denoising(seed):
    try:
        from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
    except ImportError:
        raise Unavailable("the package scikit-image is not installed") from None
    train, test, _, _ = fashion_mnist(10_000, 1_000, seed)
    random = np.random.default_rng(seed)
    noisy = (test + random.normal(0, _NOISE, test.shape)).astype(np.float32)
    masked = np.where(random.random(test.shape) < _SHARE, 0, test).astype(np.float32)
    ends = np.where(random.random(test.shape) < _SPOILT, random.integers(2, size=test.shape), test)
    unit = np.sqrt(train.var(0).mean())
    for title, seen, corruption in (
        ("fashion_mnist_10k, noise .3", noisy, Gaussian(_NOISE / float(unit))),
        ("fashion_mnist_10k, 30 % masked", masked, Masking(_SHARE, fill=0.0)),
        ("fashion_mnist_10k, 20 % 0 or 1", ends.astype(np.float32), SaltAndPepper(_SPOILT)),
    ):

        def pca(seen=seen):
            return _best(
                mean_psnr(test, rebuilt(PCA(k, random_state=seed).fit(train), seen))
                for k in (16, 32, 48, 64, 96, 128, 192)
            )

        def net(corruption, seen=seen):
            model = AutoencoderTransformer(
                _N_COMPONENTS, corruption=corruption, max_iter=_EPOCHS, random_state=seed
            ).fit(train)
            return {"psnr": mean_psnr(test, rebuilt(model, seen))}

        yield (
            title,
            _N_COMPONENTS,
            {
                "as it is": lambda seen=seen: {"psnr": mean_psnr(test, seen)},
                "PCA, its best k": pca,
                "skae without corruption": lambda net=net: net(None),
                "skae": lambda net=net, corruption=corruption: net(corruption),
                "median_filter, its best size": lambda seen=seen: _filter(
                    median_filter, seen, test, [{"size": size} for size in (3, 5)]
                ),
                "denoise_tv_chambolle, its best weight": lambda seen=seen: _filter(
                    denoise_tv_chambolle, seen, test, [{"weight": w} for w in (0.05, 0.1, 0.2, 0.3)]
                ),
                "denoise_nl_means, its best h": lambda seen=seen: _filter(
                    denoise_nl_means,
                    seen,
                    test,
                    [
                        {"h": h * _NOISE, "sigma": _NOISE, "patch_size": 5, "patch_distance": 6}
                        for h in (0.4, 0.6, 0.8, 1.0)
                    ],
                ),
            },
        )
