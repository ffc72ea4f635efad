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
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_predict, train_test_split

from skae import AutoencoderTransformer

X, y = load_digits(return_X_y=True)
train, test, y_train, _ = train_test_split(X / 16, y, random_state=0)
params = {"hidden_layer_sizes": (128,), "max_iter": 50, "random_state": 0}
pca = PCA(8).fit(train)
variational = AutoencoderTransformer(8, penalty="variational", **params).fit(train)
plain = AutoencoderTransformer(8, **params).fit(train)
print(f"log likelihood of an unseen image, in nats: PCA {pca.score(test):.1f}, ", end="")
print(f"variational at least {variational.score_samples(test).mean():.1f}")

# %%
# Codes are drawn from the normal distribution and decoded, without the noise of the pixels. An
# autoencoder without a penalty has no such distribution, and ``sample`` fits a mixture of ten
# normal distributions to the codes of the training images. The same is done with PCA's.


def of_pca(n_samples):
    rng = np.random.default_rng(0)
    deviations = np.sqrt(pca.explained_variance_ - pca.noise_variance_)
    return pca.inverse_transform(rng.normal(scale=deviations, size=(n_samples, 8)))


n = len(test)
mixture = GaussianMixture(10, random_state=0).fit(pca.transform(train))
order = np.random.default_rng(0).permutation(n)
samples = {
    "real": test,
    "PCA": of_pca(n),
    "PCA, mixture": pca.inverse_transform(mixture.sample(n)[0][order]),
    "variational": variational.sample(n, random_state=0),
    "skae, mixture": plain.sample(n, random_state=0),
}
figure, axes = plt.subplots(5, 14, figsize=(10, 3.9), layout="constrained")


def show(line, images, title):
    for ax, image in zip(line, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(title, rotation=0, ha="right", va="center")


for line, (name, images) in zip(axes, samples.items(), strict=True):
    show(line, images, name)

# %%
# How good are they? A forest that tells digits apart says how sure it is of each image. And a
# second one learns to tell new images from real ones, and is right in half of the cases if they are
# alike. The real images are first reconstructed by the model that made the new ones: what a model
# reconstructs is blurred, and the forest would go by the blur.

forest = RandomForestClassifier(100, random_state=0).fit(train, y_train)
models = {"PCA": pca, "PCA, mixture": pca, "variational": variational, "skae, mixture": plain}
print(f"real: sure of its digit {forest.predict_proba(test).max(axis=1).mean():.2f}")
for name, model in models.items():
    sure = forest.predict_proba(samples[name]).max(axis=1).mean()
    both = np.concatenate([model.inverse_transform(model.transform(test)), samples[name]])
    truth = np.arange(len(both)) < n
    told = cross_val_predict(RandomForestClassifier(50, random_state=0), both, truth, cv=3)
    print(f"{name}: sure of its digit {sure:.2f}, told from real {np.mean(told == truth):.0%}")

# %%
# The variational autoencoder has a better likelihood and better images than probabilistic PCA. But
# its normal distribution also has room between the digits, and a mixture does more for the images
# than the penalty does. The mixture of PCA's codes is the hardest to tell from what PCA keeps of
# real images; that of the plain autoencoder's makes the images that look most like one digit.
#
# ``interpolate`` decodes the codes on the straight line between those of two images, from a 2 to
# a 6 and from a 0 to a 4. PCA fades one image out and the other in. The autoencoder does much the
# same here: with eight numbers the images half-way are no digits for either of them.

figure, axes = plt.subplots(4, 14, figsize=(10, 3.1), layout="constrained")
steps = np.linspace(0, 1, 14)[:, None]
for lines, (first, last) in zip((axes[:2], axes[2:]), ((2, 6), (0, 4)), strict=True):
    a, b = (train[y_train == digit][0] for digit in (first, last))
    path = (1 - steps) * pca.transform([a]) + steps * pca.transform([b])
    show(lines[0], pca.inverse_transform(path), "PCA")
    show(lines[1], variational.interpolate(a, b, n_steps=14), "variational")
plt.show()
