"""The gradient of a dense net, written out: no graph is recorded and none is walked back."""

import torch
from torch import nn

from .architectures._base import Autoencoder
from .losses import SquaredError

_aten = torch.ops.aten
# torch's own constants of SELU, which has no backward of its own
_SELU = 1.6732632423543772, 1.0507009873554805

# Entries from which four plain passes are faster than torch's one, which is not vectorised well.
_MANY = 2**13


def _silu_backward(d, a, h):
    if a.numel() < _MANY:
        return _aten.silu_backward.grad_input(d, a, grad_input=d)
    sigmoid = torch.sigmoid(a)
    return d.mul_(torch.addcmul(h, h, sigmoid, value=-1).add_(sigmoid))


# For each kind of layer, the gradient of its input, from that of its output (which it overwrites
# where it can), its input and its output.
SLOPES = {
    nn.Identity: lambda layer, d, a, h: d,
    nn.ReLU: lambda layer, d, a, h: _aten.threshold_backward.grad_input(d, a, 0, grad_input=d),
    nn.LeakyReLU: lambda layer, d, a, h: _aten.leaky_relu_backward.grad_input(
        d, a, layer.negative_slope, False, grad_input=d
    ),
    nn.ELU: lambda layer, d, a, h: _aten.elu_backward.grad_input(
        d, layer.alpha, 1, 1, False, a, grad_input=d
    ),
    nn.SELU: lambda layer, d, a, h: _aten.elu_backward.grad_input(
        d, *_SELU, 1, False, a, grad_input=d
    ),
    nn.GELU: lambda layer, d, a, h: _aten.gelu_backward.grad_input(
        d, a, approximate=layer.approximate, grad_input=d
    ),
    nn.SiLU: lambda layer, d, a, h: _silu_backward(d, a, h),
    nn.Mish: lambda layer, d, a, h: _aten.mish_backward(d, a),
    nn.Tanh: lambda layer, d, a, h: _aten.tanh_backward.grad_input(d, h, grad_input=d),
    nn.Sigmoid: lambda layer, d, a, h: _aten.sigmoid_backward.grad_input(d, h, grad_input=d),
    nn.Softplus: lambda layer, d, a, h: _aten.softplus_backward.grad_input(
        d, a, layer.beta, layer.threshold, grad_input=d
    ),
}

# Products of this many numbers are faster in oneDNN than in MKL, which torch takes them from: on
# processors of another maker MKL leaves the widest vectors unused.
_LARGE = 2**20
# Columns up to which a product may be narrow.
_NARROW = 32
_onednn_linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
if not torch.backends.mkldnn.is_available():
    _onednn_linear = None


def known_gradient(module, criterion):
    """Return a `DenseGradient` of the net, or None where only autograd knows its gradient."""
    if type(module) is not Autoencoder or module.gates is not None or module.head.padded:
        return None
    if (module.E is None) != (module.D is None):
        return None
    stacks = [_layers(module.f), _layers(module.g)]
    if None in stacks:
        return None
    trained = [p for stack in stacks for linear, _ in stack for p in (linear.weight, linear.bias)]
    trained += [] if module.E is None else [module.E, module.D]
    own = module.own_parameters()
    distinct = {id(p) for p in trained} == {id(p) for p in own} and len(trained) == len(own)
    hooked = any(_is_hooked(m) for m in module.modules())
    if not distinct or hooked or not all(p.requires_grad for p in own):
        return None
    return DenseGradient(module, criterion, *stacks)


def _layers(stack):
    """Return pairs of a linear layer and the activation behind it or None; None for other nets."""
    if type(stack) is not nn.Sequential:
        return None
    pairs = []
    for layer in stack:
        if type(layer) is nn.Linear and layer.bias is not None:
            pairs.append((layer, None))
        elif type(layer) in SLOPES and not getattr(layer, "inplace", False):
            if not pairs or pairs[-1][1] is not None:
                return None
            pairs[-1] = (pairs[-1][0], layer)
        else:
            return None
    # what ends in an activation would be overwritten before it is read again
    return pairs if pairs and pairs[-1][1] is None else None


def _is_hooked(module):
    return any(value for name, value in vars(module).items() if name.endswith("_hooks"))


