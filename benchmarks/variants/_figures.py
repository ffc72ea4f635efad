"""The figures that several families report."""

import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def fitted(model, X):
    """Return a fitted model and the seconds that the fit took."""
    began = time.perf_counter()
    model.fit(X)
    return model, time.perf_counter() - began


def rebuilt(model, X):
    """Return the reconstruction by any transformer."""
    return model.inverse_transform(model.transform(X))


def mean_psnr(clean, images):
    """Return the mean peak signal-to-noise ratio of images in [0, 1], in dB."""
    error = ((clean - np.clip(images, 0, 1)) ** 2).mean(1)
    return -10 * np.log10(np.maximum(error, 1e-10)).mean()


def mean_ssim(clean, images, n_images=500):
    """Return the mean structural similarity of square images in [0, 1]."""
    from skimage.metrics import structural_similarity

    side = int(np.sqrt(clean.shape[1]))
    shape = (-1, side, side)
    pairs = zip(
        clean[:n_images].reshape(shape),
        np.clip(images[:n_images], 0, 1).reshape(shape),
        strict=True,
    )
    return np.mean([structural_similarity(a, b, data_range=1.0) for a, b in pairs])


def linear_accuracy(Z_train, y_train, Z_test, y_test):
    """Return the accuracy of a linear classifier on codes."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return classifier.fit(Z_train, y_train).score(Z_test, y_test)


def discrepancy(U, V):
    """Return the squared maximum mean discrepancy of two samples, without bias.

    With the kernel of `skae.penalties.MMD`, in NumPy and of another estimate.
    """
    scales = [2 * U.shape[1] * s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]

    def kernel(A, B):
        square = (A**2).sum(1)[:, None] + (B**2).sum(1) - 2 * A @ B.T
        return sum(s / (s + np.maximum(square, 0)) for s in scales) / len(scales)

    def off_diagonal(K):
        n = len(K)
        return (K.sum() - np.trace(K)) / (n * (n - 1))

    return off_diagonal(kernel(U, U)) + off_diagonal(kernel(V, V)) - 2 * kernel(U, V).mean()
