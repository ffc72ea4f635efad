"""
Many nets in one run
====================

A step of a small net takes little arithmetic and many calls. ``BatchedGridSearchCV`` trains the
nets of all candidates and folds as stacks of weights, and gives the scores of ``GridSearchCV``.
"""

# %%
# Two parameters, 20 candidates, 2 folds: 40 nets. The measurements of the wine bottles are
# standardized within each fold.

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer
from skae.model_selection import BatchedGridSearchCV

X = load_wine().data
autoencoder = AutoencoderTransformer(
    2, hidden_layer_sizes=(32,), max_iter=40, early_stopping=False, random_state=0
)
pipeline = make_pipeline(StandardScaler(), autoencoder)
grid = {
    "autoencodertransformer__learning_rate": [1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    "autoencodertransformer__alpha": [0, 1e-3, 1e-2, 1e-1],
}
folds = KFold(2, shuffle=True, random_state=0)

searches = {}
for search_class in (GridSearchCV, BatchedGridSearchCV):
    search = search_class(pipeline, grid, cv=folds, refit=False)
    start = perf_counter()
    searches[search_class.__name__] = search.fit(X)
    print(f"{search_class.__name__}: {perf_counter() - start:.1f} seconds")
print(f"{search.n_batched_} of 40 nets were trained in a stack")

# %%
# Each net draws what it would draw alone, so the scores differ by rounding only. Training
# makes rounding grow where the learning rate is too large for it to settle.

one, batched = (search.cv_results_["mean_test_score"] for search in searches.values())
print(f"largest difference of two scores: {np.abs(one - batched).max():.1e}")

# %%
# The score is the fraction of the variance of the left-out rows that two numbers explain.
# Parameters are in alphabetical order, the last of which changes fastest.

rates = grid["autoencodertransformer__learning_rate"]
alphas = grid["autoencodertransformer__alpha"]
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
for ax, (name, search) in zip(axes, searches.items(), strict=True):
    scores = search.cv_results_["mean_test_score"].reshape(len(alphas), len(rates))
    image = ax.imshow(scores, cmap="viridis", aspect="auto", vmin=one.min(), vmax=one.max())
    for i, j in np.ndindex(scores.shape):
        color = "white" if scores[i, j] < (one.min() + one.max()) / 2 else "black"
        ax.text(j, i, f"{scores[i, j]:.3f}", ha="center", va="center", color=color, fontsize=9)
    ax.set(title=name, xlabel="learning_rate", xticks=range(len(rates)), xticklabels=rates)
axes[0].set(ylabel="alpha", yticks=range(len(alphas)), yticklabels=alphas)
figure.colorbar(image, ax=axes, label="explained variance")
plt.show()
