"""
Texts: a map of scikit-learn's documentation
============================================

TF-IDF makes sparse rows of texts, and both ``TruncatedSVD`` and the autoencoder take them as they
are. Which of the two brings texts of one kind closer together?
"""

# %%
# The texts come with scikit-learn: the docstrings of its estimators, cut into paragraphs. Each
# belongs to the module of its estimator, one of eight. Paragraphs that several estimators share are
# left out, and so are references, code and short paragraphs.

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

modules = [
    "cluster",
    "decomposition",
    "ensemble",
    "feature_selection",
    "linear_model",
    "neighbors",
    "preprocessing",
    "svm",
]
found = [
    (" ".join(paragraph.split()), cls.__module__.split(".")[1])
    for _, cls in all_estimators()
    for paragraph in getdoc(cls).split("\n\n")
    if not any(mark in paragraph for mark in (">>>", ":ref:", "---", ".. ["))
]
found = [(text, module) for text, module in found if module in modules and len(text) > 150]
copies = Counter(text for text, _ in found)
texts, labels = zip(*(pair for pair in found if copies[pair[0]] == 1), strict=True)
texts, labels = np.array(texts), np.array(labels)
train, test, y_train, y_test = train_test_split(
    texts, labels, test_size=0.5, random_state=0, stratify=labels
)
vectorizer = TfidfVectorizer(min_df=3, stop_words="english", sublinear_tf=True)
X_train, X_test = vectorizer.fit_transform(train), vectorizer.transform(test)
print(
    f"{len(texts)} paragraphs, {X_train.shape[1]} words, {X_train.nnz / X_train.shape[0]:.0f} a row"
)

# %%
# Five neighbours among the training paragraphs, by the angle between codes, vote for the module of
# a paragraph of the test set. How often are they right?


def share_right(rows, new_rows):
    nearest = KNeighborsClassifier(5, metric="cosine").fit(rows, y_train)
    return nearest.score(new_rows, y_test)


widths = (2, 4, 8, 16)
models, right = {}, {"TruncatedSVD": [], "autoencoder": []}
for k in widths:
    svd = TruncatedSVD(k, random_state=0)
    net = AutoencoderTransformer(k, hidden_layer_sizes=(64,), max_iter=20, random_state=0)
    for name, model in (("TruncatedSVD", svd), ("autoencoder", net)):
        models[name, k] = model.fit(X_train)
        right[name].append(share_right(model.transform(X_train), model.transform(X_test)))
of_all_words = share_right(X_train, X_test)
for name, shares in right.items():
    print(
        f"{name}:",
        ", ".join(f"{share:.1%} with {k}" for share, k in zip(shares, widths, strict=True)),
    )
print(f"all words: {of_all_words:.1%}")

# %%
# The bars are standard errors. The autoencoder is ahead with two to eight numbers, though by less
# than twice the standard error, and ``TruncatedSVD`` is ahead with sixteen. All words together are
# better than either code: few numbers are for maps and for speed, not for the best search. The maps
# are of the eight numbers of the unseen paragraphs, and drawn by t-SNE.

figure, axes = plt.subplots(1, 3, figsize=(12, 4.6), layout="constrained")
colours = {"TruncatedSVD": "#0072B2", "autoencoder": "#D55E00"}
for ax, (name, shares) in zip(axes[1:], right.items(), strict=True):
    shares = np.array(shares)
    deviation = np.sqrt(shares * (1 - shares) / len(test))
    axes[0].errorbar(widths, shares, deviation, marker="o", color=colours[name], label=name)
    codes = normalize(models[name, 8].transform(X_test))
    places = TSNE(method="exact", max_iter=300, random_state=0).fit_transform(codes)
    for module in modules:
        ax.scatter(*places[y_test == module].T, s=12, label=module, alpha=0.8)
    ax.set(title=f"{name}, eight numbers", xticks=[], yticks=[])
axes[0].axhline(of_all_words, color="0.4", linestyle="--", label="all words")
axes[0].set(xlabel="numbers in a code", ylabel="share of paragraphs put right", xticks=widths)
axes[0].legend(loc="lower right")
_ = figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=8)

# %%
# Which paragraph of the training set is nearest to one of the test set?

for query in (0, 1, 2):
    print("?", test[query][:85])
    for name in ("TruncatedSVD", "autoencoder"):
        codes = normalize(models[name, 8].transform(X_train))
        own = normalize(models[name, 8].transform(X_test[[query]]))[0]
        print(f"  {name}:", train[(codes @ own).argmax()][:80])
plt.show()
