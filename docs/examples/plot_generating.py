"""
New images from PCA and from a variational autoencoder
======================================================

Probabilistic PCA is a distribution of rows, from which new ones can be drawn. The variational
autoencoder starts as this distribution and bends it.
"""

# %%
# Both have eight components. The code of probabilistic PCA is normal, and the pixels have the
# variance ``noise_variance_`` about the reconstruction. Its ``score`` is the mean log likelihood of
# images, and ``score_samples`` of the autoencoder is a lower bound of its own: both in nats, of the
# same unseen images.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict, train_test_split

from skae import AutoencoderTransformer

X, y = load_digits(return_X_y=True)
train, test, y_train, _ = train_test_split(X / 16, y, random_state=0)
params = {"hidden_layer_sizes": (256,), "max_iter": 60, "random_state": 0}
pca = PCA(8).fit(train)
variational = AutoencoderTransformer(8, penalty="variational", **params).fit(train)
plain = AutoencoderTransformer(8, **params).fit(train)
print(f"log likelihood of an unseen image, in nats: PCA {pca.score(test):.1f}, ", end="")
print(f"variational at least {variational.score_samples(test).mean():.1f}")

# %%
# Codes are drawn from the normal distribution and decoded, without the noise of the pixels. An
# autoencoder without a penalty has no such distribution, and ``sample`` fits a mixture of ten to the
# codes of the training images.


def of_pca(n_samples):
    rng = np.random.default_rng(0)
    deviations = np.sqrt(pca.explained_variance_ - pca.noise_variance_)
    return pca.inverse_transform(rng.normal(scale=deviations, size=(n_samples, 8)))


n = len(test)
samples = {
    "real": test,
    "PCA": of_pca(n),
    "variational": variational.sample(n, random_state=0),
    "mixture": plain.sample(n, random_state=0),
}
figure, axes = plt.subplots(4, 14, figsize=(10, 3.1), layout="constrained")


def show(line, images, title):
    for ax, image in zip(line, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(title, rotation=0, ha="right", va="center")


for line, (name, images) in zip(axes, samples.items(), strict=True):
    show(line, images, name)

# %%
# How good are they? A forest that tells digits apart says how sure it is of each image. And a
# second one, trained to tell new images from real ones, says how often it is right: half of the
# time would be best. The real images are reconstructed first, as all that eight numbers keep,
# by the model that made the new ones, so that it cannot go by sharpness alone.

forest = RandomForestClassifier(100, random_state=0).fit(train, y_train)
models = {"PCA": pca, "variational": variational, "mixture": plain}
print(f"real: sure of its digit {forest.predict_proba(test).max(axis=1).mean():.2f}")
for name, model in models.items():
    sure = forest.predict_proba(samples[name]).max(axis=1).mean()
    both = np.concatenate([model.inverse_transform(model.transform(test)), samples[name]])
    truth = np.arange(len(both)) < n
    told = cross_val_predict(RandomForestClassifier(100, random_state=0), both, truth, cv=3)
    print(f"{name}: sure of its digit {sure:.2f}, told from real {np.mean(told == truth):.0%}")

# %%
# From a 0 to a 1 and from a 2 to a 6: the images that belong to the codes on the straight line
# between two images. PCA's path is a cross-fade; ``interpolate`` goes along the digits.

figure, axes = plt.subplots(4, 14, figsize=(10, 3.1), layout="constrained")
steps = np.linspace(0, 1, 14)[:, None]
for lines, (first, last) in zip((axes[:2], axes[2:]), ((0, 1), (2, 6)), strict=True):
    a, b = (train[y_train == digit][0] for digit in (first, last))
    path = (1 - steps) * pca.transform([a]) + steps * pca.transform([b])
    show(lines[0], pca.inverse_transform(path), "PCA")
    show(lines[1], variational.interpolate(a, b, n_steps=14), "variational")
plt.show()
