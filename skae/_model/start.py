"""The start of a fit: the loadings of PCA, and the autoencoder that is PCA."""

from numbers import Integral

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds
from sklearn.decomposition import PCA
from sklearn.utils.extmath import svd_flip

from ..architectures import Plan
from ..architectures._base import COMPLETIONS
from .autoencoder import Autoencoder

# How often PCA is done anew on rows that it has completed.
_COMPLETED_PCAS = 20
# Of the error of the mean: what a perfect start counts as, so that a penalty still has a unit.
_LEAST_FRACTION = 0.01
# Features up to which a large X's covariance is made: a matrix of 32 MiB.
_WIDEST_COVARIANCE = 2048


def pca_start(rows, n_components, random_state, padded=False):
    """Return PCA's loadings of centred rows, of shape (n_components, n_features).

    Where entries are missing, it is the PCA of rows that are completed by it: again and again they
    are filled by PCA's reconstruction, and PCA is done anew. What is NaN in padded rows, the ends
    of shorter sequences, is taken for the mean. `n_components` may be the fraction of the variance
    to keep.

    References
    ----------
    A. Ilin, T. Raiko, "Practical Approaches to Principal Component Analysis in the Presence of
    Missing Values", JMLR 11, 2010.
    """
    components = _pca(_Completed(rows, None), n_components, random_state)
    if not padded and rows.missing:
        n_components = len(components)
        for _ in range(_COMPLETED_PCAS):
            components = _pca(_Completed(rows, components), n_components, random_state)
    return components


class _Completed:
    """Rows with nothing missing, for PCA."""

    def __init__(self, rows, components):
        self.source = rows
        self.components = components
        self.weight = rows.weight
        self.shape = len(rows), rows.n_features
        self.dtype = rows.dtype

    def array(self, part=slice(None)):
        x = self.source.array(part)
        missing = np.isnan(x)
        if not missing.any():
            return x
        filled = np.where(missing, 0, x)
        if self.components is not None:
            for _ in range(COMPLETIONS):
                rebuilt = filled @ self.components.T @ self.components
                filled = np.where(missing, rebuilt, x)
        return filled.astype(x.dtype)

    def blocks(self):
        """Yield the rows with the roots of their weights, some at a time, in float64."""
        for part in self.source.blocks():
            x = self.array(part).astype(np.float64, copy=False)
            yield part, x if self.weight is None else x * np.sqrt(self.weight[part])[:, None]


def _pca(rows, n_components, random_state):
    n_features = rows.shape[1]
    if rows.source.small:
        x, fewest = rows.array(), min(rows.shape)
        # PCA centres anew, which would not leave completed rows the means of what was observed.
        centred = rows.components is None
        if centred and rows.weight is None and x.any() and n_components <= fewest:
            return PCA(n_components, random_state=random_state).fit(x).components_
        return _weighted_pca(x, rows.weight, n_components)
    X, narrow = rows.source.X, n_features <= _WIDEST_COVARIANCE
    if not isinstance(n_components, int) and not narrow:
        raise ValueError(
            f"n_components={n_components!r}, a fraction of the variance, needs the variances of "
            f"all components, and X is too large for that with its {n_features} features (at most "
            f"{_WIDEST_COVARIANCE}). Pass an int."
        )
    if narrow:
        covariance = np.zeros((n_features, n_features))
        for _, x in rows.blocks():
            covariance += x.T @ x
        return _leading(*np.linalg.eigh(covariance), n_components)
    if n_components >= min(rows.shape):
        # The rows are no more numbers than the components.
        return _weighted_pca(rows.array(), rows.weight, n_components)
    constant = rows.source.standardization.rounding > 0
    as_it_is = rows.source.preparation.is_identity and not rows.source.missing
    if not sparse.issparse(X) or not as_it_is or constant:
        return _operator_pca(rows, *_products(rows), n_components, random_state)
    X = X[rows.source.index]
    if rows.weight is None:
        return PCA(n_components, svd_solver="arpack", random_state=random_state).fit(X).components_
    return _operator_pca(rows, *_sparse_products(X, rows), n_components, random_state)


def _products(rows):
    """Return the products of centred rows and of their transpose with vectors."""

    def times(vectors):
        return np.concatenate([x @ vectors for _, x in rows.blocks()])

    def transposed_times(vectors):
        return sum(x.T @ vectors[part] for part, x in rows.blocks())

    return times, transposed_times


def _sparse_products(X, rows):
    """Return the same for sparse rows, which are not made dense for it."""
    X, standardization = X.astype(np.float64), rows.source.standardization
    mean = standardization.mean
    root = np.sqrt(rows.weight) / standardization.scale

    def times(vectors):
        return ((X @ vectors - mean @ vectors).T * root).T

    def transposed_times(vectors):
        weighted = (vectors.T * root).T
        return X.T @ weighted - np.multiply.outer(mean, weighted.sum(0))

    return times, transposed_times


