"""
How many components
===================

The error of reconstructed rows falls with every further component, so it does not say where to
stop. The error of entries that the model has not seen does.
"""

# %%
# A tenth of the pixels of each held-out image is hidden (NaN), and the model fills them in from the
# others. With too few components it cannot, and with too many the code follows the chance of the
# pixels that are left. Every second image is used, so that this page is built in seconds.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold

from skae import AutoencoderTransformer
from skae.metrics import reconstruction_error
from skae.model_selection import BatchedGridSearchCV
from skae.plotting import ComponentErrorDisplay

X = load_digits().data[::2] / 16


def hidden_entries(model, X, y=None):
    """Return minus the mean squared error of entries that are hidden from the model."""
    hidden = np.random.default_rng(0).random(X.shape) < 0.1
    filled = model.reconstruct(np.where(hidden, np.nan, X))
    return -reconstruction_error(np.where(hidden, X, np.nan), filled)


def whole_rows(model, X, y=None):
    """Return minus the mean squared error of all entries, all of them seen."""
    return -reconstruction_error(X, model.reconstruct(X))


# %%
# Each number of components is tried on five folds, with a small net and few epochs. ``max_iter=0``
# is PCA that takes missing entries.

widths = np.array([2, 4, 8, 12, 16, 20, 24, 28])
folds = KFold(5, shuffle=True, random_state=0)


def search(**params):
    """Return the errors of all folds, of hidden entries and of whole rows."""
    results = (
        BatchedGridSearchCV(
            AutoencoderTransformer(hidden_layer_sizes=(64,), random_state=0, **params),
            {"n_components": widths},
            scoring={"hidden": hidden_entries, "rows": whole_rows},
            cv=folds,
            refit=False,
        )
        .fit(X)
        .cv_results_
    )
    return {
        kind: -np.transpose([results[f"split{fold}_test_{kind}"] for fold in range(5)])
        for kind in ("hidden", "rows")
    }


found = {"PCA": search(max_iter=0), "autoencoder": search(max_iter=20)}

# %%
# The standard error of a mean error is the standard deviation over the folds, divided by the root
# of their number. A common rule takes the smallest number of components whose error is within one
# standard error of the lowest.


def standard_error(errors):
    return errors.std(axis=1, ddof=1) / np.sqrt(errors.shape[1])


chosen = {}
for name, errors in found.items():
    mean, deviation = errors["hidden"].mean(axis=1), standard_error(errors["hidden"])
    best = mean.argmin()
    chosen[name] = widths[mean <= mean[best] + deviation[best]].min()
    print(
        f"{name}: lowest error with {widths[best]} components, {mean[best]:.4f} ± "
        f"{deviation[best]:.4f}; within one standard error from {chosen[name]} on"
    )

# %%
# The errors of whole rows have no lowest point, neither PCA's nor the autoencoder's. With
# ``penalty="ordered"`` a single fit shows how they fall, as the first k components of a wide code
# are a code of k components. It is worse than a fit of its own for each k, and here still better
# than PCA. The bands in the left panel are standard errors; the right panel is the first fold only.

train, test = next(folds.split(X))
ordered = AutoencoderTransformer(
    28, penalty="ordered", hidden_layer_sizes=(64,), max_iter=20, random_state=0
).fit(X[train])
codes = ordered.transform(X[test])
first = [
    reconstruction_error(X[test], ordered.inverse_transform(np.where(np.arange(28) < k, codes, 0)))
    for k in widths
]

figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
ComponentErrorDisplay(
    widths,
    {name: errors["hidden"] for name, errors in found.items()},
    ylabel="mean squared error",
    yscale="linear",
    spread="standard_error",
).plot(axes[0])
for name, colour in zip(found, ("#0072B2", "#D55E00"), strict=True):
    axes[0].axvline(chosen[name], color=colour, linestyle=":")
axes[0].set(title="hidden entries (dotted: the choice)", ylim=(0, None))

of_rows = {name: errors["rows"][:, :1] for name, errors in found.items()}
of_rows["ordered, one fit"] = np.array(first)[:, None]
ComponentErrorDisplay(widths, of_rows, ylabel="mean squared error", yscale="linear").plot(axes[1])
axes[1].set(title="whole rows", ylim=(0, None))
plt.show()
