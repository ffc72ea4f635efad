"""
PCA against the autoencoder
===========================

The handwritten digits have 64 pixels. How much of an unseen image do two or eight numbers keep?
"""

# %%
# Both models see the same folds. ``compare_with_pca`` fits them, measures the rows left out, and
# returns the figures as columns. The images are left in their own units.

from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

from skae import AutoencoderTransformer
from skae.compare import compare_with_pca

X, y = load_digits(return_X_y=True)
result = compare_with_pca(
    X / 16,
    y,
    n_components=(2, 8),
    cv=2,
    scale=False,
    estimator=AutoencoderTransformer(max_iter=40),
    random_state=0,
)
print(result.summary())
print(result.headline())

# %%
# The "downstream score" is the accuracy of a logistic regression on the codes. With two numbers an
# image, classes that PCA lays on top of each other come apart.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
displays = result.plot_codes(axes)

# %%
# Eight numbers each: the images of rows left out, and what both models make of them.

figure, ax = plt.subplots(figsize=(10, 2.9), layout="constrained")
display = result.plot_reconstructions((8, 8), ax)

# %%
# Epoch 0 is PCA. The epoch that is kept is the best one on held-out rows.

display = result.plot_history()
