"""
One grid search over PCA and the autoencoder
============================================

Both are transformers with an ``inverse_transform``, so one step of a Pipeline can hold either, and
one scorer judges both.
"""

# %%
# The scorer is the fraction of the variance of unseen rows that the reconstruction explains, in the
# units of what the search is given. The features are standardized first, or the widest of them
# would decide alone.

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer
from skae.metrics import explained_variance_scorer

X = StandardScaler().fit_transform(load_breast_cancer().data)
pipeline = Pipeline([("reduce", PCA())])
grid = [
    {"reduce": [PCA(random_state=0)], "reduce__n_components": [1, 2, 4]},
    {
        "reduce": [AutoencoderTransformer(max_iter=20, random_state=0)],
        "reduce__n_components": [1, 2, 4],
        "reduce__activation": ["silu", "elu"],
    },
]
search = GridSearchCV(
    pipeline,
    grid,
    scoring=explained_variance_scorer,
    cv=KFold(2, shuffle=True, random_state=0),
)
search.fit(X)

# %%
# The columns of ``cv_results_`` hold both models side by side.

table = pd.DataFrame(search.cv_results_)
table["model"] = [type(model).__name__ for model in table.param_reduce]
columns = ["model", "param_reduce__n_components", "param_reduce__activation", "mean_test_score"]
print(table[columns].round(3).to_string(index=False))

# %%
# What is the best of all?

model = search.best_params_["reduce"]
print(
    type(model).__name__, search.best_params_["reduce__n_components"], search.best_score_.round(3)
)

# %%
# The gain at each width, as a picture.

best = table.groupby(["param_reduce__n_components", "model"]).mean_test_score.max().unstack()
ax = best.plot(marker="o", color={"PCA": "#0072B2", "AutoencoderTransformer": "#D55E00"})
_ = ax.set(
    xlabel="number of components",
    ylabel="explained variance of unseen rows",
    xticks=best.index,
)
