"""Penalties that draw the codes towards a prior, so that new samples can be drawn from it."""

from itertools import pairwise
from numbers import Integral, Real

import torch
from torch import nn
from torch.nn import functional

from .._utils.sklearn import Interval
from .._utils.torch import without_compiler
from ._base import POSITIVE, Penalty

# Lower bound of the variance of a posterior, relative to the variance of the prior.
_MIN_VARIANCE = 1e-4
# The scales of the kernels of Tolstikhin et al., as multiples of the number of components.
_KERNEL_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Variational(Penalty, name="variational", also=("vae", "beta_vae", "kl", "kld")):
    """The variational autoencoder: the code of a row is a normal distribution near the prior.

    The encoder returns a mean and a log variance for each component. In training, a code is drawn
    from that normal distribution and decoded, and the Kullback-Leibler divergence between the
    distribution and the prior is added to the loss. ``transform`` returns the mean.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the divergence. With 1 the loss is the negative evidence lower bound, up to
        constants. With more the net stops using components that carry little information.
    warm_up : float, default=0.3
        The weight rises linearly from zero over this fraction of the training.

    Notes
    -----
    The prior of each component is a normal distribution with mean zero and the variance that the
    component has before the training. With the PCA start this is the variance of PCA's scores, and
    the posterior starts as that of probabilistic PCA.

    A squared or absolute error is a negative log likelihood once its scale is known. In training
    the scale is that of the residuals before it; ``score_samples`` uses that of the fitted net.

    References
    ----------
    D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.

    I. Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational
    Framework", ICLR 2017.

    M. E. Tipping, C. M. Bishop, "Probabilistic Principal Component Analysis", JRSS B 61(3), 1999.

    Examples
    --------
    >>> from skae.penalties import Variational
    >>> Variational(beta=4.0)
    Variational(beta=4.0)
    """

    n_outputs = 2
    prior = True
    bound = True
    rowwise = True
    _parameter_constraints: dict = {
        "beta": [POSITIVE],
        "warm_up": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, beta: float = 1.0, warm_up: float = 0.3):
        self.beta = beta
        self.warm_up = warm_up

    @staticmethod
    def log_variance(batch):
        """Return the log of each code's variance over the variance of the prior.

        Parameters
        ----------
        batch : EncodedBatch
            The rows and their codes.

        Returns
        -------
        log_variance : Tensor of shape (n, n_components)
            Zero where the variance is that of the prior.
        """
        noise, prior = batch.module.noise, batch.module.spread.square()
        return torch.log((noise / (noise + prior)).clamp(min=_MIN_VARIANCE)) + batch.extra

    def draw(self, batch):
        deviation = torch.exp(0.5 * self.log_variance(batch)) * batch.module.spread
        return batch.code + deviation * batch.noise(*batch.code.shape)

    @classmethod
    def divergence(cls, batch):
        log_variance = cls.log_variance(batch)
        return 0.5 * (batch.units().square() + log_variance.exp() - 1 - log_variance).sum(1)

    def terms(self, batch):
        weight = self.beta
        if batch.training and self.warm_up > 0:
            weight *= min(1.0, batch.progress / self.warm_up)
        return {"divergence": weight * batch.temperature * self.divergence(batch)}


class _Adam(without_compiler(torch.optim.Adam)):
    pass


class _Critic(nn.Sequential):
    """A small net that returns how likely codes are draws of the prior, in log odds."""

    def __init__(self, widths, learning_rate):
        layers = []
        for n_in, n_out in pairwise([*widths, 1]):
            layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(0.2)]
        super().__init__(*layers[:-1], nn.Flatten(0))
        self.learning_rate = learning_rate

    def build_optimizer(self):
        return _Adam(self.parameters(), self.learning_rate, betas=(0.5, 0.9))


