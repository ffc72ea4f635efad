"""
A table that does not fit in memory
===================================

Chunk by chunk with ``partial_fit``, or from a memory map with ``fit``. The table here is small, so
that the example runs in seconds, but neither way ever holds all of it.
"""

# %%
# The rows: the handwritten digits, and each of them moved by a pixel in four directions, in random
# order, in a file. A quarter of the digits is kept aside before they are moved. The digits are
# among the sets that the defaults of skae were chosen on.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import IncrementalPCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.metrics import explained_variance_scorer

moves = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]


def moved(images):
    copies = [np.roll(images.reshape(-1, 8, 8), move, axis=(1, 2)) for move in moves]
    return np.concatenate(copies).reshape(-1, 64)


train, test = train_test_split(load_digits().data.astype(np.float32) / 16, random_state=0)
test = moved(test)[::5]  # a fifth of them, to save time
order = np.random.default_rng(0).permutation(5 * len(train))

folder = Path(tempfile.mkdtemp())
path = folder / "rows.npy"
np.save(path, moved(train)[order])

# %%
# Both models see the same chunks of 500 rows, one at a time. ``IncrementalPCA`` needs one pass. A
# net needs to see its rows more than once: here the file is gone over four times, where some
# twenty times would be better. The score is the fraction of the variance of the rows kept aside
# that eight numbers explain.

rows = np.load(path, mmap_mode="r")
n_chunks = len(range(0, len(rows), 500))
models = {
    "IncrementalPCA": IncrementalPCA(8),
    "AutoencoderTransformer": AutoencoderTransformer(8, random_state=0),
}
scores = {name: [] for name in models}
for _ in range(4):
    for start in range(0, len(rows), 500):
        chunk = rows[start : start + 500]
        for name, model in models.items():
            model.partial_fit(chunk)
            scores[name].append(explained_variance_scorer(model, test))
for name, values in scores.items():
    print(f"{name}: {values[0]:.4f} after one chunk, {values[-1]:.4f} at the end")

# %%
# A chunk can come from anywhere. With Dask it is a block of an array,
# ``for block in X.blocks.ravel(): model.partial_fit(block.compute())``, and from a Parquet file it
# is a batch: see :doc:`/large_data`.
#
# ``fit`` takes the memory map itself and reads its batches from the file. It holds out a tenth of
# the rows to choose the epoch, and lowers its learning rate towards the end. After so few epochs it
# is a little behind the chunks here.

by_fit = AutoencoderTransformer(8, max_iter=4, random_state=0).fit(rows)
at_end = explained_variance_scorer(by_fit, test)
print(f"fit, four epochs on the memory map: {at_end:.4f}")

figure, ax = plt.subplots(figsize=(9, 4.2), layout="constrained")
for name, values in scores.items():
    ax.plot(np.arange(1, len(values) + 1) / n_chunks, values, "o-", ms=4, label=name)
ax.plot(4, at_end, "k*", ms=12, label="AutoencoderTransformer, fit on the memory map")
ax.set(
    xlabel="passes over the file",
    ylabel="explained variance of unseen rows",
    xticks=range(5),
)
figure.legend(loc="outside upper center", ncols=3, frameon=False)
plt.show()
