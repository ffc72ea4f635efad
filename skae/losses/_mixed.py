"""Tables of numbers and categories."""

import numpy as np
import torch
from scipy import sparse

from .._compat import StrOptions
from .._strategies import resolve
from ._base import Loss
from ._blocks import Block, OneHot, find_blocks
from ._links import Multinomial

_EXAMPLE = "[(slice(0, 3), 'squared_error'), ([3, 4], 'multinomial')]"


class Mixed(Loss, name="mixed"):
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

    The start is PCA of what the net sees, moved into each block's domain: shares are at least a
    hundredth of the category's own share and sum to one.

    ``inverse_transform`` and ``reconstruct`` return probabilities for categories;
    `skae.columns.inverse_column_transform` makes the columns before encoding of them. A row of
    zeros is a category that the encoder does not know, and counts for nothing.

    Two columns of 0 and 1 that exclude each other by chance in a small table are taken for one
    category: say what they are by `blocks`.

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

    def __init__(self, blocks="auto"):
        self.blocks = blocks

    def bind(self, X):
        # The blocks are found and measured by columns, all rows at once.
        X = X.toarray() if sparse.issparse(X) else X
        if not hasattr(self, "_parts"):
            blocks = _found(X) if isinstance(self.blocks, str) else _given(self.blocks, X.shape[1])
            categories = [columns for columns, loss in blocks if isinstance(loss, Multinomial)]
            parts = [Block(*block) for block in blocks if not isinstance(block[1], Multinomial)]
            if categories:
                parts.append(OneHot(categories, Multinomial()))
            self.blocks_, self._parts = blocks, parts
            self._order = np.argsort(np.concatenate([part.columns for part in parts]))
        for part in self._parts:
            part.bind(X[:, part.index])

    @property
    def _n_entries(self):
        return sum(part.n_entries for part in self._parts)

    @property
    def entry_width(self):
        return len(self._order) / self._n_entries

    def prepare(self, X):
        seen = np.empty_like(X)
        for part in self._parts:
            seen[:, part.index] = part.prepare(X[:, part.index])
        return seen, None

    def restore(self, mu):
        X = np.empty_like(mu)
        for part in self._parts:
            X[:, part.index] = part.restore(mu[:, part.index])
        return X

    def _join(self, columns):
        """Return the blocks' columns in the order of X."""
        joined = torch.cat(columns, -1)
        return joined[..., torch.as_tensor(self._order, device=joined.device)]

    def link(self, eta):
        return self._join([part.link(eta[:, part.index]) for part in self._parts])

    def inverse_link(self, mu, mean):
        # without a linear path mu is one row, the mean
        return self._join(
            [part.inverse_link(mu[..., part.index], mean[part.index]) for part in self._parts]
        )

    def _of_parts(self, method, eta, x, arguments):
        return torch.cat(
            [
                getattr(part, method)(eta[:, part.index], x[:, part.index], *own)
                for part, own in zip(self._parts, arguments, strict=True)
            ],
            dim=1,
        )

    def per_entry(self, eta, x):
        return self._of_parts("per_entry", eta, x, [()] * len(self._parts))

    def log_likelihood(self, eta, x, noise):
        return self._of_parts("log_likelihood", eta, x, [(value,) for value in noise])

    def observed(self, x):
        return torch.cat([part.observed(x[:, part.index]) for part in self._parts], 1)

    def noise(self, eta, x):
        return [part.noise(eta[:, part.index], x[:, part.index]) for part in self._parts]


def _found(X):
    numeric, binary, features = find_blocks(X)
    blocks = [(numeric, "squared_error"), (binary, "binary_cross_entropy")]
    blocks += [(columns, "multinomial") for columns in features]
    return [(columns, resolve(Loss, loss)) for columns, loss in blocks if columns]


def _given(blocks, n_features):
    """Return the columns and the losses of blocks as they were given, each column in one."""
    resolved = []
    for block in blocks:
        if not isinstance(block, tuple | list) or len(block) != 2:
            raise ValueError(
                "The 'blocks' parameter of Mixed must be 'auto' or a list of pairs of columns and "
                f"loss, such as {_EXAMPLE}, but holds {block!r}."
            )
        resolved.append((_columns(block[0], n_features), _loss(block[1])))
    counts = np.zeros(n_features, dtype=int)
    for columns, _ in resolved:
        np.add.at(counts, columns, 1)
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
        if by_entry and not loss.discrete and not isinstance(loss, Mixed):
            return loss
    raise ValueError(
        "The loss of a block of Mixed must be a name or an object in skae.losses that is a mean "
        "over columns ('squared_error', 'absolute_error', 'huber', 'poisson', "
        f"'binary_cross_entropy'), or 'multinomial' for one-hot columns, got {loss!r}."
    )
