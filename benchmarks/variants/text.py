"""Sentences: as weighted words, and as sequences of tokens."""

from collections import Counter

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.losses import CategoricalCrossEntropy

from ..corpora import glosses, words
from ._figures import fitted, linear_accuracy
from ._registry import family


@family("documents")
def documents(seed):
    texts, topics = glosses(6_000, 10, seed)
    train, test, y_train, y_test = train_test_split(
        texts, topics, test_size=0.25, stratify=topics, random_state=seed
    )
    vectorizer = TfidfVectorizer(max_features=2_000, sublinear_tf=True, dtype=np.float32)
    X_train, X_test = vectorizer.fit_transform(train), vectorizer.transform(test)

    def measure(model, dense):
        parts = [X.toarray() if dense else X for X in (X_train, X_test)]
        model, seconds = fitted(model, parts[0])
        Z_train, Z_test = map(model.transform, parts)
        residual = parts[1] - model.inverse_transform(Z_test)
        return {
            "accuracy": linear_accuracy(Z_train, y_train, Z_test, y_test),
            "error": np.square(residual).mean(),
            "fit_seconds": seconds,
        }

    for k in (16, 64):
        net = AutoencoderTransformer(k, max_iter=20, random_state=seed)
        yield (
            "wordnet glosses, tf-idf",
            k,
            {
                "TruncatedSVD": lambda k=k: measure(TruncatedSVD(k, random_state=seed), False),
                "skae": lambda net=net: measure(net, True),
            },
        )


@family("tokens")
def tokens(seed):
    """Round trips of sentences: the first words of definitions, the rare ones as one token."""
    n_steps, n_tokens = 8, 300
    texts, _ = glosses(8_000, 26, seed)
    sentences = [words(text)[:n_steps] for text in texts]
    sentences = [sentence for sentence in sentences if len(sentence) > 2]
    common = Counter(word for sentence in sentences for word in sentence)
    # 0 is the end and 1 any other word
    ids = {word: i + 2 for i, (word, _) in enumerate(common.most_common(n_tokens - 2))}
    X = np.zeros((len(sentences), n_steps), dtype=np.float32)
    for row, sentence in zip(X, sentences, strict=True):
        row[: len(sentence)] = [ids.get(word, 1) for word in sentence]
    train, test = train_test_split(X, test_size=0.25, random_state=seed)

    def measure(model):
        model, seconds = fitted(model, train)
        found = model.reconstruct(test)
        said = test > 1
        return {
            "accuracy": (found == test).mean(),
            "accuracy_of_words": (found == test)[said].mean(),
            "whole_sentences": (found == test).all(1).mean(),
            "fit_seconds": seconds,
        }

    for k in (32, 128):

        def net(k=k, **params):
            return AutoencoderTransformer(
                k, loss=CategoricalCrossEntropy(n_tokens), random_state=seed, **params
            )

        yield (
            "wordnet glosses, 8 tokens of 300",
            k,
            {
                "PCA of the indicators": lambda net=net: measure(net(max_iter=0)),
                "dense": lambda net=net: measure(net(max_iter=20)),
                "recurrent": lambda net=net: measure(
                    net(
                        architecture="recurrent",
                        hidden_layer_sizes=(128,),
                        init="pca",
                        max_iter=20,
                    )
                ),
            },
        )
