"""Convolutional nets for images and time series."""

from math import prod
from numbers import Integral

from torch import nn

from .._utils.sklearn import Interval, Options, StrOptions
from ._base import Architecture
from ._layers import BatchNorm1d, BatchNorm2d, CutEnd, Flat, Residual, SwapAxes, end_padding

# By the number of axes.
_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d}
_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
_NORMS = {1: BatchNorm1d, 2: BatchNorm2d}
_PADS = {1: nn.ZeroPad1d, 2: nn.ZeroPad2d}


class Convolutional(Architecture, name="convolutional", also=("cnn", "conv", "conv1d", "conv2d")):
    """Strided convolutions from a sample to its code, and transposed convolutions back.

    Each entry of ``hidden_layer_sizes`` is the number of channels of a stage. A linear layer maps
    the output of the last stage to the code. The decoder has the same stages in reverse order.

    ``input_shape`` may be (T,) or (T, F) for series of T steps of one or F values, and (H, W) or
    (C, H, W) for images, of any size. Without it a sample is a series of shape (n_features,).

    Parameters
    ----------
    kernel_size : int, default=4
        Length of the kernels along each axis.
    stride : int, default=2
        The number that a stage divides the length of an axis by, at most `kernel_size`.
    norm : {"batch"} or None, default=None
        Normalisation of each channel before the activations of the stages.
    n_residual_blocks : int, default=0
        The number of residual blocks after each stage, of two convolutions of length 3 each.
    n_dims : {1, 2} or None, default=None
        The number of axes of the convolutions. None stands for 2 if ``input_shape`` has two or
        three entries, and for 1 otherwise. Series of shape (T, F) need ``n_dims=1``.
    linear_path : bool or "auto", default="auto"
        Whether a linear encoder and decoder are added to the layers, as the PCA start needs them.
        With "auto" they are added if ``init="pca"``.

    References
    ----------
    J. Masci, U. Meier, D. Cireşan, J. Schmidhuber, "Stacked Convolutional Auto-Encoders for
    Hierarchical Feature Extraction", ICANN 2011.

    K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> model = AutoencoderTransformer(
    ...     8, architecture="convolutional", input_shape=(8, 8), max_iter=2, random_state=0
    ... )
    >>> model.fit_transform(load_digits().images).shape
    (1797, 8)
    """

    default_sizes = (16, 32, 64)
    rate = 0.4
    zeroes = True
    series = True
    draws = False
    _parameter_constraints: dict = {
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "stride": [Interval(Integral, 1, None, closed="left")],
        "norm": [StrOptions({"batch"}), None],
        "n_residual_blocks": [Interval(Integral, 0, None, closed="left")],
        "n_dims": [Options(Integral, {1, 2}), None],
        "linear_path": ["boolean", StrOptions({"auto"})],
    }

    def __init__(
        self,
        kernel_size: int = 4,
        stride: int = 2,
        norm: str | None = None,
        n_residual_blocks: int = 0,
        n_dims: int | None = None,
        linear_path: bool | str = "auto",
    ):
        self.kernel_size = kernel_size
        self.stride = stride
        self.norm = norm
        self.n_residual_blocks = n_residual_blocks
        self.n_dims = n_dims
        self.linear_path = linear_path

    def build(self, plan):
        if self.stride > self.kernel_size:
            raise ValueError(
                f"The 'stride' parameter of Convolutional must be at most kernel_size="
                f"{self.kernel_size}, got {self.stride}."
            )
        n_dims, channels, size = self._axes(plan.shape)
        steps_first = n_dims == 1 and len(plan.shape) == 2
        sample = plan.shape if steps_first else (channels, *size)
        down, up = [nn.Unflatten(1, sample)], []
        if steps_first:
            down.append(SwapAxes())
        for width in plan.hidden_layer_sizes:
            shorter = tuple(-(-side // self.stride) for side in size)
            # How many zeros each axis needs: half of them at both ends, an odd one at its end.
            need = [
                (short - 1) * self.stride + self.kernel_size - side
                for side, short in zip(size, shorter, strict=True)
            ]
            window = self.kernel_size, self.stride, tuple(n // 2 for n in need)
            odd = [n % 2 for n in need]
            if any(odd):
                down.append(_PADS[n_dims](end_padding(odd)))
            down.append(_CONVOLUTIONS[n_dims](channels, width, *window))
            down += self._after(width, n_dims, plan)
            # The decoder is built from its last layer to its first.
            stage = self._after(width, n_dims, plan)
            stage.append(_TRANSPOSED[n_dims](width, channels, *window))
            if any(odd):
                stage.append(CutEnd(odd))
            up = stage + up
            channels, size = width, shorter
        n_last = channels * prod(size)
        first, last = nn.Linear(plan.n_components, n_last), nn.Linear(n_last, plan.n_outputs)
        backwards = [m for m in up if isinstance(m, _TRANSPOSED[n_dims])]
        plan.end(last)
        plan.end(backwards[-1] if backwards else first)
        if steps_first:
            up.append(SwapAxes())
        return (
            nn.Sequential(*down, nn.Flatten(), last),
            nn.Sequential(first, nn.Unflatten(1, (channels, *size)), *up, Flat(sample)),
        )

    def _axes(self, shape):
        """Return the number of axes of the convolutions, the channels, and the axes' lengths."""
        n_dims = self.n_dims or (1 if len(shape) == 1 else 2)
        if not n_dims <= len(shape) <= n_dims + 1:
            raise ValueError(
                "The 'input_shape' of a Convolutional must be (T,), (T, F), (H, W) or (C, H, W), "
                f"got {shape!r} with n_dims={self.n_dims!r}."
            )
        if n_dims == 1:
            return 1, (1 if len(shape) == 1 else shape[1]), shape[:1]
        return 2, (1 if len(shape) == 2 else shape[0]), shape[-2:]

    def _after(self, channels, n_dims, plan):
        """Return the layers that follow a stage's convolution, or precede it in the decoder."""
        layers = [_NORMS[n_dims](channels)] if self.norm else []
        layers.append(plan.new_activation())
        for _ in range(self.n_residual_blocks):
            block = []
            for _ in range(2):
                block.append(_CONVOLUTIONS[n_dims](channels, channels, 3, padding=1))
                block += [_NORMS[n_dims](channels)] if self.norm else []
                block.append(plan.new_activation())
            layers.append(Residual(*block))
        return layers
