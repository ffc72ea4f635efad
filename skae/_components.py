"""How many components a code needs: n_components="auto"."""

import math

import numpy as np
import torch

from ._data.rows import Rows
from ._data.selection import merge_rows, resolve_batch_size, split_rows
from ._fit import Settings, _fitting, new_generator
from ._model.start import pca_start
from ._training.reports import logger
from ._utils.torch import limit_threads
from .losses import LOSSES
from .penalties import Ordered

# The net has at most so many components, and as many as PCA needs for that part of the variance.
_MOST, _VARIANCE = 64, 0.99
# It trains for this part of the epochs of a fit, rounded up: less than half of a fit's time, as a
# step of it takes longer.
_EPOCHS = 1 / 6
# It sees so many distinct rows at most, without those that are held out to choose by.
_MOST_ROWS, _HELD_OUT = 20_000, 0.2
# Rows that are decoded at once, for every number of components.
_BLOCK_ROWS = 512


class _FirstComponents(Ordered):
    """Nested dropout of all rows. The first component is as often the last one as 2 and 3 are."""

    def draw(self, batch):
        n, k = batch.code.shape
        chances = 1 / torch.arange(1.0, k + 1)
        kept = 1 + torch.multinomial(chances, n, True, generator=batch.generator)
        mask = torch.arange(k) < kept[:, None]
        return batch.code * mask.to(batch.code.device)


def choose_components(X, sample_weight, settings, previous, target):
    """Return the number of components that a fit with some settings should have.

    A fit that goes on from a previous one keeps its number.

    One net is trained whose components are ordered: the first j are a code of their own. Of rows
    that it has not seen, the smallest j is chosen whose reconstruction is as close to the rows
    without their noise as that of any other j, up to one standard error; see `fewest_components`.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    sample_weight : ndarray of shape (n_samples,) or None
    settings : Settings
    previous : Fitted or None
    target : ndarray, CSR matrix or None
        As a fit takes them.

    References
    ----------
    O. Rippel et al., "Learning Ordered Representations with Nested Dropout", ICML 2014.
    """
    if previous is not None:
        return previous.model.n_components
    _check(settings, target)
    with limit_threads(1):
        index, weight = merge_rows(X, sample_weight)
        generator = new_generator(settings)
        some = np.sort(generator.permutation(len(index))[:_MOST_ROWS])
        index, weight = index[some], None if weight is None else weight[some]
        train, held_out = split_rows(len(index), _HELD_OUT, generator)
        if not len(held_out):
            return 1
        rows = Rows(X, index, weight, settings.loss.preparation)
        if settings.architecture.padded and rows.missing:
            raise ValueError(
                "n_components='auto' needs sequences of one length, and X has shorter ones, which "
                "end in NaN. Pass an int."
            )
        known = rows.take(train)
        most = _most_components(known)
    if most == 1:
        return 1
    # It starts as PCA wherever a net can, because so few epochs do not bring it far.
    init = "pca" if settings.architecture.linear_path else settings.init
    own = {"n_components": most, "penalty": _FirstComponents(), "init": init}
    own |= {"early_stopping": True, "callbacks": None, "checkpoint": None, "verbose": 0}
    # Batches as small as in a single epoch: larger ones leave so few epochs too few steps.
    own["batch_size"] = resolve_batch_size(settings.batch_size, len(train), max_iter=1)
    # The rows held out here are in nothing that it learns, the PCA that it starts as included.
    fit = _fitting(X[known.index], known.weight, Settings(settings.params | own), keep_codes=False)
    training = next(fit)
    net = training.net
    net.max_epochs = math.ceil(_EPOCHS * net.max_epochs)
    training.run()
    held_out = rows.take(held_out)
    held_out.standardization = training.rows.standardization
    with limit_threads(1):
        errors, n_features = _errors(net.module_.eval(), held_out.hold(net.device))
    found = fewest_components(errors, held_out.weight, max(n_features, most + 1))
    logger.info("n_components='auto': %d of at most %d components", found, most)
    return found


