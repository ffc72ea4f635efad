"""
Texts: a map of scikit-learn's documentation
============================================

TF-IDF makes sparse rows of texts, and both ``TruncatedSVD`` and the autoencoder take them as they
are. Which of the two brings texts of one kind closer together?
"""

# %%
# The texts come with scikit-learn: the docstrings of its estimators, cut into paragraphs. Each
# belongs to the module of its estimator. Paragraphs that several estimators share are left out, and
# so are references, code, short paragraphs, and all modules but eight.

from collections import Counter
from inspect import getdoc

import numpy as np
from matplotlib import pyplot as plt
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.manifold import TSNE
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize
from sklearn.utils.discovery import all_estimators

from skae import AutoencoderTransformer

found = [
    (" ".join(paragraph.split()), cls.__module__.split(".")[1])
    for _, cls in all_estimators()
    for paragraph in getdoc(cls).split("\n\n")
    if ">>>" not in paragraph and ":ref:" not in paragraph
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
print(
    f"{len(texts)} paragraphs, {X_train.shape[1]} words, {X_train.nnz / X_train.shape[0]:.0f} a row"
)

# %%
# Five neighbours among the training paragraphs, by the angle between codes, vote for the module of
# a paragraph of the test set. How often are they right?

models = {}
for k in (2, 8, 32):
    svd = TruncatedSVD(k, random_state=0)
    net = AutoencoderTransformer(k, hidden_layer_sizes=(64,), max_iter=20, random_state=0)
    for name, model in (("TruncatedSVD", svd), ("autoencoder", net)):
        nearest = KNeighborsClassifier(5, metric="cosine").fit(
            model.fit_transform(X_train), y_train
        )
        right = nearest.score(model.transform(X_test), y_test)
        rebuilt = model.inverse_transform(model.transform(X_test))
        error = ((rebuilt - X_test.toarray()) ** 2).sum(axis=1).mean()
        models[name, k] = model
        print(f"{k:2} numbers, {name:12}: right {right:.1%}, error {error:.3f}")
nearest = KNeighborsClassifier(5, metric="cosine").fit(X_train, y_train)
print(f"all words: right {nearest.score(X_test, y_test):.1%}")

# %%
# All words together are better than either code: few numbers are for maps and for speed, not for
# the best search.
#
# The eight numbers of the unseen paragraphs, as a map that t-SNE draws.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
for ax, name in zip(axes, ("TruncatedSVD", "autoencoder"), strict=True):
    codes = normalize(models[name, 8].transform(X_test))
    places = TSNE(random_state=0).fit_transform(codes)
    for module in modules:
        ax.scatter(*places[y_test == module].T, s=12, label=module, alpha=0.8)
    ax.set(title=name, xticks=[], yticks=[])
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", markerscale=2)

# %%
# Which paragraph of the training set is nearest to one of the test set?

for query in (0, 1, 2):
    print("?", test[query][:85])
    for name in ("TruncatedSVD", "autoencoder"):
        codes = normalize(models[name, 8].transform(X_train))
        own = normalize(models[name, 8].transform(X_test[[query]]))[0]
        print(f"  {name}:", train[(codes @ own).argmax()][:80])
plt.show()
