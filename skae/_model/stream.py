"""Rows that come in chunks: their mean, their scale and their PCA, updated incrementally."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.utils.extmath import svd_flip

from .._data.rows import Moments, Standardization
from .._utils.torch import limit_threads, threads_for
from .autoencoder import Autoencoder
from .start import _WIDEST_COVARIANCE, Seen, _Completed, counted, linear_start, repeats

# Rows by which the net is compared with its start: the latest.
_JUDGED_ROWS = 2000


@dataclass
class Stream(Seen):
    """What is known of the rows of a stream.

    `start` are the loadings that the net's linear paths start from: the components, rotated towards
    the earlier ones once the net is trained.
    """

    start: np.ndarray | None = None

    @classmethod
    def after_fit(cls, seen):
        """Return the stream that begins with what a fit has seen."""
        if isinstance(seen, cls):
            return seen
        stream = cls(**vars(seen), start=seen.components)
        # A trained net has chosen by rows that it held out.
        return stream if seen.trained else stream.untrained()

    def untrained(self):
        """Return the stream of a net that is PCA."""
        losses = None if self.components is None else np.empty((2, 0), np.float32)
        return replace(self, start=self.components, trained=False, losses=losses)

    @property
    def standardization(self):
        return self.moments.standardization()

    def after(self, rows, n_rows, n_components):
        """Return the stream after some more rows.

        The update of the components is that of IncrementalPCA.

        References
        ----------
        D. Ross, J. Lim, R. Lin, M. Yang, "Incremental Learning for Robust Visual Tracking",
        International Journal of Computer Vision 77, 2008.
        """
        new = counted(rows, n_rows)
        moments = self.moments.plus(new)
        if self.components is None:
            return replace(self, moments=moments)
        scale = moments.standardization().scale
        both = np.where(moments.count > 0, moments.count, 1)
        shift = np.sqrt(self.moments.count * new.count / both) * (self.moments.mean - new.mean)
        singular = self.singular * (self.standardization.scale / scale)
        centred = copy.copy(rows)
        centred.standardization = Standardization(new.mean, scale)
        root = np.sqrt(repeats(rows, n_rows))
        blocks = (x * root for _, x in _Completed(centred, self.components).blocks())
        kept = np.vstack([singular[:, None] * self.components, shift / scale])
        singular, components = _leading(kept, blocks, len(rows), n_components)
        start = components
        if self.trained:
            # The nonlinear paths know codes along the old loadings.
            earlier = np.zeros_like(components)
            earlier[: len(self.start)] = self.start
            u, _, v = np.linalg.svd(earlier @ components.T)
            start = u @ v @ components
        return replace(self, moments=moments, components=components, singular=singular, start=start)

    def judge(self, net, rows, start):
        """Note the losses of the start and of the net for rows that it was not trained on."""
        rows = net.get_split_datasets(rows)[0]
        own, found = copy.deepcopy(net.module_.state_dict()), []
        with limit_threads(threads_for(len(rows) * net.model.n_weights)):
            for weights in (start.module.state_dict(), own):
                net.module_.load_state_dict(weights)
                found.append(net.evaluate(rows, held_out=True)[0].numpy())
        self.losses = np.hstack([self.losses, found])[:, -_JUDGED_ROWS:]


def seen_from_state(state):
    """Return what a state of `Seen` or `Stream` was made of."""
    kind = Stream if "start" in state else Seen
    return kind(**state | {"moments": Moments(**state["moments"])})


def follow(model, before, after):
    """Return an autoencoder after more rows, given the `Stream`s before and after them."""
    other = model.with_module(model.module)
    other.standardization = after.standardization
    if not model.loss.identity:
        other.module.mean[:] = torch.from_numpy(other.standardization.mean)
        other.module.scale = other.standardization.scale
    # It is about the rows before these.
    other.module.fallback = None
    move_linear_paths(other.module.state_dict(), before, after)
    if model.loadings is not None:
        other.loadings = torch.zeros_like(model.loadings)
        other.loadings[: len(after.start)] = torch.from_numpy(after.start)
    return other


@torch.no_grad()
def start_again(model, stream):
    """Return the autoencoder that is the PCA of a stream, of the kind of another."""
    linear = linear_start(stream.components, model.n_components, np.random.default_rng(0))
    parts = model.architecture, model.plan, model.loss, model.penalty, stream.standardization
    other = Autoencoder.build(*parts, linear, 0)
    for buffer, value in zip(other.module.buffers(), model.module.buffers(), strict=True):
        buffer.copy_(value)
    if model.loadings is not None:
        other.loadings = torch.from_numpy(linear[1])
    other.keep_start()
    return other


@torch.no_grad()
def move_linear_paths(weights, before, after):
    """Let the linear paths in a dict of weights start from the latest loadings, in place.

    What they have learnt since their start stays.
    """
    if after.start is None:
        return
    before, after = torch.from_numpy(before.start), torch.from_numpy(after.start)
    n = len(before)
    for name in ("E", "D"):
        if name in weights:
            path = weights[name].t() if name == "E" else weights[name]
            path[:n] += (after[:n] - before).to(path)
            path[n : len(after)] = after[n:].to(path)


def _leading(kept, blocks, n_rows, n_components):
    """Return the leading singular values and vectors of `kept` with blocks of rows below it."""
    n_features = kept.shape[1]
    if n_features <= min(n_rows, _WIDEST_COVARIANCE):
        squares = kept.T @ kept
        for x in blocks:
            squares += x.T @ x
        values, vectors = np.linalg.eigh(squares)
        singular, vectors = np.sqrt(values[::-1].clip(min=0)), vectors.T[::-1].copy()
        return singular[:n_components], svd_flip(None, vectors, False)[1][:n_components]
    for x in blocks:
        _, singular, vectors = np.linalg.svd(np.vstack([kept, x]), full_matrices=False)
        singular, vectors = singular[:n_components], vectors[:n_components]
        kept = singular[:, None] * vectors
    return singular, svd_flip(None, vectors, False)[1]
