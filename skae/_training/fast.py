"""Faster steps: all parameters in one vector, and the gradients of dense nets written out.

Everything here has a plain counterpart in torch, which the tests compare it with, and which is used
where an operator of torch is missing.
"""

from functools import partial

import torch
from torch import nn

from .._utils.torch import private_operator
from ..architectures._base import AutoencoderModule
from ..architectures._layers import SELU
from ..losses import SquaredError

# Entries from which four plain passes are faster than torch's one, which is not vectorised well.
_MANY = 2**13


def _silu_backward(operator, d, a, h):
    if a.numel() < _MANY:
        return operator(d, a, grad_input=d)
    sigmoid = torch.sigmoid(a)
    return d.mul_(torch.addcmul(h, h, sigmoid, value=-1).add_(sigmoid))


# For each kind of activation, torch's own operator for its derivative, and how it is called: with
# the layer o, the gradient d of the output (which it may overwrite), the input a and the output h.
_SLOPES = {
    nn.ReLU: ("threshold_backward", lambda f, o, d, a, h: f(d, a, 0, grad_input=d)),
    nn.LeakyReLU: (
        "leaky_relu_backward",
        lambda f, o, d, a, h: f(d, a, o.negative_slope, False, grad_input=d),
    ),
    nn.ELU: ("elu_backward", lambda f, o, d, a, h: f(d, o.alpha, 1, 1, False, a, grad_input=d)),
    # SELU has no backward of its own
    nn.SELU: ("elu_backward", lambda f, o, d, a, h: f(d, *SELU, 1, False, a, grad_input=d)),
    nn.GELU: (
        "gelu_backward",
        lambda f, o, d, a, h: f(d, a, approximate=o.approximate, grad_input=d),
    ),
    nn.SiLU: ("silu_backward", lambda f, o, d, a, h: _silu_backward(f, d, a, h)),
    nn.Mish: ("mish_backward", lambda f, o, d, a, h: f(d, a)),
    nn.Tanh: ("tanh_backward", lambda f, o, d, a, h: f(d, h, grad_input=d)),
    nn.Sigmoid: ("sigmoid_backward", lambda f, o, d, a, h: f(d, h, grad_input=d)),
    nn.Softplus: (
        "softplus_backward",
        lambda f, o, d, a, h: f(d, a, o.beta, o.threshold, grad_input=d),
    ),
}


def slope_of(layer):
    """Return the derivative of an activation, or None where only autograd knows it.

    It takes the gradient of the output, the input and the output, and returns the gradient of the
    input.
    """
    if type(layer) is nn.Identity:
        return lambda d, a, h: d
    name, call = _SLOPES.get(type(layer), (None, None))
    operator = None if name is None else private_operator(name)
    if operator is None or getattr(layer, "inplace", False):
        return None
    return partial(call, operator, layer)


# Products of this many numbers are faster in oneDNN than in MKL, which torch takes them from: on
# processors of another maker MKL leaves the widest vectors unused.
_LARGE = 2**20
_onednn_linear = private_operator("linear_pointwise")


def known_gradient(module, criterion):
    """Return a `DenseGradient` of the net, or None where only autograd knows its gradient."""
    if type(module) is not AutoencoderModule or module.gates is not None or module.padded:
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
    attributes = (item for part in module.modules() for item in vars(part).items())
    hooked = any(value for name, value in attributes if name.endswith("_hooks"))
    if not distinct or hooked or not all(p.requires_grad for p in own):
        return None
    E, D = (None, None) if module.E is None else (Weight.of(module.E), Weight.of(module.D))
    f, g = (
        [Layer(Weight.of(linear.weight), Weight.of(linear.bias), after) for linear, after in stack]
        for stack in stacks
    )
    return DenseGradient(module, criterion, f, g, E, D)


def _layers(stack):
    """Return pairs of a linear layer and the activation behind it or None; None for other nets."""
    if type(stack) is not nn.Sequential:
        return None
    pairs = []
    for layer in stack:
        if type(layer) is nn.Linear and layer.bias is not None:
            pairs.append((layer, None))
        elif slope_of(layer) is not None:
            if not pairs or pairs[-1][1] is not None:
                return None
            pairs[-1] = (pairs[-1][0], layer)
        else:
            return None
    # what ends in an activation would be overwritten before it is read again
    return pairs if pairs and pairs[-1][1] is None else None


