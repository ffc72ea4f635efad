"""
Removing noise, from a corruption or from pairs
===============================================

PCA removes noise by leaving components out. An autoencoder can be trained to remove it: either the
kind of the noise is named, or noisy rows are given together with their clean versions.
"""

# %%
# Digits of which a third of the pixels is lost, and reads 0. ``Masking`` does the same to the
# training images, anew in each step, and the loss compares with the images as they were. PCA learns
# from the clean images, and is given the number of components that is best on these very test
# images.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits, load_sample_image
from sklearn.decomposition import PCA
from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.corruptions import Gaussian, Masking


def cleaned_by(model, noisy):
    return model.inverse_transform(model.transform(noisy))


def error(images, clean):
    return ((images - clean) ** 2).mean()


train, test = train_test_split(load_digits().data / 16, random_state=0)
lost = np.random.default_rng(0).random(test.shape) < 1 / 3
masked = np.where(lost, 0, test)
denoiser = AutoencoderTransformer(
    32,
    corruption=Masking(fraction=1 / 3, fill=0.0),
    hidden_layer_sizes=(256,),
    max_iter=25,
    random_state=0,
).fit(train)
widths = range(2, 33, 2)
by_pca = min((cleaned_by(PCA(k).fit(train), masked) for k in widths), key=lambda x: error(x, test))
rows = {"clean": test, "masked": masked, "PCA": by_pca, "skae": cleaned_by(denoiser, masked)}
print({name: round(float(error(images, test)), 4) for name, images in rows.items()})

figure, axes = plt.subplots(4, 12, figsize=(10, 3.6), layout="constrained")
for line, (name, images) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(line, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")

# %%
# Noise that no name describes. A sensor counts few photons in the dark, so that bright pixels have
# more noise, and some of its lines are brighter than others. Pairs of noisy and clean patches of
# one photograph are to learn from, and another photograph is to be cleaned. The ``Gaussian``
# corruption makes noise of the same size, but equal for all pixels.


def grey(name):
    return load_sample_image(name).mean(axis=2) / 255


rng = np.random.default_rng(0)


def in_lines(image):
    return image + rng.normal(scale=0.08, size=(len(image), 1))


def in_lines_and_the_dark(image):
    return rng.poisson(40 * in_lines(image).clip(min=0)) / 40


china, flower = grey("china.jpg"), grey("flower.jpg")[120:250, 230:400]
size = (8, 8)


def patches(image, n_patches=None):
    return extract_patches_2d(image, size, max_patches=n_patches, random_state=0)


def psnr(image):
    return -10 * np.log10(error(image, flower))


net = AutoencoderTransformer(32, hidden_layer_sizes=(128,), max_iter=15, random_state=0)
for noise in (in_lines, in_lines_and_the_dark):
    pairs = patches(np.dstack([noise(china), china]), 2500).reshape(-1, 64, 2)
    noisy, clean = pairs[..., 0], pairs[..., 1]
    picture = noise(flower)
    rows = patches(picture).reshape(-1, 64)

    def photograph(cleaned):
        """Average what the overlapping patches say of each pixel."""
        return reconstruct_from_patches_2d(cleaned.reshape(-1, *size), flower.shape)

    level = np.sqrt((noisy - clean).var() / clean.var(axis=0).mean())
    components = [PCA(k).fit(clean) for k in (1, 2, 4, 8, 16)]
    linear = LinearRegression().fit(noisy, clean)
    pictures = {
        "noisy": picture,
        "PCA": max((photograph(cleaned_by(pca, rows)) for pca in components), key=psnr),
        "Gaussian corruption": photograph(
            net.set_params(corruption=Gaussian(level)).fit(clean).reconstruct(rows)
        ),
        "linear regression, from pairs": photograph(linear.predict(rows)),
        "skae, from pairs": photograph(
            net.set_params(corruption=None).fit(noisy, target=clean).reconstruct(rows)
        ),
    }
    print(noise.__name__, {name: f"{psnr(image):.1f} dB" for name, image in pictures.items()})

# %%
# Pairs are better than a corruption of the wrong kind. Other models can learn from them, too: if
# the noise is lines alone, a linear regression from the same pairs is better than the autoencoder.
# With the noise of the photons, which depends on the brightness, the autoencoder is the best of the
# four, by a little. The picture shows this second noise. PCA has the number of components that is
# best for this picture.

figure, axes = plt.subplots(2, 3, figsize=(10, 5.8), layout="constrained")
for ax, (name, image) in zip(axes.flat, {"clean": flower, **pictures}.items(), strict=True):
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set(title=name, xticks=[], yticks=[])
plt.show()