def _check(settings, target):
    """Check that the number of components can be found."""
    if target is not None:
        raise ValueError(
            "n_components='auto' needs a fit to X alone, and here is a target. Pass an int, or the "
            "n_components_ of a fit to the target."
        )
    if not (settings.loss.identity and settings.loss.preparation.is_identity):
        names = ", ".join(
            repr(name)
            for name, loss in LOSSES.items()
            if loss.identity and loss.preparation.is_identity
        )
        raise ValueError(
            "n_components='auto' needs a loss whose reconstructions are entries of X themselves: "
            f"{names}; got loss={settings.params['loss']!r}. Pass an int with this one."
        )
    if settings.distributed:
        raise ValueError(
            "n_components='auto' needs distributed=False. Fit to some of the rows in one process, "
            "and pass the n_components_ that it finds."
        )


def _most_components(rows):
    """Return how many components are tried: those that PCA needs for most of the variance."""
    most = min(_MOST, rows.n_features - 1, len(rows) // 2)
    if most < 2:
        return 1
    loadings, along, total = pca_start(rows, most, 0)[0], 0.0, 0.0
    for part in rows.blocks():
        x = np.nan_to_num(rows.array(part).astype(np.float64, copy=False))
        weight = np.ones(len(x)) if rows.weight is None else rows.weight[part]
        along = along + weight @ (x @ loadings.T) ** 2
        total += weight @ (x**2).sum(1)
    return min(most, 1 + int((np.cumsum(along) < _VARIANCE * total).sum()))


@torch.inference_mode()
def _errors(module, rows):
    """Return the squared error of rows with their first j components, for each j, summed over the
    features, and the number of features that are not the same in all of these rows."""
    errors, squares = [], 0.0
    for part in rows.blocks(_BLOCK_ROWS):
        x = rows.batch(part)["x"]
        code = module.encode(module.complete(x))
        first = torch.zeros_like(code)
        columns = []
        for j in range(code.shape[1]):
            first[:, j] = code[:, j]
            columns.append((module.decode(first) - x).square().nanmean(1).nan_to_num())
        errors.append(torch.stack(columns, 1).double().cpu())
        squares = squares + x.nan_to_num().square().sum(0)
    return torch.cat(errors).numpy() * rows.n_features, int((squares > 0).sum())


def fewest_components(errors, weight, n_features):
    """Return the smallest width whose reconstruction is as close to the clean rows as any.

    A component that keeps some variance of a row keeps noise, too. Where the noise has the variance
    s in each direction, the expected squared distance of a projection on j directions from the row
    without its noise is its error on the row itself plus 2 j s, up to a constant (Mallows, Stein).
    A component pays for itself if it lowers the error by more than 2 s, which with many rows is
    Gavish's and Donoho's threshold for singular values. The noise is not known: s is what the
    chosen components leave, over the directions that are left. So the choice begins with all
    components and is repeated, with the noise that it implies, until it stays.

    Parameters
    ----------
    errors : ndarray of shape (n_rows, n_widths)
        The squared error of each held-out row with the first 1, 2, ... components.
    weight : ndarray of shape (n_rows,) or None
        How much each row counts.
    n_features : int
        The number of directions that the rows vary in; larger than n_widths.

    References
    ----------
    C. L. Mallows, "Some Comments on Cp", Technometrics 15(4), 1973.

    C. M. Stein, "Estimation of the Mean of a Multivariate Normal Distribution", Annals of
    Statistics 9(6), 1981.

    M. Gavish, D. L. Donoho, "The Optimal Hard Threshold for Singular Values is 4/sqrt(3)", IEEE
    Transactions on Information Theory 60(8), 2014.

    L. Breiman, J. H. Friedman, R. A. Olshen, C. J. Stone, "Classification and Regression Trees",
    1984: the rule of one standard error.
    """
    weight = np.ones(len(errors)) if weight is None else weight / weight.max()
    # Of rows of unequal weight a mean varies as that of so many.
    count = weight.sum() ** 2 / (weight**2).sum()
    widths = np.arange(1, errors.shape[1] + 1)
    left = np.average(errors, axis=0, weights=weight)
    found = len(widths)
    while True:
        noise = left[found - 1] / (n_features - found)
        risks = errors + 2 * noise * widths
        best = np.average(risks, axis=0, weights=weight).argmin()
        excess = risks - risks[:, [best]]
        mean = np.average(excess, axis=0, weights=weight)
        variance = np.average((excess - mean) ** 2, axis=0, weights=weight)
        smallest = 1 + int((mean <= np.sqrt(variance / max(count - 1, 1))).argmax())
        if smallest >= found:
            return found
        found = smallest