class DenseGradient:
    """The loss of a dense autoencoder and its gradient, which goes where the parameters' own is.

    Parameters
    ----------
    module : Autoencoder
        Its parameters must have gradients, which are overwritten in place.
    criterion : Criterion
    f, g : list of (nn.Linear, nn.Module or None)
        The layers of the encoder and the decoder, each with its activation.
    """

    def __init__(self, module, criterion, f, g):
        self.head = module.head
        self.criterion = criterion
        self.f = [_Layer(*pair) for pair in f]
        self.g = [_Layer(*pair) for pair in g]
        self.linear = module.E is not None
        if self.linear:
            self.E, self.D = module.E.detach(), module.D.detach()
            self.E_gradient, self.D_gradient = module.E.grad, module.D.grad
        self.squared = type(criterion.loss) is SquaredError and not criterion.partial

    @torch.no_grad()
    def __call__(self, x, rows, influence=None):
        """Return the mean loss, and leave its gradient with the parameters.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
            The rows as the encoder sees them.
        rows : Rows
            The rows as they are.
        influence : callable or None
            Returns how much each row counts, from their weighted losses.
        """
        code, out, f_tape, g_tape = self._paths(x)
        if self.squared:
            loss, d_out = self._squared_error(code, out, rows, influence)
            d_along = d_out
        else:
            loss, d_along, d_out = self._any_loss(code, out, rows, influence)
        d_code = _backward(self.g, g_tape, d_out, True)
        if self.linear:
            product(code.t(), d_along, out=self.D_gradient)
            d_code += product(d_along, self.D.t())
            product(x.t(), d_code, out=self.E_gradient)
        _backward(self.f, f_tape, d_code, False)
        return loss

    @torch.no_grad()
    def output(self, x):
        """Return the net's output for rows."""
        code, out, _, _ = self._paths(x)
        return self.head(torch.mm(code, self.D) if self.linear else 0.0, out)

    def _paths(self, x):
        """Return the code, the decoder's nonlinear path, and what the way back needs."""
        code, f_tape = _forward(self.f, x)
        if self.linear:
            code += product(x, self.E)
        out, g_tape = _forward(self.g, code)
        return code, out, f_tape, g_tape

    def _squared_error(self, code, out, rows, influence):
        """Return the mean loss and its gradient by the output."""
        if self.linear:
            out.addmm_(code, self.D)
        out -= rows.x
        n_entries = out.numel()
        if influence is None and rows.weight is None:
            entries = out.view(-1)
            loss = torch.dot(entries, entries) / n_entries
            out *= 2 / n_entries
            return loss, out
        losses = torch.linalg.vecdot(out, out) / out.shape[1]
        counts = torch.ones_like(losses) if rows.weight is None else rows.weight
        losses = losses * counts
        if influence is not None:
            share = influence(losses)
            losses, counts = losses * share, counts * share
        out *= (counts * (2 / n_entries))[:, None]
        return losses.mean(), out

    @torch.enable_grad()
    def _any_loss(self, code, out, rows, influence):
        """Return the mean loss and its gradients by the outputs of the two paths."""
        along = torch.mm(code, self.D) if self.linear else out.new_zeros(())
        paths = [along.requires_grad_(), out.requires_grad_()]
        losses = self.criterion(self.head(*paths), self.head.target(rows.x))
        if rows.weight is not None:
            losses = losses * rows.weight
        if influence is not None:
            losses = losses * influence(losses)
        loss = losses.mean()
        return loss.detach(), *torch.autograd.grad(loss, paths)


class _Layer:
    """A linear layer and the activation behind it."""

    def __init__(self, linear, activation):
        self.weight, self.bias = linear.weight.detach(), linear.bias.detach()
        self.weight_gradient, self.bias_gradient = linear.weight.grad, linear.bias.grad
        self.activation = activation
        self.slope = SLOPES.get(type(activation))

    def forward(self, h):
        """Return the output before and after the activation."""
        a = affine(h, self.weight, self.bias)
        return (a, a) if self.activation is None else (a, self.activation.forward(a))

    def backward(self, d, h, before, after, to_input):
        """Leave the gradient by the parameters, and return that by the input h if it is needed."""
        if self.activation is not None:
            d = self.slope(self.activation, d, before, after)
        product(d.t(), h, out=self.weight_gradient)
        torch.sum(d, 0, out=self.bias_gradient)
        return product(d, self.weight) if to_input else None


def _forward(layers, h):
    """Return what layers make of rows, and what the way back needs."""
    tape = []
    for layer in layers:
        before, after = layer.forward(h)
        tape.append((h, before, after))
        h = after
    return h, tape


def _backward(layers, tape, d, to_input):
    """Return the gradient by the input of the first layer if it is needed."""
    for layer, values in zip(reversed(layers), reversed(tape), strict=True):
        d = layer.backward(d, *values, to_input or layer is not layers[0])
    return d


def affine(x, weight, bias):
    """Return what a linear layer makes of rows."""
    if _is_large(x, len(weight)):
        return _onednn_linear(x, weight, bias, "none", [], "")
    if _is_narrow(len(x), len(weight)):
        return product(x, weight.t()) + bias
    return torch.addmm(bias, x, weight.t())


def product(a, b, out=None):
    """Return the product of two matrices."""
    n_rows, n_columns = len(a), b.shape[1]
    large = _is_large(a, n_columns)
    if _is_narrow(n_rows, n_columns) and (out is not None or not large):
        result = product(b.t(), a.t()).t()
        return result.contiguous() if out is None else out.copy_(result)
    if not large:
        return torch.mm(a, b, out=out)
    result = _onednn_linear(a, b.t(), None, "none", [], "")
    return result if out is None else out.copy_(result)


def _is_narrow(n_rows, n_columns):
    """Return whether the BLAS is faster with the transposed product, several times as it may be."""
    return n_columns <= _NARROW and n_rows >= 4 * n_columns


def _is_large(a, n_columns):
    return (
        a.numel() * n_columns >= _LARGE
        and _onednn_linear is not None
        and a.dtype == torch.float32
        and a.device.type == "cpu"
    )
