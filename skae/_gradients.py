"""The gradient of a dense net, written out: no graph is recorded and none is walked back."""

import torch
from torch import nn

from .architectures._base import Autoencoder
from .losses import SquaredError

_aten = torch.ops.aten
# torch's own constants of SELU, which has no backward of its own
_SELU = 1.6732632423543772, 1.0507009873554805

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
    nn.SiLU: lambda layer, d, a, h: _aten.silu_backward.grad_input(d, a, grad_input=d),
    nn.Mish: lambda layer, d, a, h: _aten.mish_backward(d, a),
    nn.Tanh: lambda layer, d, a, h: _aten.tanh_backward.grad_input(d, h, grad_input=d),
    nn.Sigmoid: lambda layer, d, a, h: _aten.sigmoid_backward.grad_input(d, h, grad_input=d),
    nn.Softplus: lambda layer, d, a, h: _aten.softplus_backward.grad_input(
        d, a, layer.beta, layer.threshold, grad_input=d
    ),
}

# Products of this many numbers are faster in oneDNN than in the BLAS that torch is built with: it
# knows the vector units of processors that are not its maker's.
_LARGE = 2**20
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
    return pairs or None


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
        self.squared = type(criterion.loss) is SquaredError

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
        code = _forward(self.f, x)
        if self.linear:
            code.addmm_(x, self.E)
        out = _forward(self.g, code)
        along = torch.mm(code, self.D) if self.linear else None
        loss, d_along, d = self._loss(along, out, rows, influence)
        d_code = _backward(self.g, d, True)
        if self.linear:
            torch.mm(code.t(), d_along, out=self.D_gradient)
            d_code.addmm_(d_along, self.D.t())
            torch.mm(x.t(), d_code, out=self.E_gradient)
        _backward(self.f, d_code, False)
        return loss

    def _loss(self, along, out, rows, influence):
        """Return the mean loss and its gradients by the outputs of the two paths."""
        if not self.squared:
            return self._any_loss(along, out, rows, influence)
        if along is not None:
            out += along
        out -= rows.x
        n_entries = out.numel()
        if influence is None and rows.weight is None:
            entries = out.view(-1)
            loss = torch.dot(entries, entries) / n_entries
            out *= 2 / n_entries
            return loss, out, out
        losses = torch.linalg.vecdot(out, out) / out.shape[1]
        counts = torch.ones_like(losses) if rows.weight is None else rows.weight
        losses = losses * counts
        if influence is not None:
            share = influence(losses)
            losses, counts = losses * share, counts * share
        out *= (counts * (2 / n_entries))[:, None]
        return losses.mean(), out, out

    @torch.enable_grad()
    def _any_loss(self, along, out, rows, influence):
        paths = [path.requires_grad_() for path in (along, out) if path is not None]
        eta = self.head(0.0 if along is None else along, out)
        losses = self.criterion(eta, self.head.target(rows.x))
        if rows.weight is not None:
            losses = losses * rows.weight
        if influence is not None:
            losses = losses * influence(losses)
        loss = losses.mean()
        gradients = torch.autograd.grad(loss, paths)
        return loss.detach(), gradients[0], gradients[-1]


class _Layer:
    """A linear layer and the activation behind it."""

    def __init__(self, linear, activation):
        self.weight, self.bias = linear.weight.detach(), linear.bias.detach()
        self.weight_gradient, self.bias_gradient = linear.weight.grad, linear.bias.grad
        self.activation = activation
        self.slope = SLOPES.get(type(activation))

    def forward(self, h):
        self.input = h
        self.before = self.after = affine(h, self.weight, self.bias)
        if self.activation is not None:
            self.after = self.activation.forward(self.before)
        return self.after

    def backward(self, d, to_input):
        if self.activation is not None:
            d = self.slope(self.activation, d, self.before, self.after)
        product(d.t(), self.input, out=self.weight_gradient)
        torch.sum(d, 0, out=self.bias_gradient)
        return product(d, self.weight) if to_input else None


def _forward(layers, h):
    for layer in layers:
        h = layer.forward(h)
    return h


def _backward(layers, d, to_input):
    for layer in reversed(layers):
        d = layer.backward(d, to_input or layer is not layers[0])
    return d


def _is_for_onednn(a, n_columns):
    return (
        a.shape[0] * a.shape[1] * n_columns >= _LARGE
        and _onednn_linear is not None
        and a.dtype == torch.float32
        and a.device.type == "cpu"
    )


def affine(x, weight, bias):
    """Return what a linear layer makes of rows."""
    if _is_for_onednn(x, len(weight)):
        return _onednn_linear(x, weight, bias, "none", [], "")
    return torch.addmm(bias, x, weight.t())


def product(a, b, out=None):
    """Return the product of two matrices."""
    if not _is_for_onednn(a, b.shape[1]):
        return torch.mm(a, b, out=out)
    result = _onednn_linear(a, b.t(), None, "none", [], "")
    return result if out is None else out.copy_(result)
