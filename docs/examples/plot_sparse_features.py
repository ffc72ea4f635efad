"""
Sparse codes: few large numbers for each image
==============================================

In PCA's code of an image every entry matters a little. With ``penalty="sparse"`` many entries are
nearly zero, and the large ones stand for one kind of image.
"""

# %%
# Sixteen numbers for each handwritten digit. An entry counts as nearly zero if it is below a tenth
# of its component's root mean square. Purity is the part of a component's twenty largest entries
# that belong to images of one digit.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer

X, y = load_digits(return_X_y=True)
train, test, _, y_test = train_test_split(X / 16, y, random_state=0)


def autoencoder(penalty):
    return AutoencoderTransformer(
        16, penalty=penalty, hidden_layer_sizes=(128,), max_iter=50, random_state=0
    ).fit(train)


models = {
    "PCA": PCA(16).fit(train),
    "no penalty": autoencoder(None),
    "sparse": autoencoder("sparse"),
}
codes = {name: model.transform(test) for name, model in models.items()}
sizes = {name: np.sqrt((code**2).mean(axis=0)) for name, code in codes.items()}
relative = {name: codes[name] / sizes[name] for name in models}


def error(name, code):
    return ((models[name].inverse_transform(code) - test) ** 2).mean()


def purity(code):
    """Return how many of a component's twenty largest entries belong to one digit."""
    top = (-abs(code)).argsort(axis=0)[:20]
    return np.mean([np.bincount(y_test[rows]).max() / 20 for rows in top.T])


for name, code in codes.items():
    near = abs(relative[name]) < 0.1
    print(
        f"{name}: {near.mean():.0%} nearly zero, error {error(name, code):.4f}, with zeros in "
        f"their place {error(name, np.where(near, 0, code)):.4f}, purity {purity(code):.2f}"
    )

# %%
# The purity of the sparse code is the highest: an entry that is large says more often which digit
# it is. But the entries that are nearly zero still matter. The decoder reads them, too, and with
# zeros in their place the error grows by more than a third, though it stays below PCA's. The sparse
# code is one to look at, and not a way to store fewer numbers.
#
# The codes of unseen images, one in a row of the picture and sorted by digit.

order = y_test.argsort(kind="stable")
figure, axes = plt.subplots(1, 3, figsize=(10, 4.5), layout="constrained", sharey=True)
for ax, (name, code) in zip(axes, relative.items(), strict=True):
    image = ax.imshow(
        code[order], cmap="RdBu_r", vmin=-3, vmax=3, aspect="auto", interpolation="nearest"
    )
    ax.set(title=name, xlabel="component", xticks=range(0, 16, 5))
starts = np.searchsorted(y_test[order], range(10))
axes[0].set_yticks(starts, [f"digit {digit}" for digit in range(10)])
_ = figure.colorbar(image, ax=axes, label="entry over its root mean square")

# %%
# What eight of the components stand for. ``components_`` is how the reconstruction changes with
# each (red is darker); beside it are the images in which the component is largest.

figure, axes = plt.subplots(
    8, 17, figsize=(10, 5), layout="constrained", width_ratios=[*[1] * 8, 0.5, *[1] * 8]
)
for first, name in ((0, "PCA"), (9, "sparse")):
    for line, loading, code in zip(axes, models[name].components_, codes[name].T, strict=False):
        sign = np.sign(code[abs(code).argmax()])
        limit = abs(loading).max()
        line[first].imshow(sign * loading.reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
        for ax, row in zip(line[first + 1 :], (-sign * code).argsort(), strict=False):
            if ax is not line[8]:
                ax.imshow(test[row].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    axes[0, first].set_title(name)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
for ax in axes[:, 8]:
    ax.axis("off")
plt.show()
