"""
Five minutes with skae
======================

An autoencoder in place of PCA keeps more of each image in the same eight numbers, and a detector
made of such nets says how odd an image is, and where.
"""

# %%
# ``AutoencoderTransformer`` takes the place of PCA: ``fit``, ``transform``, ``inverse_transform``.
# Both learn from three quarters of the handwritten digits, 64 pixels each, and turn the images of
# the last quarter into eight numbers and back. The digits are among the sets that the defaults of
# skae were chosen on; :doc:`/benchmarks` has others.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.metrics import explained_variance_scorer

X, y = load_digits(return_X_y=True)
train, test, _, labels = train_test_split(X / 16, y, random_state=0)

models = {"PCA": PCA(8), "skae": AutoencoderTransformer(8, max_iter=60, random_state=0)}
kept, rebuilt = {}, {}
for name, model in models.items():
    model.fit(train)
    kept[name] = explained_variance_scorer(model, test)
    rebuilt[name] = model.inverse_transform(model.transform(test))
    print(f"{name} keeps {kept[name]:.1%} of the variance of unseen images")

# %%
# The first unseen image of each digit, and what is left of it. The images are not picked: some are
# hard for both.

first = [np.flatnonzero(labels == digit)[0] for digit in range(10)]
rows = {
    "original\n64 numbers": test,
    f"PCA\n8 numbers\n{kept['PCA']:.0%} kept": rebuilt["PCA"],
    f"skae\n8 numbers\n{kept['skae']:.0%} kept": rebuilt["skae"],
}
figure, axes = plt.subplots(3, 10, figsize=(10, 3.2), layout="constrained")
for line, (title, images) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(line, images[first], strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(title, rotation=0, ha="right", va="center")
plt.show()

# %%
# ``AutoencoderAnomalyDetector`` takes the place of ``IsolationForest``. Each of the same ten images
# gets one wrong pixel, at a place drawn at random: it becomes black if it was light, and white if
# it was dark. The p-value says how often an ordinary image would look at least as odd.

detector = AutoencoderAnomalyDetector(random_state=0).fit(train)
damaged = test[first].copy()
wrong = np.random.default_rng(0).integers(64, size=10)
damaged[range(10), wrong] = np.round(1 - damaged[range(10), wrong])
p_values = detector.p_values(damaged)
shares = -detector.explain(damaged)
named = shares.argmax(axis=1)
print(f"{(p_values <= 0.05).sum()} of 10 have a p-value of at most 0.05")
print(f"the wrong pixel is the oddest one in {(named == wrong).sum()} of 10")

# %%
# A pixel that could be part of a stroke is hardly odd, and most of these images are not flagged.
# One where such a digit has no ink is. ``explain`` divides the score of an image among its pixels;
# the circle is where the pixel was changed.

figure, axes = plt.subplots(2, 10, figsize=(10, 2.5), layout="constrained")
for i, (top, bottom) in enumerate(axes.T):
    top.imshow(damaged[i].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    top.set_title(f"p = {p_values[i]:.3f}", fontsize=9)
    bottom.imshow(shares[i].reshape(8, 8), cmap="Reds", vmin=0)
    for ax in (top, bottom):
        ax.plot(wrong[i] % 8, wrong[i] // 8, "o", ms=13, mfc="none", mec="C0", clip_on=False)
        ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("one pixel\nis wrong", rotation=0, ha="right", va="center")
axes[1, 0].set_ylabel("what\nis odd", rotation=0, ha="right", va="center")
plt.show()
