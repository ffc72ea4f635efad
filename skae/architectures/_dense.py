"""Fully connected nets."""

from itertools import pairwise
from numbers import Real

import torch
from torch import nn

from .._utils.sklearn import Interval, StrOptions
from ._base import Architecture
from ._layers import BatchNorm1d, Dropout, Transposed

NORMS = {"batch": BatchNorm1d, "layer": nn.LayerNorm}


class Dense(Architecture, name="dense", also=("mlp", "linear", "fully_connected", "feedforward")):
    """Fully connected layers with the chosen activation between them.

    Parameters
    ----------
    decoder_hidden_layer_sizes : array-like of int or None, default=None
        Widths of the decoder's hidden layers, from code to output. None: the encoder's, mirrored.
    dropout : float, default=0.0
        Fraction of each hidden layer's outputs that is set to zero in each training step.
    norm : {"batch", "layer"} or None, default=None
        Normalisation before each activation.
    tied : bool, default=False
        Whether the decoder's weights, but not its biases, are the encoder's, transposed.
    linear_path : bool or "auto", default="auto"
        Whether a linear encoder and decoder are added to the layers, as the PCA start needs them.
        With "auto" they are added if ``init="pca"``.

    References
    ----------
    N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, "Dropout: A Simple Way
    to Prevent Neural Networks from Overfitting", JMLR 15, 2014.

    S. Ioffe, C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
    Internal Covariate Shift", ICML 2015.

    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016.

    Examples
    --------
    >>> from skae.architectures import Dense
    >>> Dense(decoder_hidden_layer_sizes=(64,), norm="layer")
    Dense(decoder_hidden_layer_sizes=(64,), norm='layer')
    """

    _parameter_constraints: dict = {
        "decoder_hidden_layer_sizes": ["array-like", None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "norm": [StrOptions(set(NORMS)), None],
        "tied": ["boolean"],
        "linear_path": ["boolean", StrOptions({"auto"})],
    }

    # Its dropout draws from a generator that it is given.
    draws = False

    def __init__(
        self,
        decoder_hidden_layer_sizes: tuple[int, ...] | None = None,
        dropout: float = 0.0,
        norm: str | None = None,
        tied: bool = False,
        linear_path: bool | str = "auto",
    ):
        self.decoder_hidden_layer_sizes = decoder_hidden_layer_sizes
        self.dropout = dropout
        self.norm = norm
        self.tied = tied
        self.linear_path = linear_path

    @property
    def zeroes(self):
        # A tied decoder ends with the encoder's first layer, which must not be zero.
        return not self.tied

    def build(self, plan):
        sizes = plan.hidden_layer_sizes
        back = self.decoder_hidden_layer_sizes
        if self.tied and back is not None:
            raise ValueError(
                "Dense(tied=True) has the encoder's layers in its decoder: "
                f"decoder_hidden_layer_sizes must be None, got {back!r}."
            )
        back = sizes[::-1] if back is None else tuple(int(width) for width in back)
        f = self._stack([plan.n_features, *sizes, plan.n_outputs], plan)
        g = self._stack([plan.n_components, *back, plan.n_features], plan)
        if self.tied:
            _tie(f, g, plan.n_components)
        return f, g

    def _stack(self, widths, plan):
        layers = []
        for n_in, n_out in pairwise(widths[:-1]):
            layers.append(nn.Linear(n_in, n_out, dtype=torch.float64))
            if self.norm is not None:
                layers.append(NORMS[self.norm](n_out))
            layers.append(plan.new_activation())
            if self.dropout:
                layers.append(Dropout(self.dropout))
        last = nn.Linear(*widths[-2:], dtype=torch.float64)
        return nn.Sequential(*layers, last if self.tied else plan.end(last))


def _tie(f, g, n_components):
    linear = [layer for layer in f if isinstance(layer, nn.Linear)]
    places = [i for i, layer in enumerate(g) if isinstance(layer, nn.Linear)]
    for place, layer in zip(places, linear[::-1], strict=True):
        # The encoder may say more than the code; the decoder takes the code.
        n_inputs = n_components if layer is linear[-1] else layer.out_features
        g[place] = Transposed(layer, g[place].bias, n_inputs)
