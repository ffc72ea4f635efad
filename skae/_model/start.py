"""PCA: its loadings, the autoencoder that starts as it, and the variances that are explained."""

import warnings
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds
from sklearn.decomposition import PCA
from sklearn.utils.extmath import randomized_svd, svd_flip

from .._data.rows import Moments
from .._utils.sklearn import _infer_dimension
from ..architectures import Plan
from ..architectures._base import COMPLETIONS
from ..penalties._base import measure_units
from .autoencoder import MEASURED_AT_ONCE, Autoencoder

# How often PCA is done anew on rows that it has completed.
_COMPLETED_PCAS = 20
# Features up to which a large X's covariance is made: a matrix of 32 MiB.
_WIDEST_COVARIANCE = 2048
# Rows times features times the smaller of both up to which all singular vectors are computed: a few
# seconds. Above it the covariance is used, or, for more features than that takes, a randomized SVD.
LARGEST_SVD = 2**33
# Below this fraction of all components a randomized SVD takes less time.
_FEW = 0.8
# By how much a fraction of the variance may miss that of some components and still be meant as it.
_SHARE_ROUNDING = 1e-12


@dataclass
class Seen:
    """What is known of all rows so far, from which another chunk of them goes on.

    `components` are PCA's loadings and `singular` their singular values for standardized rows, or
    both are None where the net does not start as PCA. `trained` tells whether the net has left its
    start. `losses` are those of PCA and of the net for the latest rows of a stream, before the net
    was trained on them; None where that is not to be asked.
    """

    moments: Moments
    components: np.ndarray | None
    singular: np.ndarray | None
    trained: bool = False
    losses: np.ndarray | None = None

    @classmethod
    def of(cls, rows, n_rows, components, singular):
        """Return what is known after rows, which are `n_rows` in X by their weights."""
        if singular is not None:
            singular = np.sqrt(repeats(rows, n_rows)) * singular
        return cls(counted(rows, n_rows), components, singular)


def counted(rows, n_rows):
    """Return the moments of rows with the counts that they have in X."""
    return replace(rows.moments, count=rows.moments.count * repeats(rows, n_rows))


def repeats(rows, n_rows):
    """Return how often each distinct row is there, where all are as often."""
    return n_rows / len(rows) if rows.weight is None else 1.0


def pca_start(rows, n_components, random_state, padded=False):
    """Return PCA's loadings of centred rows, (n_components, n_features), and singular values.

    Where entries are missing, it is the PCA of rows that are completed by it: again and again they
    are filled by PCA's reconstruction, and PCA is done anew. What is NaN in padded rows, the ends
    of shorter sequences, is taken for the mean. `n_components` may be the fraction of the variance
    to keep, or "mle".

    References
    ----------
    A. Ilin, T. Raiko, "Practical Approaches to Principal Component Analysis in the Presence of
    Missing Values", JMLR 11, 2010.
    """
    components, singular = _pca(_Completed(rows, None), n_components, random_state)
    if not padded and rows.missing:
        n_components = len(components)
        for _ in range(_COMPLETED_PCAS):
            components, singular = _pca(_Completed(rows, components), n_components, random_state)
    return components, singular


def row_count(rows):
    """Return how many rows there are: the sum of their weights, unless these are only fractions."""
    total = 0 if rows.weight is None else float(rows.weight.sum())
    return total if total >= 2 else len(rows)


