"""Where the two paths of a decoder meet."""

from torch import nn


class Head(nn.Module):
    """Joins the linear and the nonlinear path of a decoder in the loss's own terms.

    Parameters
    ----------
    loss : Loss
    mean : Tensor of shape (n_features,)
    scale : float
        X is ``mean + scale * x`` for the ``x`` inside the net.
    padded : bool
        Whether entries may be NaN.
    """

    def __init__(self, loss, mean, scale, padded):
        super().__init__()
        self.loss = loss
        self.scale = scale
        self.padded = padded
        self.register_buffer("mean", mean)

    def forward(self, linear, nonlinear):
        if self.loss.identity:
            return linear + nonlinear
        return self.loss.inverse_link(self.mean + self.scale * linear, self.mean) + nonlinear

    def target(self, x):
        """Return the rows x of the net as the loss wants them."""
        return x if self.loss.identity else self.mean + self.scale * x

    def to_data(self, eta):
        """Return the net's output in the units of X."""
        return self.mean + self.scale * eta if self.loss.identity else self.loss.link(eta)

    def to_net(self, eta):
        """Return the net's output as centred and scaled rows."""
        return eta if self.loss.identity else (self.loss.link(eta) - self.mean) / self.scale
