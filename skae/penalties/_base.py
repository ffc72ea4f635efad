"""The kind of strategy that a penalty is."""

from dataclasses import dataclass

import torch
from torch import nn

from .._strategies import Strategy


@dataclass
class Coding:
    """What the encoder makes of a batch.

    Parameters
    ----------
    x : Tensor of shape (n, n_features)
        The rows as the encoder sees them.
    code : Tensor of shape (n, n_components)
        Their codes.
    extra : Tensor of shape (n, (n_outputs - 1) * n_components)
        What else the encoder returned; see `Penalty.n_outputs`.
    module : torch.nn.Module
        The net, with ``encode`` and, as buffers, its start: the ``spread`` of each entry of the
        code, the mean squared error ``noise`` and the mean loss ``start_loss``.
    temperature : float
        The mean loss of a row, times this, is minus its log likelihood over the number of entries.
    generator : torch.Generator
        The only source of randomness.
    progress : float
        The share of the training that is over.
    training : bool
        Whether a step is taken; otherwise the loss is only looked at.

    Examples
    --------
    >>> import torch
    >>> from skae.penalties import Coding, Sparse
    >>> code = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> coding = Coding(code, code, code[:, :0], None, 1.0, torch.Generator(), 0.0, True)
    >>> coding.standardised()
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

    def units(self):
        """Return the codes in units of their spread at the start.

        Returns
        -------
        units : Tensor of shape (n, n_components)
            The prior of each entry is then standard normal.
        """
        return self.code / self.module.spread

    def standardised(self):
        """Return the codes, each entry divided by its root mean square over the batch.

        What is asked of these cannot be had by a smaller code and a decoder that enlarges it.

        Returns
        -------
        standardised : Tensor of shape (n, n_components)
            Each column has a mean square of 1.
        """
        return self.code / rms(self.code)

    def noise(self, *shape):
        """Return standard normal numbers on the code's device.

        Parameters
        ----------
        *shape : int
            How many, along each axis.

        Returns
        -------
        numbers : Tensor of shape (*shape)
            Drawn from `generator`.
        """
        numbers = torch.randn(*shape, generator=self.generator, dtype=self.code.dtype)
        return numbers.to(self.code.device)


def rms(code):
    """Return the root mean square of each column."""
    return code.square().mean(0).clamp(min=torch.finfo(code.dtype).tiny).sqrt()


class Penalty(Strategy):
    """Base class of the penalties.

    A subclass defines `terms`, or `draw`, or both.

    Attributes
    ----------
    n_outputs : int
        How many numbers the encoder returns for each component: the code, and what the penalty
        wants beside it.
    prior : bool
        Whether codes are drawn to a normal distribution with the code's spread at the start, from
        which new samples can then be drawn.
    bound : bool
        Whether the loss is a bound of the likelihood, as the one method more, ``divergence``, says.
    rowwise : bool
        Whether codes are drawn and terms computed for each row by itself. Otherwise the rows of a
        batch cannot be shared by several processes.
    """

    n_outputs = 1
    prior = False
    bound = False
    rowwise = False

    def check(self, loss, architecture):
        """Raise a ValueError if the penalty does not go with a loss or an architecture.

        Parameters
        ----------
        loss : Loss
            The resolved loss.
        architecture : Architecture
            The resolved architecture.
        """

    def build_critic(self, n_components):
        """Return a module that is trained beside the net, against it, or None.

        Parameters
        ----------
        n_components : int
            Width of the code.

        Returns
        -------
        critic : torch.nn.Module or None
            With a method ``build_optimizer()`` that returns its torch optimizer.
        """
        return None

    def draw(self, coding):
        """Return the codes that are decoded while training.

        Parameters
        ----------
        coding : Coding
            What the encoder makes of the batch.

        Returns
        -------
        code : Tensor of shape (n, n_components)
            The code itself by default.
        """
        return coding.code

    def terms(self, coding):
        """Return what is added to the loss of each row.

        Parameters
        ----------
        coding : Coding
            What the encoder makes of the batch.

        Returns
        -------
        terms : dict of str to Tensor of shape (n,)
            By the names that `history_` has them under; never negative in sum.
        """
        return {}

    def critic_loss(self, coding):
        """Return the loss of the critic, for which it takes a step after each step of the net.

        Parameters
        ----------
        coding : Coding
            What the encoder makes of the batch, detached from the net.

        Returns
        -------
        loss : Tensor of shape ()
            Its mean.
        """
        raise NotImplementedError


PENALTIES = Penalty.registry
