"""Rows to measure costs on: real images where they are, made ones of the same shape elsewhere."""

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_digits

from ..datasets import DATASETS, Unavailable

_PATCH = 8


def low_rank(n_rows, n_features, seed=0):
    """Return rows near a curved surface of a few dimensions, with noise, in float32."""
    rng = np.random.default_rng(seed)
    n_factors = min(16, n_features)
    factors = rng.standard_normal((n_rows, n_factors), np.float32)
    mixing = rng.standard_normal((n_factors, n_features), np.float32)
    noise = rng.standard_normal((n_rows, n_features), np.float32)
    return np.tanh(factors) @ mixing + 0.3 * noise


def images(n_rows):
    """Return rows of 28 x 28 pixels: Fashion-MNIST, or made ones where it is not there."""
    try:
        return DATASETS["fashion_mnist_60k"].load()[:n_rows]
    except Unavailable:
        return low_rank(n_rows, 784)


def patches(n_rows, seed=0):
    """Return squares of 8 x 8 pixels cut from images at random places, in float32.

    From Fashion-MNIST, or, where it is not there, from pages of the digits set side by side.
    """
    rng = np.random.default_rng(seed)
    try:
        pages = DATASETS["fashion_mnist_60k"].load().reshape(-1, 28, 28)
    except Unavailable:
        digits = load_digits().images.astype(np.float32) / 16
        pages = digits[: 9 * (len(digits) // 9)].reshape(-1, 3, 3, 8, 8)
        pages = pages.transpose(0, 1, 3, 2, 4).reshape(-1, 24, 24)
    page = rng.integers(len(pages), size=n_rows)
    top, left = rng.integers(pages.shape[1] - _PATCH + 1, size=(2, n_rows))
    windows = np.lib.stride_tricks.sliding_window_view(pages, (_PATCH, _PATCH), axis=(1, 2))
    out = np.empty((n_rows, _PATCH * _PATCH), np.float32)
    for start in range(0, n_rows, 100_000):
        some = slice(start, start + 100_000)
        out[some] = windows[page[some], top[some], left[some]].reshape(-1, _PATCH * _PATCH)
    return out


def tfidf_like(n_rows, n_features, density, seed=0):
    """Return rows of unit length with a few positive entries, frequent words first, as CSR."""
    rng = np.random.default_rng(seed)
    n_words = max(1, round(density * n_features))
    # Words are as frequent as in a text, by Zipf's law.
    odds = 1 / np.arange(1, n_features + 1)
    columns = rng.choice(n_features, (n_rows, n_words), p=odds / odds.sum())
    values = rng.gamma(2.0, size=(n_rows, n_words)).astype(np.float32)
    rows = np.repeat(np.arange(n_rows), n_words)
    X = sp.csr_matrix((values.ravel(), (rows, columns.ravel())), (n_rows, n_features))
    length = np.sqrt(X.multiply(X).sum(1)).A1
    return sp.csr_matrix(sp.diags(1 / length).astype(np.float32) @ X)


def write_sparse_file(path, n_rows, n_features, share, seed=0):
    """Write an array of float32 whose file is mostly holes: a share of the rows is there."""
    X = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, n_features))
    # In blocks, as holes are of whole pages.
    n_blocks = 100
    size = n_rows // n_blocks
    for i in range(n_blocks):
        n_written = round(share * size)
        X[i * size : i * size + n_written] = low_rank(n_written, n_features, [seed, i])
    X.flush()
