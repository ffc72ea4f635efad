"""Tables of numbers and categories."""

import numpy as np
import torch
from scipy import sparse

from .._utils.registry import resolve
from .._utils.sklearn import StrOptions
from ._base import Loss
from ._blocks import Block, Blocks, OneHotBlock, find_blocks
from ._links import Multinomial
from .likelihood import Likelihood

_EXAMPLE = "[(slice(0, 3), 'squared_error'), ([3, 4], 'multinomial')]"


class Mixed(Likelihood, Loss, name="mixed"):
    """A loss for each block of columns: squared errors of numbers, cross-entropy of categories.

    The loss of a row is the mean over its features, of which a category is one, however many
    columns it has. Each feature's loss is minus its log likelihood in nats: half the squared error
    over the block's variance, the cross-entropy of a category.

    Parameters
    ----------
    blocks : "auto" or list of (columns, loss), default="auto"
        "auto" reads them off the training data. Consecutive columns of 0 and 1 of which one is 1
        in every row are one category; other columns of 0 and 1 are binary; all others are numbers.
        Otherwise each column of X belongs to one block: columns are an int, a list of ints or a
        slice, and the loss is a name or an object: "squared_error", "absolute_error", "huber",
        "poisson", "binary_cross_entropy", a loss of your own with `per_entry`, or "multinomial"
        for the one-hot columns of one category.

    Attributes
    ----------
    blocks_ : list of (list of int, Loss)
        What was found or given, one entry for each category.

    Raises
    ------
    ValueError
        If a column is in no block or in two, or if values are outside the domain of a block's loss.

    Notes
    -----
    The net sees each block divided by one scale: the root of the mean variance of its features in
    the distinct training rows. Scale numbers of different units beforehand, as for PCA.
    ``components_`` and ``mean_`` are in these units.

    The start is PCA of what the net sees, moved into each block's domain: fractions are at least a
    hundredth of the category's own fraction and sum to one.

    ``inverse_transform`` and ``reconstruct`` return probabilities for categories, of which
    `skae.tables.inverse_column_transform` makes the columns before encoding. A row of zeros is a
    category that the encoder does not know, and counts for nothing. Two columns of 0 and 1 that
    exclude each other by chance are taken for one category: give the blocks by `blocks` then.

    Examples
    --------
    >>> import numpy as np
    >>> from skae import AutoencoderTransformer
    >>> from skae.losses import Mixed
    >>> rng = np.random.default_rng(0)
    >>> kind = rng.integers(3, size=200)
    >>> X = np.column_stack([kind + 0.1 * rng.normal(size=200), np.eye(3)[kind]])
    >>> model = AutoencoderTransformer(1, loss=Mixed(), max_iter=20, random_state=0).fit(X)
    >>> [columns for columns, loss in model.loss_function_.blocks_]
    [[0], [1, 2, 3]]
    >>> model.reconstruct(X)[:, 1:].sum(axis=1).round(6).max()
    np.float64(1.0)
    """

    identity = False
    _parameter_constraints: dict = {"blocks": [StrOptions({"auto"}), list, tuple]}

    def __init__(self, blocks: str | list | tuple = "auto"):
        self.blocks = blocks

    def fit(self, X):
        # The blocks are found and measured by columns, all rows at once.
        X = X.toarray() if sparse.issparse(X) else X
        blocks = find_blocks(X) if isinstance(self.blocks, str) else self.blocks
        self.blocks_ = _resolved(blocks, X.shape[1])
        parts = [Block(*own) for own in self.blocks_ if not isinstance(own[1], Multinomial)]
        categories = [columns for columns, loss in self.blocks_ if isinstance(loss, Multinomial)]
        parts += [OneHotBlock(categories)] if categories else []
        for part in parts:
            part.fit(X[:, part.index])
        columns = np.concatenate([part.columns for part in parts])
        # None where the blocks stand in the order of X.
        self._order = None if (np.diff(columns) > 0).all() else np.argsort(columns)
        self.preparation = Blocks(parts)
        return self

    def check(self, X):
        for block, own in self._split(X.toarray() if sparse.issparse(X) else X):
            block.check(own)

    def _split(self, *values):
        """Yield each block, and its own columns of some values."""
        for block in self.preparation.blocks:
            yield block, *(value[..., block.index] for value in values)

    def _join(self, columns):
        """Return the blocks' columns in the order of X."""
        joined = torch.cat(columns, -1)
        if self._order is None:
            return joined
        return joined[..., torch.as_tensor(self._order, device=joined.device)]

    def link(self, eta):
        return self._join([block.link(own) for block, own in self._split(eta)])

    def inverse_link(self, mu, mean):
        return self._join([block.inverse_link(*own) for block, *own in self._split(mu, mean)])

    def inverse_slope(self, mu, mean):
        return self._join([block.inverse_slope(*own) for block, *own in self._split(mu, mean)])

    @property
    def has_curvature(self):
        return all(block.loss.has_curvature for block in self.preparation.blocks)

    def residual(self, eta, x):
        return self._join([block.residual(*own) for block, *own in self._split(eta, x)])

    def curvature(self, eta, x, d):
        return sum(block.curvature(*own) for block, *own in self._split(eta, x, d))

    def per_entry(self, eta, x):
        return torch.cat([block.per_entry(*own) for block, *own in self._split(eta, x)], 1)

    def observed(self, x):
        return torch.cat([block.observed(own) for block, own in self._split(x)], 1)

    def noise(self, eta, x):
        return [block.noise(*own) for block, *own in self._split(eta, x)]

    def log_likelihood(self, eta, x, noise):
        split = zip(self._split(eta, x), noise, strict=True)
        return torch.cat([block.log_likelihood(*own, value) for (block, *own), value in split], 1)


