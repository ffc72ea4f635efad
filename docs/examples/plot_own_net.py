"""
A net of your own, and a loss of your own
=========================================

Any ``torch.nn.Module`` with ``encode`` and ``decode`` can be trained by ``AutoencoderTransformer``.
Here a net knows that the rows are images, and a loss knows which errors hurt.
"""

# %%
# The encoder is a small convolutional net. The decoder returns one flat row an image, or an image:
# any shape with as many values. The arguments ``n_features`` and ``n_components`` are filled in,
# others such as ``channels`` are given to ``Module``, and a search can reach them as
# ``architecture__channels``.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from torch import nn

from skae import AutoencoderTransformer
from skae.architectures import Module
from skae.losses import Loss
from skae.metrics import explained_variance_scorer


class SmallConvolutions(nn.Module):
    def __init__(self, n_features, n_components, channels=8):
        super().__init__()
        self.encode = nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * channels * 16, n_components),
        )
        self.decode = nn.Sequential(
            nn.Linear(n_components, 2 * channels * 16),
            nn.ReLU(),
            nn.Unflatten(1, (2 * channels, 4, 4)),
            nn.ConvTranspose2d(2 * channels, channels, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(channels, 1, 3, padding=1),
            nn.Flatten(),
        )


# %%
# Scaling, batches, the learning rate and the choice of the epoch on held-out rows are the
# estimator's, and so is the start as PCA: a linear path is laid beside the module. The defaults
# were chosen on sets that include the digits.

train, test = train_test_split(load_digits().data / 16, random_state=0)
models = {
    "PCA": PCA(8),
    "default net": AutoencoderTransformer(8, max_iter=15, random_state=0),
    "own net": AutoencoderTransformer(
        8, architecture=Module(SmallConvolutions), max_iter=15, random_state=0
    ),
}
rebuilt = {"original": test}
for name, model in models.items():
    model.fit(train)
    rebuilt[name] = model.inverse_transform(model.transform(test))
    line = f"{name}: {explained_variance_scorer(model, test):.1%} of the variance of unseen images"
    if name != "PCA":
        line += f", {sum(p.numel() for p in model.module_.parameters()):,} weights"
    print(line)

# %%
# The own net has few weights and keeps less than the default one in as many epochs. What it shows
# is the way: a net that suits your rows better goes in the same place.

# %%
# A loss of your own is a class with ``per_entry``, which compares each value with its
# reconstruction. This one counts ink that is missing nine times as much as ink that is too much,
# so the strokes of its reconstructions are bolder.


class MissingInk(Loss):
    def per_entry(self, output, target):
        error = target - output
        return error**2 * (0.2 + 1.6 * (error > 0))


bold = AutoencoderTransformer(8, loss=MissingInk(), max_iter=15, random_state=0).fit(train)
rebuilt["own loss"] = bold.reconstruct(test)
for name in ("default net", "own loss"):
    error = test - rebuilt[name]
    print(
        f"{name}: {(error**2)[error > 0].sum() / error.size:.4f} for missing ink, "
        f"{(error**2)[error < 0].sum() / error.size:.4f} for too much"
    )

# %%
# All of them on the first twelve unseen images.

figure, axes = plt.subplots(len(rebuilt), 12, figsize=(10, 4.4), layout="constrained")
for line, (name, images) in zip(axes, rebuilt.items(), strict=True):
    for ax, image in zip(line, np.asarray(images), strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()
