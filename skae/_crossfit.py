"""Nets trained on a fold each; a row is scored by those that were not trained on it."""

import numpy as np
import torch

from ._attribution import integrated_gradients
from ._folds import Folds
from ._strategies import resolve
from ._transformer import AutoencoderTransformer
from .scorings import Scoring, View

# Rows that a net scores at once: what keeps its layers in the cache.
_CHUNK = 4096


class CrossFit:
    """Autoencoders and their scorings, one of each a fold.

    Parameters
    ----------
    n_folds : int
    generator : numpy.random.Generator
        Draws the folds and the seeds.

    Attributes
    ----------
    estimators : list of AutoencoderTransformer
        Each trained on the rows of its own fold.
    scorings : list of Scoring
        Each fitted to the same rows as the net it belongs to.
    """

    def __init__(self, n_folds, generator):
        self.generator = generator
        self.folds = Folds(n_folds)
        seeds = generator.integers(np.iinfo(np.int32).max, size=n_folds)
        self.estimators = [AutoencoderTransformer(random_state=int(seed)) for seed in seeds]
        self.scorings = []

    def train(self, rows, weight, params, one_pass):
        """Train each net on the rows of its fold.

        Parameters
        ----------
        rows : ndarray of shape (n, n_features)
            Distinct rows.
        weight : ndarray of shape (n,)
        params : callable
            Returns the nets' parameters for a number of rows.
        one_pass : bool
            Whether to go on with one pass over the rows.
        """
        folds = self.folds.add(rows, self.generator)
        for fold, net in enumerate(self.estimators):
            own = folds == fold
            if not own.any():
                if net.__sklearn_is_fitted__():
                    continue
                # There are fewer distinct rows than folds.
                own[:] = True
            net.set_params(**params(int(own.sum())))
            some, counts = rows[own], weight[own]
            if len(some) == 1:
                # One row twice, because a fit takes two.
                some, counts = some.repeat(2, axis=0), counts.repeat(2) / 2
            (net.partial_fit if one_pass else net.fit)(some, sample_weight=counts)

    def learn_usual(self, rows, weight, scoring):
        """Fit a scoring to what each net makes of the rows of its fold."""
        self.scorings = []
        folds = self.folds.find(rows)
        for fold, net in enumerate(self.estimators):
            own = folds == fold
            if own.sum() < 2:
                # A single row has no spread.
                own[:] = True
            with torch.no_grad():
                views = [_view(net, *_to_net(net, part)) for part in _chunks(rows[own])]
            fitted = resolve(Scoring, scoring)
            fitted.fit(View(*map(torch.cat, zip(*views, strict=True))), weight[own])
            self.scorings.append(fitted)

    def distances(self, X):
        """Return how unusual rows are: the mean over the nets not trained on the row.

        Parameters
        ----------
        X : ndarray of shape (n, n_features)

        Returns
        -------
        distances : ndarray of shape (n,)
        """
        total = np.zeros(len(X))
        for net, scoring, share in self._say(X):
            with torch.no_grad():
                parts = [scoring.distance(_view(net, *_to_net(net, x))) for x in _chunks(X)]
            total += share * torch.cat(parts).numpy()
        return total

    def contributions(self, X, centre):
        """Return each feature's share of the distances; their sum over the features is that.

        Parameters
        ----------
        X : ndarray of shape (n, n_features)
        centre : ndarray of shape (n_features,)
            The row that has nothing unusual.

        Returns
        -------
        contributions : ndarray of shape (n, n_features)
        """
        total = np.zeros(X.shape)
        for net, scoring, share in self._say(X):
            baseline, _ = _to_net(net, centre[None])
            parts = []
            for part in _chunks(X):
                x, missing = _to_net(net, part)

                def distance(rows, net=net, scoring=scoring, missing=missing):
                    return scoring.distance(_view(net, rows, missing))

                # What is missing does not change along the line, and so contributes nothing.
                parts.append(integrated_gradients(distance, x, torch.where(missing, x, baseline)))
            # the net may see an entry as several values: a token's indicators
            shares = torch.cat(parts).numpy().reshape(*X.shape, -1).sum(2)
            total += share[:, None] * shares
        return total

    def knows(self, X):
        """Return which rows were trained on.

        Parameters
        ----------
        X : ndarray of shape (n, n_features)

        Returns
        -------
        known : ndarray of shape (n,), bool
        """
        return self.folds.find(X) >= 0

    def _say(self, X):
        """Yield each net, its scoring and its say in the score of each row."""
        folds = self.folds.find(X)
        n_nets = len(self.estimators)
        for fold, (net, scoring) in enumerate(zip(self.estimators, self.scorings, strict=True)):
            yield net, scoring, np.where(folds < 0, 1 / n_nets, (folds != fold) / (n_nets - 1))


def _chunks(X):
    """Yield rows as float64, some at a time: X may be a memory map of other numbers."""
    for start in range(0, len(X), _CHUNK):
        yield np.ascontiguousarray(X[start : start + _CHUNK], dtype=np.float64)


def _to_net(net, X):
    """Return rows as a net sees them, completed by it, and where entries were missing."""
    X, _ = net.loss_function_.prepare(X)
    x = torch.from_numpy(net._to_net(X))
    return net.module_.complete(x), torch.isnan(x)


def _view(net, x, missing):
    """Return what a net makes of its rows, in float64 and differentiable."""
    module, loss = net.module_, net.loss_function_
    code = module.encode(x)
    eta = module.decode(code)
    target = module.head.target(x)
    if not missing.any():
        return View(code, x - module.head.to_net(eta), loss.per_sample(eta, target))
    # Where there is no value, nothing is off.
    residual = torch.where(missing, 0.0, x - module.head.to_net(eta))
    return View(code, residual, loss.per_observed(eta, target.masked_fill(missing, torch.nan)))