def _resolved(blocks, n_features):
    """Return the columns and the losses of blocks. Each column of X must be in one."""
    resolved = []
    for block in blocks:
        if not isinstance(block, tuple | list) or len(block) != 2:
            raise ValueError(
                "The 'blocks' parameter of Mixed must be 'auto' or a list of pairs of columns and "
                f"loss, such as {_EXAMPLE}, but holds {block!r}."
            )
        resolved.append((_columns(block[0], n_features), _loss(block[1])))
    every = np.array([j for columns, _ in resolved for j in columns], dtype=int)
    counts = np.bincount(every, minlength=n_features)
    for wrong, where in ((counts == 0, "no block"), (counts > 1, "more than one block")):
        if wrong.any():
            raise ValueError(
                f"Columns {np.flatnonzero(wrong).tolist()} of X are in {where} of the 'blocks' "
                f"parameter of Mixed, but each column must be in one: {blocks!r}."
            )
    return resolved


def _columns(columns, n_features):
    every = np.arange(n_features)
    try:
        found = np.atleast_1d(every[columns if isinstance(columns, slice) else np.array(columns)])
    except (IndexError, TypeError):
        found = every[:0]
    if found.ndim != 1 or not len(found) or np.asarray(columns).dtype == bool:
        raise ValueError(
            "The columns of a block of Mixed must be an int, a list of ints or a slice, at least "
            f"one among the {n_features} of X, got {columns!r}."
        )
    return found.tolist()


def _loss(loss):
    if (isinstance(loss, str) and loss in Loss.registry) or isinstance(loss, Loss):
        loss = resolve(Loss, loss)
        by_entry = type(loss).per_entry is not Loss.per_entry
        unprepared = loss.preparation.is_identity or isinstance(loss, Multinomial)
        if by_entry and unprepared and not loss.discrete and not isinstance(loss, Mixed):
            return loss
    raise ValueError(
        "The loss of a block of Mixed must be a name or an object in skae.losses that is a mean "
        "over columns as they are ('squared_error', 'absolute_error', 'huber', 'poisson', "
        f"'binary_cross_entropy'), or 'multinomial' for one-hot columns, got {loss!r}."
    )
