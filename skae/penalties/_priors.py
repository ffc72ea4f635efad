"""Penalties that draw codes to a normal distribution, so that new samples can be drawn from it."""

from numbers import Integral, Real

import torch
from torch import nn
from torch.nn import functional

from .._compat import Interval
from ._base import Penalty

_POSITIVE = Interval(Real, 0, None, closed="neither")
# The posterior of a component without noise is narrow, but not infinitely so.
_LEAST_VARIANCE = 1e-4
# Length scales of the kernels, as multiples of the dimension, that Tolstikhin et al. add up.
_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Variational(Penalty, name="variational"):
    """A code is a normal distribution, near the prior: the variational autoencoder.

    The encoder returns a mean and a log variance for each component. While training, a code drawn
    from that distribution is decoded, and its Kullback-Leibler divergence from the prior is added.
    ``transform`` returns the mean.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the divergence. At 1 the loss is minus the evidence lower bound, but for
        constants; above it, components that say little are given up.
    warm_up : float, default=0.3
        Share of the training over which the weight rises from zero.

    Notes
    -----
    The prior of a component is normal with the variance that the component has at the start, so
    that PCA's scores are its draws. The posterior starts as that of probabilistic PCA.

    A squared or an absolute error is a likelihood up to its scale. The scale is that of the start's
    residual while training, and that of the fitted net's for ``score_samples``.

    References
    ----------
    D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.

    I. Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational
    Framework", ICLR 2017.

    M. E. Tipping, C. M. Bishop, "Probabilistic Principal Component Analysis", Journal of the Royal
    Statistical Society B 61(3), 1999.

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
        "beta": [_POSITIVE],
        "warm_up": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, beta=1.0, warm_up=0.3):
        self.beta = beta
        self.warm_up = warm_up

    @staticmethod
    def log_variance(coding):
        """Return the log variances of the codes, relative to the prior's.

        Parameters
        ----------
        coding : Coding
            What the encoder makes of the batch.

        Returns
        -------
        log_variance : Tensor of shape (n, n_components)
            Zero is the prior's.
        """
        noise, prior = coding.module.noise, coding.module.spread.square()
        return torch.log((noise / (noise + prior)).clamp(min=_LEAST_VARIANCE)) + coding.extra

    def draw(self, coding):
        deviation = torch.exp(0.5 * self.log_variance(coding)) * coding.module.spread
        return coding.code + deviation * coding.noise(*coding.code.shape)

    @classmethod
    def divergence(cls, coding):
        """Return the Kullback-Leibler divergence of each row's posterior from the prior.

        Parameters
        ----------
        coding : Coding
            What the encoder makes of the batch.

        Returns
        -------
        divergence : Tensor of shape (n,)
            In nats.
        """
        log_variance = cls.log_variance(coding)
        return 0.5 * (coding.units().square() + log_variance.exp() - 1 - log_variance).sum(1)

    def terms(self, coding):
        weight = self.beta
        if coding.training and self.warm_up > 0:
            weight *= min(1.0, coding.progress / self.warm_up)
        return {"divergence": weight * coding.temperature * self.divergence(coding)}


class _Critic(nn.Module):
    """Tells codes from draws of the prior."""

    def __init__(self, widths, learning_rate):
        super().__init__()
        layers = []
        for n_in, n_out in zip(widths, [*widths[1:], 1], strict=True):
            layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers[:-1])
        self.learning_rate = learning_rate

    def forward(self, u):
        return self.layers(u)[:, 0]

    def build_optimizer(self):
        return torch.optim.Adam(self.parameters(), self.learning_rate, betas=(0.5, 0.9))


class Adversarial(Penalty, name="adversarial"):
    """A critic cannot tell the codes from draws of the prior: the adversarial autoencoder.

    After each step of the net, the critic, a small net with an optimizer of its own, takes one to
    tell codes from draws of a normal distribution with the code's spread at the start. The net is
    trained to mislead it.

    Parameters
    ----------
    weight : float, default=0.3
        Weight of the term, in units of the loss of the start.
    hidden_layer_sizes : array-like of int, default=(128, 128)
        Widths of the critic's hidden layers.
    learning_rate : float, default=0.001
        Of the critic's Adam.

    Notes
    -----
    What a critic says cannot be compared between epochs. On held-out rows the term is, in its
    place, the Kullback-Leibler divergence from the prior of the normal distribution with the codes'
    means and variances, with the same weight, and is named so.

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
        "weight": [_POSITIVE],
        "hidden_layer_sizes": ["array-like"],
        "learning_rate": [_POSITIVE],
    }

    def __init__(self, weight=0.3, hidden_layer_sizes=(128, 128), learning_rate=1e-3):
        self.weight = weight
        self.hidden_layer_sizes = hidden_layer_sizes
        self.learning_rate = learning_rate

    def build_critic(self, n_components):
        sizes = [n_components, *(int(width) for width in self.hidden_layer_sizes)]
        return _Critic(sizes, self.learning_rate)

    def terms(self, coding):
        weight = self.weight * coding.module.start_loss
        u = coding.units()
        if coding.training:
            # Not minus the log of one minus the odds: its slope vanishes where the critic is sure.
            return {"adversarial": weight * functional.softplus(-coding.module.critic(u))}
        mean, variance = u.mean(0), u.var(0, correction=0).clamp(min=_LEAST_VARIANCE)
        divergence = 0.5 * (mean.square() + variance - 1 - variance.log()).sum()
        return {"divergence": weight * divergence.expand(len(u))}

    def critic_loss(self, coding):
        u, critic = coding.units(), coding.module.critic
        drawn = coding.noise(*u.shape)
        return (functional.softplus(critic(u)) + functional.softplus(-critic(drawn))).mean()


