"""
The detector beside IsolationForest
===================================

Both are fitted to benign tumours, most of them, and judge others: how well they tell malignant
ones, how often they cry wolf, and what the detector says of one row.
"""

# %%
# A twentieth of the training rows is malignant, and nobody says which.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderAnomalyDetector
from skae.plotting import AnomalyExplanationDisplay, ScoreDisplay

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
benign, malignant = X[y == 1], X[y == 0]
clean, new = train_test_split(benign, test_size=0.5, random_state=0)
rows = np.concatenate([clean, malignant[:9]])
judged = np.concatenate([new, malignant[9:]])
truth = np.arange(len(judged)) >= len(new)

detectors = {
    "skae": AutoencoderAnomalyDetector(contamination=0.05, random_state=0),
    "IsolationForest": IsolationForest(contamination=0.05, random_state=0),
}
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for axis, (name, detector) in zip(axes, detectors.items(), strict=True):
    pipeline = make_pipeline(StandardScaler(), detector).fit(rows)
    decision = pipeline.decision_function(judged)
    quality = roc_auc_score(truth, -decision)
    alarms = (decision[~truth] < 0).mean()
    print(f"{name}: AUROC {quality:.3f}, {alarms:.1%} of the benign rows flagged")
    edges = np.linspace(*np.quantile(decision, [0.1, 1]), 40)
    for group, label in ((~truth, "benign"), (truth, "malignant")):
        axis.hist(np.clip(decision[group], edges[0], None), edges, alpha=0.6, label=label)
    axis.axvline(0, color="black", linestyle="--")
    axis.set(title=name, xlabel="decision_function", ylabel="New rows")
    axis.legend()

# %%
# The threshold of both is set so that a twentieth of the training rows lies below it. The forest
# scores rows that its trees have seen; the detector's scores of the training rows come from nets
# that have not.

# %%
# p-values turn the scores into false discoveries: of the rows flagged at ``fdr=0.1``, a tenth may
# be benign.

pipeline = make_pipeline(StandardScaler(), AutoencoderAnomalyDetector(random_state=0)).fit(
    clean.values
)
scaler, detector = pipeline[0], pipeline[1]
found = detector.predict(scaler.transform(judged), fdr=0.1) == -1
print(f"{found.sum()} rows flagged, {(found & ~truth).sum()} of them benign")

# %%
# What makes the oddest of them odd: the contributions of its features, each value beside what was
# expected. And the scores of all rows, with the threshold and the p-values.

worst = detector.score_samples(scaler.transform(judged)).argmin()
figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
rows = pd.DataFrame(scaler.transform(judged), columns=X.columns)
detector.fit(pd.DataFrame(scaler.transform(clean.values), columns=X.columns))
AnomalyExplanationDisplay.from_estimator(detector, rows, row=worst, max_features=8, ax=axes[0])
_ = ScoreDisplay.from_estimator(detector, rows, ax=axes[1])
