"""The linear start: PCA's loadings, or random ones."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils.extmath import svd_flip


def pca_start(x, weight, n_components, random_state):
    """Return PCA's loadings of centred rows.

    Parameters
    ----------
    x : ndarray of shape (n, n_features)
        Distinct rows, centred.
    weight : ndarray of shape (n,) or None
        How often each row counts.
    n_components : int or float
        At most the smaller side of X, or the share of the variance to keep.
    random_state : int
        For the randomized solver that PCA takes when X is large.

    Returns
    -------
    components : ndarray of shape (n_components, n_features)
    """
    if weight is None and x.any() and n_components <= min(x.shape):
        return PCA(n_components, random_state=random_state).fit(x).components_
    return _weighted_pca(x, weight, n_components)


def _weighted_pca(x, weight, n_components):
    # PCA takes no weights. Rows times the roots of their weights have the weighted covariance as
    # their second moment; PCA itself would centre them again.
    rows = x if weight is None else x * np.sqrt(weight)[:, None].astype(x.dtype)
    if isinstance(n_components, int) and len(rows) < n_components:
        rows = np.vstack([rows, np.zeros((n_components - len(rows), x.shape[1]), x.dtype)])
    if len(rows) > x.shape[1]:
        variance, vectors = np.linalg.eigh(rows.T @ rows)
        variance, loadings = variance[::-1].clip(min=0), np.ascontiguousarray(vectors[:, ::-1].T)
    else:
        _, singular, loadings = np.linalg.svd(rows, full_matrices=False)
        variance = singular**2
    if not isinstance(n_components, int):
        share = np.cumsum(variance) / (variance.sum() or 1.0)
        n_components = min(len(share), 1 + int(np.searchsorted(share, n_components, side="right")))
    _, loadings = svd_flip(None, loadings[:n_components], u_based_decision=False)
    return loadings


def linear_start(components, n_components, generator):
    """Return the linear encoder and decoder that start as PCA.

    Codes wider than PCA's start at random in the encoder and at zero in the decoder, so that the
    reconstruction is PCA's all the same.

    Parameters
    ----------
    components : ndarray of shape (n_pca, n_features)
    n_components : int
    generator : numpy.random.Generator

    Returns
    -------
    E : ndarray of shape (n_features, n_components)
    D : ndarray of shape (n_components, n_features)
    """
    n_pca, n_features = components.shape
    extra = n_components - n_pca
    noise = generator.normal(scale=n_features**-0.5, size=(extra, n_features))
    encoder = np.vstack([components, noise])
    decoder = np.vstack([components, np.zeros_like(noise)])
    return encoder.T, decoder


def random_start(n_features, n_components, generator):
    """Return a linear encoder and decoder with small random entries; shapes as `linear_start`."""
    return (
        generator.normal(scale=n_features**-0.5, size=(n_features, n_components)),
        generator.normal(scale=n_components**-0.5, size=(n_components, n_features)),
    )