def _operator_pca(rows, times, transposed_times, n_components, random_state):
    """Return the loadings by products with the rows alone, for more features than are squared."""
    operator = LinearOperator(
        rows.shape, times, transposed_times, times, np.float64, transposed_times
    )
    start = np.random.default_rng(random_state).normal(size=min(rows.shape))
    _, singular, loadings = svds(operator, n_components, v0=start)
    loadings = loadings[np.argsort(-singular)]
    return svd_flip(None, loadings, u_based_decision=False)[1].astype(rows.dtype)


def _leading(variance, vectors, n_components):
    """Return the loadings with the largest variances, which come in rising order."""
    variance, loadings = variance[::-1].clip(min=0), np.ascontiguousarray(vectors[:, ::-1].T)
    return _cut(variance, loadings, n_components)


def _cut(variance, loadings, n_components):
    if not isinstance(n_components, int):
        ratio = np.cumsum(variance) / (variance.sum() or 1.0)
        n_components = min(len(ratio), 1 + int(np.searchsorted(ratio, n_components, side="right")))
    return svd_flip(None, loadings[:n_components], u_based_decision=False)[1]


def _weighted_pca(x, weight, n_components):
    # PCA takes no weights. Rows times the roots of their weights have the weighted covariance as
    # their second moment; PCA itself would centre them again.
    rows = x if weight is None else x * np.sqrt(weight)[:, None].astype(x.dtype)
    if isinstance(n_components, int) and len(rows) < n_components:
        rows = np.vstack([rows, np.zeros((n_components - len(rows), x.shape[1]), x.dtype)])
    if len(rows) > x.shape[1]:
        return _leading(*np.linalg.eigh(rows.T @ rows), n_components)
    _, singular, loadings = np.linalg.svd(rows, full_matrices=False)
    return _cut(singular**2, loadings, n_components)


def linear_start(components, n_components, generator):
    """Return the linear encoder and decoder, E and D, that start as PCA.

    Codes wider than PCA's start at random in the encoder and at zero in the decoder, so that the
    reconstruction is PCA's all the same.
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


def draw_seed(generator):
    """Return a seed for torch."""
    return int(generator.integers(np.iinfo(np.int64).max))


def start(rows, settings, missing, limit, generator):
    """Return the autoencoder before the first step, and PCA's loadings if it starts from them.

    `limit` is the number of components that PCA has at most.
    """
    n_components, architecture = settings.n_components, settings.architecture
    if n_components is None:
        # Rows that are there twice add no direction, and a weight of 2 must not either.
        n_components = min(limit, len(rows), rows.n_features)
    components = None
    # Drawn for either start, so that the same seed holds out the same rows.
    seed = int(generator.integers(np.iinfo(np.int32).max))
    pca = settings.init == "pca"
    if pca or not isinstance(n_components, Integral):
        kept = min(int(n_components), limit) if n_components >= 1 else float(n_components)
        components = pca_start(rows, kept, seed, architecture.padded)
        n_components = max(len(components), int(n_components))
    n_components = int(n_components)
    if architecture.tied and n_components > limit and pca:
        raise ValueError(
            f"n_components={n_components} is more than PCA has, {limit}: a tied decoder "
            "cannot start as PCA with them. Pass Dense(tied=False) or fewer components."
        )
    linear = None
    if pca:
        linear = linear_start(components, n_components, generator)
    elif architecture.linear_path is True:
        linear = random_start(rows.n_features, n_components, generator)
    penalty, loss = settings.penalty, settings.loss
    shape = tuple(settings.input_shape or (rows.X.shape[1],))
    plan = Plan(
        loss.preparation.net_shape(shape),
        n_components,
        n_components * (1 if penalty is None else penalty.n_outputs),
        settings.hidden_sizes,
        settings.activation,
        pca,
    )
    model = Autoencoder.build(
        architecture, plan, loss, penalty, rows.standardization, linear, draw_seed(generator)
    )
    if penalty is not None:
        _measure_units(model.module, rows, missing, pca)
    return model, components if pca else None


@torch.no_grad()
def _measure_units(module, rows, missing, pca):
    """Note the spread of the code, the error and the loss: the units of the penalties.

    A start that reconstructs (nearly) everything has a hundredth of what the mean alone leaves.
    """
    criterion = module.loss.per_observed if missing else module.loss.per_sample
    codes, errors, losses, means = [], [], [], []
    for block in rows.blocks():
        part = torch.from_numpy(rows.array(block).astype(np.float64))
        code = module.encode(module.complete(part))
        eta = module.decode(code)
        codes.append(code)
        # A row with nothing in it has no error.
        errors.append((module.reconstruction(eta) - part).square().nanmean(1).nan_to_num())
        target = module.target(part)
        losses.append(criterion(eta, target))
        means.append(criterion(module.decode(torch.zeros_like(code)), target))
    if pca:
        codes = torch.cat(codes).numpy()
        spread = np.sqrt(np.average(codes**2, axis=0, weights=rows.weight))
        module.spread[:] = torch.from_numpy(np.where(spread > 1e-6, spread, 1.0))
    error, loss, of_mean = (
        np.average(torch.cat(values).numpy(), weights=rows.weight)
        for values in (errors, losses, means)
    )
    # 1 is the error of the mean, by the scale.
    module.noise.fill_(max(error, _LEAST_FRACTION))
    module.start_loss.fill_(max(loss, _LEAST_FRACTION * of_mean))
