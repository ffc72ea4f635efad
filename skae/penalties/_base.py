"""The base class of the penalties, and what a penalty sees of a batch."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from torch import nn

from .._utils.registry import Strategy
from .._utils.sklearn import Interval

# A weight or a rate: float32 has it times any penalty that a training gets to.
POSITIVE = Interval(Real, 0, 1e20, closed="right")
# Of the error of the mean: what a perfect start counts as, so that a penalty still has a unit.
_LEAST_FRACTION = 0.01
# Errors beyond are this: sums of many still fit in a float64.
_LARGEST_ERROR = 1e100


@dataclass
class EncodedBatch:
    """A batch of rows and their codes, which is what a penalty sees.

    Parameters
    ----------
    x : Tensor of shape (n, n_features)
        The input of the encoder.
    code : Tensor of shape (n, n_components)
        The codes of the rows.
    extra : Tensor of shape (n, (n_outputs - 1) * n_components)
        The other outputs of the encoder; see `Penalty.n_outputs`.
    module : torch.nn.Module
        The net. It has a method ``encode`` and three buffers of before the training: ``spread``,
        the standard deviation of each entry of the code, ``noise``, the mean squared error, and
        ``start_loss``, the mean loss.
    temperature : float
        A row's mean loss times this is its negative log likelihood over the number of entries.
    generator : torch.Generator
        The only source of random numbers.
    progress : float
        The fraction of the training steps that have been taken.
    training : bool
        Whether the loss is computed for a training step. Otherwise it is only evaluated.

    Examples
    --------
    >>> import torch
    >>> from skae.penalties import EncodedBatch
    >>> code = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> batch = EncodedBatch(code, code, code[:, :0], None, 1.0, torch.Generator(), 0.0, True)
    >>> batch.standardized()
    tensor([[1.4142, 0.0000],
            [0.0000, 1.4142]])
    """

    x: torch.Tensor
    code: torch.Tensor
    extra: torch.Tensor
    module: nn.Module
    temperature: float
    generator: torch.Generator
    progress: float
    training: bool

    @classmethod
    def of(cls, x, module, generator, temperature=1.0, progress=1.0, training=False):
        """Return what a net makes of rows.

        Parameters
        ----------
        x, module, generator : Tensor, torch.nn.Module and torch.Generator
            As the class has them.
        temperature, progress, training : float, float and bool, default=1.0, 1.0, False
            As the class has them.

        Returns
        -------
        batch : EncodedBatch
            With the codes of the rows and the other outputs of the encoder.
        """
        outputs, k = module.outputs(x), module.n_components
        code, extra = outputs[:, :k], outputs[:, k:]
        return cls(x, code, extra, module, temperature, generator, progress, training)

    def units(self):
        """Return the codes divided by their standard deviations before the training.

        Returns
        -------
        units : Tensor of shape (n, n_components)
            In these units the prior of each entry is the standard normal distribution.
        """
        return self.code / self.module.spread

    def standardized(self):
        """Return the codes, each component divided by its root mean square over the batch.

        A penalty on these values cannot be lowered by making the whole code smaller.

        Returns
        -------
        standardized : Tensor of shape (n, n_components)
            Each column has a mean square of 1.
        """
        return self.code / rms(self.code)

    def noise(self, *shape):
        """Return standard normal numbers on the code's device.

        Parameters
        ----------
        *shape : int
            The shape of the result.

        Returns
        -------
        numbers : Tensor of shape (*shape)
            Drawn from `generator`.
        """
        numbers = torch.randn(*shape, generator=self.generator, dtype=self.code.dtype)
        return numbers.to(self.code.device)


def rms(code):
    """Return the root mean square of each column, and 1 where a column is zero."""
    square = code.square().mean(0)
    return torch.where(square > torch.finfo(code.dtype).tiny, square, 1.0).sqrt()


class Penalty(Strategy):
    """Base class of the penalties.

    A subclass defines `terms`, or `draw`, or both.

    Attributes
    ----------
    n_outputs : int, default=1
        The number of outputs of the encoder a component, with those in `EncodedBatch.extra`.
    prior : bool, default=False
        Whether the penalty draws the codes towards a normal distribution with the standard
        deviations of the codes before the training. New samples can then be drawn from it.
    bound : bool, default=False
        Whether the loss is a bound of the likelihood. The penalty then also defines `divergence`.
    rowwise : bool, default=False
        Whether rows do not depend on each other. Then a batch can be split between processes.
    """

    n_outputs = 1
    prior = False
    bound = False
    rowwise = False

    def check(self, loss, architecture):
        """Raise a ValueError if the penalty cannot be combined with a loss or an architecture.

        Parameters
        ----------
        loss : Loss
            The validated loss.
        architecture : Architecture
            The validated architecture.
        """

    def build_critic(self, n_components):
        """Return a module that is trained alternately with the net, or None.

        Parameters
        ----------
        n_components : int
            Width of the code.

        Returns
        -------
        critic : torch.nn.Module or None
            It has a method ``build_optimizer()`` that returns its torch optimizer.
        """

    def draw(self, batch):
        """Return the codes that are decoded in training.

        Parameters
        ----------
        batch : EncodedBatch
            The rows and their codes.

        Returns
        -------
        code : Tensor of shape (n, n_components)
            By default the codes themselves.
        """
        return batch.code

    def terms(self, batch):
        """Return what is added to the loss of each row.

        Parameters
        ----------
        batch : EncodedBatch
            The rows and their codes.

        Returns
        -------
        terms : dict of str to Tensor of shape (n,)
            The keys are their names in `history_`. The sum of the terms is never negative.
        """
        return {}

    def divergence(self, batch):
        """Return how far each row's distribution is from the prior; only where ``bound`` is true.

        Parameters
        ----------
        batch : EncodedBatch
            The rows and their codes.

        Returns
        -------
        divergence : Tensor of shape (n,)
            The Kullback-Leibler divergence, in nats.
        """
        raise NotImplementedError

    def critic_loss(self, batch):
        """Return the loss of the critic, if there is one. It takes a step after each of the net.

        Parameters
        ----------
        batch : EncodedBatch
            The rows and their codes, without the gradients of the net.

        Returns
        -------
        loss : Tensor of shape ()
            The mean loss over the batch.
        """
        raise NotImplementedError


PENALTIES = Penalty.registry


@torch.no_grad()
def measure_units(module, rows, missing, pca):
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
        error = (module.reconstruction(eta) - part).square().nanmean(1).nan_to_num()
        # Next to X that is tiny the rounding of a link is huge.
        errors.append(error.clamp(max=_LARGEST_ERROR))
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
    module.start_loss.fill_(max(abs(loss), _LEAST_FRACTION * abs(of_mean)))
