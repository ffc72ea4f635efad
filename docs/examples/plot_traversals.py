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

X = load_digits().data / 16
n_components = 6
pca = PCA(n_components).fit(X)
autoencoder = AutoencoderTransformer(
    n_components, hidden_layer_sizes=(256,), max_iter=60, random_state=0
).fit(X)
models = {"PCA": pca, "skae": autoencoder}

figure, axes = plt.subplots(2, n_components, figsize=(9, 3.3), layout="constrained")
for line, (name, model) in zip(axes, models.items(), strict=True):
    for j, ax in enumerate(line):
        image = ax.imshow(model.components_[j].reshape(8, 8), cmap="RdBu_r", vmin=-0.5, vmax=0.5)
        ax.set(xticks=[], yticks=[])
        if model is pca:
            ax.set_title(f"component {j}")
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
figure.colorbar(image, ax=axes, label="change of a pixel")
cosines = [
    abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
    for a, b in zip(pca.components_, autoencoder.components_, strict=True)
]
print("cosines of the loadings with PCA's:", np.round(cosines, 2))

# %%
# Each line begins with one image, an 8, and sets one number of its code to the 2nd, the 98th and
# seven percentiles between them. PCA adds more or less of one picture, whatever the image is. What
# the decoder of the autoencoder does with a number depends on the number and on all others.

percentiles = np.linspace(2, 98, 9)
start = X[8]


def traversals(model):
    codes = model.transform(X)
    lines = np.repeat(model.transform([start]), n_components * 9, axis=0)
    lines = lines.reshape(n_components, 9, n_components)
    for j in range(n_components):
        lines[j, :, j] = np.percentile(codes[:, j], percentiles)
    images = model.inverse_transform(lines.reshape(-1, n_components))
    return images.reshape(n_components, 9, 8, 8)


figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for panel, (name, model) in zip(panels, models.items(), strict=True):
    grid = np.pad(traversals(model), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.5)
    grid = grid.transpose(0, 2, 1, 3).reshape(10 * n_components, 90)
    panel.imshow(grid, cmap="gray_r", vmin=0, vmax=1)
    panel.set(
        title=name,
        xlabel="percentile of the number",
        ylabel="component",
        xticks=np.arange(9) * 10 + 4.5,
        xticklabels=percentiles.astype(int),
        yticks=np.arange(n_components) * 10 + 4.5,
        yticklabels=range(n_components),
    )

# %%
# Pictures at the ends of a line may be no digits: the numbers of one code depend on each other, and
# here one moves while the others stay. How far are the pictures from the nearest real digit?

for name, model in models.items():
    images = traversals(model).reshape(-1, 64)
    squares = ((images[:, None] - X[None]) ** 2).mean(axis=2).min(axis=1)
    print(f"{name}: mean squared distance of a pixel {squares.mean():.4f}")
plt.show()