class _Completed:
    """Rows with nothing missing, for PCA."""

    def __init__(self, rows, components):
        self.source = rows
        self.components = components
        self.weight = rows.weight
        self.count = row_count(rows)
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
    n_samples, n_features = rows.shape
    fewest, source = min(rows.shape), rows.source
    narrow = n_features <= _WIDEST_COVARIANCE
    size = n_samples * n_features * fewest
    whole = not isinstance(n_components, int) or n_components >= _FEW * fewest
    # PCA of completed rows is done often, and need not be exact.
    if narrow and (size > LARGEST_SVD or (n_samples > n_features and rows.components is not None)):
        return _covariance_pca(rows, n_components)
    if narrow or (source.small and (whole or size <= LARGEST_SVD)):
        return _exact_pca(rows, n_components)
    if not isinstance(n_components, int):
        raise ValueError(
            f"n_components={n_components!r} needs the variances of all components, and X is too "
            f"large for that with its {n_features} features (at most {_WIDEST_COVARIANCE}). Pass "
            "an int."
        )
    if n_components >= fewest:
        # The rows are no more numbers than the components.
        return _exact_pca(rows, n_components)
    if source.small:
        x = np.concatenate([x for _, x in rows.blocks()])
        _, singular, loadings = randomized_svd(x, n_components, random_state=random_state)
        return svd_flip(None, loadings, u_based_decision=False)[1], singular
    constant = source.standardization.rounding > 0
    as_it_is = source.preparation.is_identity and not source.missing
    if not sparse.issparse(source.X) or not as_it_is or constant:
        return _operator_pca(rows, *_products(rows), n_components, random_state)
    X = source.X[source.index]
    if rows.weight is None:
        pca = PCA(n_components, svd_solver="arpack", random_state=random_state).fit(X)
        return pca.components_, pca.singular_values_ / source.standardization.scale
    return _operator_pca(rows, *_sparse_products(X, rows), n_components, random_state)


def _exact_pca(rows, n_components):
    """Return loadings and singular values by a singular value decomposition."""
    x = np.empty((0, rows.shape[1]))
    for _, block in rows.blocks():
        x = np.vstack([x, block])
        if len(x) > x.shape[1]:
            # The triangle has the singular values and the loadings of the rows.
            x = np.linalg.qr(x, mode="r")
    if isinstance(n_components, int) and len(x) < n_components:
        x = np.vstack([x, np.zeros((n_components - len(x), x.shape[1]))])
    _, singular, loadings = np.linalg.svd(x, full_matrices=False)
    return _cut(singular**2, loadings, n_components, rows.count)


def _covariance_pca(rows, n_components):
    """Return them in less time; small variances are off by the rounding of large ones."""
    covariance = np.zeros((rows.shape[1], rows.shape[1]))
    for _, x in rows.blocks():
        covariance += x.T @ x
    variance, vectors = np.linalg.eigh(covariance)
    variance, loadings = variance[::-1].clip(min=0), np.ascontiguousarray(vectors[:, ::-1].T)
    return _cut(variance, loadings, n_components, rows.count)


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
    """Return them by products with the rows alone, for more features than are squared."""
    operator = LinearOperator(
        rows.shape, times, transposed_times, times, np.float64, transposed_times
    )
    start = np.random.default_rng(random_state).normal(size=min(rows.shape))
    _, singular, loadings = svds(operator, n_components, v0=start)
    order = np.argsort(-singular)
    loadings = svd_flip(None, loadings[order], u_based_decision=False)[1].astype(rows.dtype)
    return loadings, singular[order]


def _cut(variance, loadings, n_components, n_samples):
    """Return the first of them: how many, the sums of squares along all of them may tell."""
    if n_components == "mle":
        n_components = max(1, int(_infer_dimension(variance / max(n_samples - 1, 1), n_samples)))
    elif not isinstance(n_components, int):
        ratio = np.cumsum(variance) / (variance.sum() or 1.0) - _SHARE_ROUNDING
        n_components = min(len(ratio), 1 + int(np.searchsorted(ratio, n_components, side="right")))
    loadings = svd_flip(None, loadings[:n_components], u_based_decision=False)[1]
    return loadings, np.sqrt(variance[:n_components])


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


