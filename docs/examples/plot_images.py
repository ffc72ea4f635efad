"""
Images: removing noise, drawing new ones, going from one to another
===================================================================

Three things that an autoencoder of images does and PCA does not, or not as well.
"""

# %%
# A convolutional net learns to see through noise. Both it and PCA have clean images to learn from,
# and PCA has the width of code that is best for the noisy ones.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.corruptions import Gaussian

train, test = train_test_split(load_digits().data / 16, random_state=0)
noisy = test + np.random.default_rng(0).normal(scale=0.3, size=test.shape)
level = 0.3 / np.sqrt(train.var(axis=0).mean())

denoiser = AutoencoderTransformer(
    32,
    architecture="convolutional",
    input_shape=(8, 8),
    corruption=Gaussian(level),
    max_iter=40,
    random_state=0,
).fit(train)


def error(images):
    return ((images - test) ** 2).mean()


def by_pca(k):
    pca = PCA(k).fit(train)
    return pca.inverse_transform(pca.transform(noisy))


best = min((by_pca(k) for k in range(4, 33, 4)), key=error)
cleaned = denoiser.reconstruct(noisy)
print(f"squared error: noisy {error(noisy):.4f}, PCA {error(best):.4f}, skae {error(cleaned):.4f}")


def show(rows, titles, n_images=12):
    _, axes = plt.subplots(
        len(rows), n_images, figsize=(10, 0.95 * len(rows)), layout="constrained"
    )
    for line, images, title in zip(axes, rows, titles, strict=True):
        for ax, image in zip(line, images, strict=False):
            ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(title, rotation=0, ha="right", va="center")


show([test, noisy, best, cleaned], ["clean", "noisy", "PCA", "skae"])

# %%
# New images: codes drawn from a mixture of normal distributions that is fitted to the codes of the
# training images, and decoded. With ``penalty="variational"`` codes are drawn from the prior.

plain = AutoencoderTransformer(8, max_iter=60, random_state=0).fit(train)
variational = AutoencoderTransformer(
    8, penalty="variational", loss="binary_cross_entropy", max_iter=60, random_state=0
).fit(train)
show(
    [plain.sample(12, random_state=0), variational.sample(12, random_state=0)],
    ["mixture", "variational"],
)

# %%
# From one image to another, along the line between their codes, and along the line between their
# pixels.

a, b = train[1], train[3]
pixels = np.linspace(a, b, 12)
show([plain.interpolate(a, b, n_steps=12), pixels], ["codes", "pixels"])
