"""
Texts: a map of scikit-learn's documentation
============================================

TF-IDF makes sparse rows of texts, and both ``TruncatedSVD`` and the autoencoder take them as they
are. Which of the two brings texts of one kind closer together?
"""

# %%
# The texts come with scikit-learn: the docstrings of its estimators, cut into paragraphs. Each
# belongs to the module of its estimator. Paragraphs that several estimators share are left out, and
# so are short ones and small modules.

from collections import Counter
from inspect import getdoc

import numpy as np
from matplotlib import pyplot as plt
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.discovery import all_estimators

from skae import AutoencoderTransformer

found = [
    (paragraph, cls.__module__.split(".")[1])
    for _, cls in all_estimators()
    for paragraph in (getdoc(cls) or "").split("\n\n")
]
copies = Counter(paragraph for paragraph, _ in found)
found = [(text, module) for text, module in found if copies[text] == 1 and len(text) > 150]
sizes = Counter(module for _, module in found)
modules = [module for module, size in sizes.most_common(8)]
texts, labels = zip(*(pair for pair in found if pair[1] in modules), strict=True)
texts, labels = np.array(texts), np.array(labels)
train, test, y_train, y_test = train_test_split(texts, labels, random_state=0, stratify=labels)
vectorizer = TfidfVectorizer(min_df=3, stop_words="english", sublinear_tf=True)
X_train, X_test = vectorizer.fit_transform(train), vectorizer.transform(test)
print(f"{len(texts)} paragraphs, {X_train.shape[1]} words, {X_train.nnz / X_train.shape[0]:.0f} a row")

# %%
# A paragraph of the test set is found right if its nearest neighbours among the training paragraphs,
# by the angle between codes, are of its module.

models = {}
for k in (2, 8, 32):
    svd = TruncatedSVD(k, random_state=0)
    net = AutoencoderTransformer(k, hidden_layer_sizes=(64,), max_iter=20, random_state=0)
    for name, model in (("TruncatedSVD", svd), ("autoencoder", net)):
        nearest = KNeighborsClassifier(5, metric="cosine").fit(model.fit_transform(X_train), y_train)
        right = nearest.score(model.transform(X_test), y_test)
        rebuilt = model.inverse_transform(model.transform(X_test))
        error = ((rebuilt - X_test.toarray()) ** 2).sum(axis=1).mean()
        models[name, k] = model
        print(f"{k:2} numbers, {name:12}: right {right:.1%}, error {error:.3f}")
nearest = KNeighborsClassifier(5, metric="cosine").fit(X_train, y_train)
print(f"all words: right {nearest.score(X_test, y_test):.1%}")

# %%
# The map of the unseen paragraphs, in two numbers each.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
for ax, name in zip(axes, ("TruncatedSVD", "autoencoder"), strict=True):
    codes = models[name, 2].transform(X_test)
    for module in modules:
        own = codes[y_test == module]
        ax.scatter(*own.T, s=8, label=module, alpha=0.7)
    ax.set(title=name, xticks=[], yticks=[])
_ = figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", markerscale=2)
