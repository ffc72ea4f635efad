"""
What each number of a code does
===============================

``components_`` says how the reconstruction changes with each number of a code, on average. How it
changes on the way from small to large values is seen by decoding codes that differ in one number.
"""

# %%
# The loadings of PCA and of the autoencoder, on one scale. The autoencoder starts with PCA's, and
# training turns them.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer
from skae.plotting import LatentTraversalDisplay, LoadingsDisplay

X = load_digits().data / 16
n_components = 6
pca = PCA(n_components).fit(X)
autoencoder = AutoencoderTransformer(
    n_components, hidden_layer_sizes=(256,), max_iter=60, random_state=0
).fit(X)
models = {"PCA": pca, "skae": autoencoder}

figure, panels = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
for panel, (name, model) in zip(panels, models.items(), strict=True):
    display = LoadingsDisplay.from_estimator(model, image_shape=(8, 8), ax=panel)
    display.image_.set_clim(-0.5, 0.5)
    panel.set_title(name)
cosines = [
    abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
    for a, b in zip(pca.components_, autoencoder.components_, strict=True)
]
print("cosines of the loadings with PCA's:", np.round(cosines, 2))

# %%
# Each line begins with one image, an 8, and moves one number of its code in equal steps from the
# 2nd to the 98th percentile. PCA adds more or less of one picture, whatever the image is. What the
# decoder of the autoencoder does with a number depends on the number and on all others.

displays = {}
_, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for panel, (name, model) in zip(panels, models.items(), strict=True):
    displays[name] = LatentTraversalDisplay.from_estimator(
        model, X, row=8, n_steps=9, quantiles=(0.02, 0.98), image_shape=(8, 8), ax=panel
    )
    displays[name].image_.set_clim(0, 1)
    panel.set_title(name)

# %%
# Pictures at the ends of a line may be no digits: the numbers of one code depend on each other, and
# here one moves while the others stay. How far are the pictures from the nearest real digit?

for name, display in displays.items():
    images = display.decoded.reshape(-1, 64)
    squares = ((images[:, None] - X[None]) ** 2).mean(axis=2).min(axis=1)
    print(f"{name}: mean squared distance of a pixel {squares.mean():.4f}")
plt.show()