class DenseGradient:
    """The loss of a dense autoencoder and its gradient, which goes where the parameters' own is.

    The encoder `f` and the decoder `g` are lists of layers, `E` and `D` weights or None. Where
    these are of several nets that have the squared error, so are the rows, and there is a loss for
    each net. The parameters must have gradients, which are overwritten in place.
    """

    def __init__(self, module, criterion, f, g, E, D):
        self.module = module
        self.criterion = criterion
        self.f, self.g, self.E, self.D = f, g, E, D
        self.linear = E is not None
        self.squared = type(criterion.loss) is SquaredError and not criterion.missing

    @torch.no_grad()
    def __call__(self, seen, x, weight=None, influence=None, with_output=False):
        """Return the mean loss of rows x, and leave its gradient with the parameters.

        The encoder sees the rows `seen`. `influence` returns how much each row counts, from their
        weighted losses. The net's output is returned as well if it is wanted, which costs a copy.
        """
        code, out, f_tape, g_tape = self._paths(seen)
        output = self._join(code, out) if with_output else None
        if self.squared:
            loss, d_out = self._squared_error(code, out, x, weight, influence)
            d_along = d_out
        else:
            loss, d_along, d_out = self._any_loss(code, out, x, weight, influence)
        d_code = _backward(self.g, g_tape, d_out, True)
        if self.linear:
            self.D.leave(code.mT, d_along)
            d_code += product(d_along, self.D.value.mT)
            self.E.leave(seen.mT, d_code)
        _backward(self.f, f_tape, d_code, False)
        return loss, output

    @torch.no_grad()
    def output(self, x):
        """Return the net's output for rows."""
        code, out, _, _ = self._paths(x)
        return self._join(code, out)

    @torch.no_grad()
    def losses(self, seen, x):
        """Return the squared error of each row x, of which the encoder sees `seen`."""
        residual = self._residual(*self._paths(seen)[:2], x)
        return torch.linalg.vecdot(residual, residual) / residual.shape[-1]

    def _join(self, code, out):
        return self.module.join(torch.mm(code, self.D.value) if self.linear else 0.0, out)

    def _paths(self, x):
        """Return the code, the decoder's nonlinear path, and what the way back needs."""
        code, f_tape = _forward(self.f, x)
        if self.linear:
            code += product(x, self.E.value)
        out, g_tape = _forward(self.g, code)
        return code, out, f_tape, g_tape

    def _squared_error(self, code, out, x, weight, influence):
        """Return the mean loss and its gradient by the output."""
        out = self._residual(code, out, x)
        n_entries = out.shape[-2] * out.shape[-1]
        if influence is None and weight is None:
            entries = out.flatten(-2)
            loss = torch.linalg.vecdot(entries, entries) / n_entries
            out *= 2 / n_entries
            return loss, out
        losses = torch.linalg.vecdot(out, out) / out.shape[-1]
        counts = torch.ones_like(losses) if weight is None else weight
        losses = losses * counts
        if influence is not None:
            factor = influence(losses)
            losses, counts = losses * factor, counts * factor
        out *= (counts * (2 / n_entries))[..., None]
        return losses.mean(-1), out

    def _residual(self, code, out, x):
        if self.linear:
            (out.addmm_ if out.dim() == 2 else out.baddbmm_)(code, self.D.value)
        out -= x
        return out

    @torch.enable_grad()
    def _any_loss(self, code, out, x, weight, influence):
        """Return the mean loss and its gradients by the outputs of the two paths."""
        along = torch.mm(code, self.D.value) if self.linear else out.new_zeros(())
        paths = [along.requires_grad_(), out.requires_grad_()]
        losses = self.criterion(self.module.join(*paths), self.module.target(x))
        if weight is not None:
            losses = losses * weight
        if influence is not None:
            losses = losses * influence(losses)
        loss = losses.mean()
        return loss.detach(), *torch.autograd.grad(loss, paths)


class Weight:
    """A parameter, and where its gradient goes: of one net, or of several."""

    def __init__(self, value, gradient, parameter=None):
        self.value = value
        self.gradient = gradient
        self.parameter = parameter

    @classmethod
    def of(cls, parameter):
        return cls(parameter.detach(), parameter.grad, parameter)

    def leave(self, a, b):
        """Let the gradient be a product of matrices."""
        if self.gradient._is_view():
            product(a, b, out=self.gradient)
        else:
            # It is no part of a vector, and may be anywhere.
            self.parameter.grad = product(a, b)