class MMD(Penalty, name="mmd"):
    """Codes have the moments of the prior, by a kernel: the Wasserstein autoencoder (WAE-MMD).

    The squared maximum mean discrepancy of each batch's codes from as many draws of a normal
    distribution with the code's spread at the start.

    Parameters
    ----------
    weight : float, default=10.0
        Weight of the term, in units of the loss of the start.
    max_rows : int, default=1024
        Rows over which it is computed at most, because it costs their square.

    Notes
    -----
    The kernel is the mean of inverse multiquadratic ones of seven length scales; of its two
    estimates the one that is never negative is taken.

    References
    ----------
    I. Tolstikhin, O. Bousquet, S. Gelly, B. Schölkopf, "Wasserstein Auto-Encoders", ICLR 2018.

    A. Gretton, K. Borgwardt, M. Rasch, B. Schölkopf, A. Smola, "A Kernel Two-Sample Test", JMLR 13,
    2012.

    Examples
    --------
    >>> from skae.penalties import MMD
    >>> MMD(weight=1.0)
    MMD(weight=1.0)
    """

    prior = True
    _parameter_constraints: dict = {
        "weight": [_POSITIVE],
        "max_rows": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(self, weight=10.0, max_rows=1024):
        self.weight = weight
        self.max_rows = max_rows

    @staticmethod
    def discrepancy(u, v):
        """Return the squared maximum mean discrepancy of two samples.

        Parameters
        ----------
        u, v : Tensor of shape (n, n_components)
            As many draws of two distributions.

        Returns
        -------
        discrepancy : Tensor of shape ()
            At least zero.
        """

        def mean_kernel(a, b):
            square = (a[:, None] - b[None]).square().sum(2)
            scales = [2 * a.shape[1] * scale for scale in _SCALES]
            return sum((s / (s + square)).mean() for s in scales) / len(scales)

        between = mean_kernel(u, v)
        return (mean_kernel(u, u) + mean_kernel(v, v) - 2 * between).clamp(min=0)

    def terms(self, coding):
        u = coding.units()[: self.max_rows]
        discrepancy = self.discrepancy(u, coding.noise(*u.shape))
        weight = self.weight * coding.module.start_loss
        return {"discrepancy": weight * discrepancy.expand(len(coding.code))}