class Adversarial(Penalty, name="adversarial", also=("aae", "gan")):
    """The adversarial autoencoder: a critic cannot distinguish the codes from draws of the prior.

    The critic is a second, small net. The prior is a normal distribution with the standard
    deviations that the codes have before the training. The critic takes one step after each step
    of the autoencoder, which is trained to mislead it.

    Parameters
    ----------
    weight : float, default=0.3
        Weight of the term, as a multiple of the mean loss before the training.
    hidden_layer_sizes : array-like of int, default=(128, 128)
        Widths of the critic's hidden layers.
    learning_rate : float, default=0.001
        Learning rate of Adam, which trains the critic.

    Notes
    -----
    The critic's outputs cannot be compared between epochs, as it changes. On held-out rows the
    term is therefore another one, the divergence in `history_`: the Kullback-Leibler divergence
    between the prior and the normal distribution with the means and variances of the codes.

    References
    ----------
    A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow, B. Frey, "Adversarial Autoencoders", 2015.

    Examples
    --------
    >>> from skae.penalties import Adversarial
    >>> Adversarial(hidden_layer_sizes=(32,))
    Adversarial(hidden_layer_sizes=(32,))
    """

    prior = True
    _parameter_constraints: dict = {
        "weight": [POSITIVE],
        "hidden_layer_sizes": ["array-like"],
        "learning_rate": [POSITIVE],
    }

    def __init__(
        self,
        weight: float = 0.3,
        hidden_layer_sizes: tuple[int, ...] = (128, 128),
        learning_rate: float = 1e-3,
    ):
        self.weight = weight
        self.hidden_layer_sizes = hidden_layer_sizes
        self.learning_rate = learning_rate

    def build_critic(self, n_components):
        sizes = [n_components, *(int(width) for width in self.hidden_layer_sizes)]
        return _Critic(sizes, self.learning_rate)

    def terms(self, batch):
        weight = self.weight * batch.module.start_loss
        u = batch.units()
        if batch.training:
            # The original form, log(1 - p), has no slope where the critic is certain: p near 1.
            return {"adversarial": weight * functional.softplus(-batch.module.critic(u))}
        mean, variance = u.mean(0), u.var(0, correction=0).clamp(min=_MIN_VARIANCE)
        divergence = 0.5 * (mean.square() + variance - 1 - variance.log()).sum()
        return {"divergence": weight * divergence.expand(len(u))}

    def critic_loss(self, batch):
        u, critic = batch.units(), batch.module.critic
        drawn = batch.noise(*u.shape)
        return (functional.softplus(critic(u)) + functional.softplus(-critic(drawn))).mean()


class MMD(Penalty, name="mmd", also=("wae", "info_vae")):
    """The Wasserstein autoencoder (WAE-MMD): the codes are distributed like the prior.

    The term is the squared maximum mean discrepancy between the codes of a batch and as many draws
    of a normal distribution with the standard deviations that the codes have before the training.

    Parameters
    ----------
    weight : float, default=10.0
        Weight of the term, as a multiple of the mean loss before the training.
    max_rows : int, default=1024
        The largest number of rows that the term is computed from. Its cost grows with the square.

    Notes
    -----
    The kernel is the mean of seven inverse multiquadratic kernels of different scales. The biased
    estimate of the discrepancy is used, because it is never negative.

    References
    ----------
    I. Tolstikhin, O. Bousquet, S. Gelly, B. Schölkopf, "Wasserstein Auto-Encoders", ICLR 2018.

    A. Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012.

    Examples
    --------
    >>> from skae.penalties import MMD
    >>> MMD(weight=1.0)
    MMD(weight=1.0)
    """

    prior = True
    _parameter_constraints: dict = {
        "weight": [POSITIVE],
        "max_rows": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(self, weight: float = 10.0, max_rows: int = 1024):
        self.weight = weight
        self.max_rows = max_rows

    @staticmethod
    def discrepancy(u, v):
        """Return the squared maximum mean discrepancy of two samples.

        Parameters
        ----------
        u, v : Tensor of shape (n, n_components)
            The same number of draws from each of two distributions.

        Returns
        -------
        discrepancy : Tensor of shape ()
            At least zero.
        """

        def mean_kernel(a, b):
            square = (a[:, None] - b[None]).square().sum(2)
            scales = [2 * a.shape[1] * scale for scale in _KERNEL_SCALES]
            return sum((s / (s + square)).mean() for s in scales) / len(scales)

        between = mean_kernel(u, v)
        return (mean_kernel(u, u) + mean_kernel(v, v) - 2 * between).clamp(min=0)

    def terms(self, batch):
        u = batch.units()[: self.max_rows]
        discrepancy = self.discrepancy(u, batch.noise(*u.shape))
        weight = self.weight * batch.module.start_loss
        return {"discrepancy": weight * discrepancy.expand(len(batch.code))}