class Variances:
    """The variances of the codes of some rows, and of what their reconstructions leave.

    Those of each row are in the units in which the module sees it, and sums over the features.

    Parameters
    ----------
    count : float
        The number of rows.
    n_features : int
    codes : ndarray of shape (n_components, n_components)
        The covariance of the codes.
    total : float
        The variance of the rows.
    left : float
        The mean squared error of the reconstruction.
    """

    def __init__(self, count, n_features, codes, total, left):
        self.count = count
        self.n_features = n_features
        self.codes = codes
        self.total = total
        self.left = left

    @classmethod
    def of(cls, rows, module, count):
        """Return those of rows that stand for so many; missing entries are left out."""
        codes, features = 0.0, 0.0
        for part in rows.blocks(MEASURED_AT_ONCE):
            x = torch.from_numpy(rows.array(part)).to(module.spread)
            weight = torch.ones(len(x)) if rows.weight is None else torch.tensor(rows.weight[part])
            weight = weight.to(x)
            with torch.inference_mode():
                z = module.encode(module.complete(x))
                residual = module.reconstruction(module.decode(z)).sub_(x)
                z = z if module.fallback is None else module.fallback.in_place(z)
                z = torch.cat([torch.ones_like(z[:, :1]), z], 1).double()
                codes = codes + (z.T * weight) @ z
                found = [weight @ v.nan_to_num() for v in (x, x.square(), residual.square_())]
                features = features + torch.stack([weight @ (~x.isnan()).to(x), *found]).double()
        codes, features = codes.cpu().numpy(), features.cpu().numpy()
        mean = codes[0, 1:] / codes[0, 0]
        covariance = codes[1:, 1:] / codes[0, 0] - np.multiply.outer(mean, mean)
        observed = np.where(features[0] > 0, features[0], 1)
        first, second, left = features[1:] / observed
        return cls(count, rows.n_features, covariance, (second - first**2).sum(), left.sum())

    @property
    def unbiased(self):
        """By how much the mean square over the rows is smaller than the unbiased variance."""
        return self.count / (self.count - 1) if self.count > 1 else 1.0

    @property
    def explained(self):
        """The variance of each code."""
        return self.unbiased * np.diag(self.codes).clip(min=0)

    @property
    def ratio(self):
        """The fraction of the variance that is reconstructed, divided among the codes."""
        explained = self.explained
        kept = (1 - self.left / self.total) if self.total > 0 else 0.0
        return kept * explained / (explained.sum() or 1.0)

    @property
    def noise(self):
        """The mean variance of the directions that the codes leave."""
        n_left = min(self.count, self.n_features) - len(self.codes)
        return self.unbiased * self.left / n_left if n_left >= 1 else 0.0


def draw_seed(generator):
    """Return a seed for torch."""
    return int(generator.integers(np.iinfo(np.int64).max))


def start(rows, settings, missing, limit, generator):
    """Return the autoencoder before the first step, and PCA's loadings and singular values.

    These are None where it does not start from them.

    `limit` is the number of components that PCA has at most.
    """
    n_components, architecture = settings.n_components, settings.architecture
    if n_components is None:
        # Rows that are there twice add no direction, and a weight of 2 must not either.
        n_components = min(limit, len(rows), rows.n_features)
    components = singular = None
    # Drawn for either start, so that the same seed holds out the same rows.
    seed = int(generator.integers(np.iinfo(np.int32).max))
    pca = settings.init == "pca"
    if isinstance(n_components, Integral):
        n_components = int(n_components)
    elif n_components == "mle" and limit < rows.n_features:
        raise ValueError(
            "n_components='mle' is only supported if n_samples >= n_features, but X has "
            f"{limit} samples and {rows.n_features} features. Pass an int or a float in (0, 1)."
        )
    if pca or not isinstance(n_components, int):
        kept = min(n_components, limit) if isinstance(n_components, int) else n_components
        components, singular = pca_start(rows, kept, seed, architecture.padded)
        if not isinstance(n_components, int):
            n_components = len(components)
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
    if settings.input_shape is None and architecture.series and loss.preparation.is_identity:
        warnings.warn(
            f"Without input_shape each row is taken for a series of {shape[0]} steps of one value "
            f"by architecture={settings.params['architecture']!r}. Pass input_shape={shape} if it "
            "is one, or the shape that a sample has.",
            stacklevel=2,
        )
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
    if pca and not architecture.padded:
        model.loadings = torch.from_numpy(np.array(linear[1], np.float64))
    if penalty is not None:
        measure_units(model.module, rows, missing, pca)
    return (model, components, singular) if pca else (model, None, None)