class Layer:
    """A linear layer and the activation behind it."""

    def __init__(self, weight, bias, activation):
        self.weight, self.bias, self.activation = weight, bias, activation
        self.slope = None if activation is None else slope_of(activation)

    def forward(self, h):
        """Return the output before and after the activation."""
        a = affine(h, self.weight.value, self.bias.value)
        return (a, a) if self.activation is None else (a, self.activation.forward(a))

    def backward(self, d, h, before, after, to_input):
        """Leave the gradient by the parameters, and return that by the input h if it is needed."""
        if self.activation is not None:
            d = self.slope(d, before, after)
        self.weight.leave(d.mT, h)
        torch.sum(d, -2, out=self.bias.gradient)
        return product(d, self.weight.value) if to_input else None


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
    """Return what a linear layer makes of rows, or several layers of rows of their own."""
    if x.dim() == 3:
        return torch.baddbmm(bias[:, None], x, weight.mT)
    n_columns = weight.shape[0]
    if _is_large(x, n_columns):
        return _onednn_linear(x, weight, bias, "none", [], "")
    if _is_narrow(x.shape[0], n_columns):
        return product(x, weight.t()) + bias
    return torch.addmm(bias, x, weight.t())


def product(a, b, out=None):
    """Return the product of two matrices, or of several pairs of them."""
    if a.dim() == 3:
        return torch.bmm(a, b, out=out)
    n_rows, n_columns = a.shape[0], b.shape[1]
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
    return n_columns <= 32 and n_rows >= 4 * n_columns


def _is_large(a, n_columns):
    return (
        a.numel() * n_columns >= _LARGE
        and _onednn_linear is not None
        and a.dtype == torch.float32
        and a.device.type == "cpu"
    )


# Numbers up to which parameters share a vector. It saves calls, which are nothing to larger ones.
_LONGEST = 2**20
# Each parameter starts where a tensor of its own would: 64 bytes are what torch aligns to.
_ALIGNMENT = 16


class FlatParameters:
    """Parameters that are views into one vector, and their gradients into another.

    Where they cannot be laid out together, each one is a vector of its own. Those that need no
    gradient are left out; the others keep their values and their identity.

    Attributes
    ----------
    parameters : list of torch.nn.Parameter
    vectors : list of torch.nn.Parameter
        What an optimizer is to step; each has its gradient.
    """

    def __init__(self, parameters, together=True):
        self.parameters = [p for p in parameters if p.requires_grad]
        self.vectors = self.parameters
        length = sum(_room(p) for p in self.parameters)
        alike = len({(p.dtype, p.device, p.layout) for p in self.parameters}) == 1
        if together and alike and length <= _LONGEST:
            self.vectors = [nn.Parameter(self.parameters[0].new_zeros(length))]
        self._lay_out(keep=True)

    def _lay_out(self, keep, gradient=None):
        """Make the parameters views, which keep their values or take those of the vector."""
        for vector in self.vectors:
            vector.grad = torch.zeros_like(vector) if gradient is None else gradient
        if self.vectors is not self.parameters:
            (vector,), start = self.vectors, 0
            for p in self.parameters:
                part = slice(start, start + p.numel())
                view = vector.detach()[part].view(p.shape)
                if keep:
                    view.copy_(p.detach())
                p.data = view
                p.grad = vector.grad[part].view(p.shape)
                start += _room(p)
        self._gradients = [p.grad for p in self.parameters]

    def __getstate__(self):
        return {"parameters": self.parameters, "vectors": self.vectors}

    def __setstate__(self, state):
        # what is copied or pickled has lost its gradients, and its views have parted
        vars(self).update(state)
        self._lay_out(keep=False)

    def move(self, vector, gradient):
        """Let other memory be the only vector and its gradient, which have values."""
        self.vectors[0].data = vector
        self._lay_out(keep=False, gradient=gradient)

    def zero_grad(self):
        """Set the gradients to zero."""
        for vector in self.vectors:
            vector.grad.zero_()

    def collect(self):
        """Take back the gradients that someone else has replaced."""
        for p, own in zip(self.parameters, self._gradients, strict=True):
            if p.grad is not own:
                own.zero_() if p.grad is None else own.copy_(p.grad)
                p.grad = own

    def step(self, optimizer):
        """Let an optimizer take a step; what someone has frozen meanwhile stays where it is."""
        frozen = [(p.detach(), p.detach().clone()) for p in self.parameters if not p.requires_grad]
        optimizer.step()
        for parameter, value in frozen:
            parameter.copy_(value)

    def clip(self, largest):
        """Scale the gradient down to a norm, as torch.nn.utils.clip_grad_norm_ does."""
        gradients = [vector.grad for vector in self.vectors]
        norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]
        norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
        if norm.device.type == "cpu":
            # Most steps have nothing to scale; to ask would make an accelerator wait.
            factor = largest / (norm.item() + 1e-6)
            if factor >= 1:
                return
        else:
            factor = (largest / (norm + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor)


def _room(parameter):
    return -(-parameter.numel() // _ALIGNMENT) * _ALIGNMENT
