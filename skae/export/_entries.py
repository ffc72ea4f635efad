"""Torch operators of single entries in ONNX."""

import operator

import numpy as np
import torch
from scipy.special import erfcx

from ._graph import Value, translates

# The degree of a polynomial for the error function, which onnxruntime lacks in float64.
_DEGREE = 24
# What torch's selu multiplies by.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@translates(
    "aten._assert_tensor_metadata.default",
    "aten._assert_scalar.default",
    "aten.sym_constrain_range_for_size.default",
    "aten.sym_constrain_range.default",
    *map(str, (operator.ge, operator.le, operator.gt, operator.lt, operator.eq, operator.ne)),
)
def _nothing(graph, node, *args, **kwargs):
    return None


@translates(
    "aten.lift_fresh_copy.default",
    "aten.detach.default",
    "aten.detach_.default",
    "aten.contiguous.default",
    "aten.clone.default",
    "aten.alias.default",
    "aten.dropout.default",
)
def _same(graph, node, x, *args, **kwargs):
    return x


@translates("aten.to.device", "aten.to.dtype", "aten.to.dtype_layout", "aten._to_copy.default")
def _cast(graph, node, x, *args, **kwargs):
    return graph.as_type(x, node.meta["val"].dtype)


def _unary(kind, *names):
    @translates(*names)
    def translate(graph, node, x):
        return graph.op(kind, graph.as_type(x, node.meta["val"].dtype))


for _kind, _names in {
    "Abs": ["abs"],
    "Exp": ["exp"],
    "Log": ["log"],
    "Mish": ["mish"],
    "Neg": ["neg"],
    "Reciprocal": ["reciprocal"],
    "Relu": ["relu"],
    "Sigmoid": ["sigmoid"],
    "Sign": ["sign"],
    "Sqrt": ["sqrt"],
    "Tanh": ["tanh"],
    "Not": ["bitwise_not", "logical_not"],
}.items():
    _unary(_kind, *[f"aten.{name}.default" for name in _names])


@translates("aten.rsqrt.default")
def _rsqrt(graph, node, x):
    return graph.op("Reciprocal", graph.op("Sqrt", x))


@translates("aten.isnan.default")
def _isnan(graph, node, x):
    return graph.op("IsNaN", x)


@translates("aten.square.default")
def _square(graph, node, x):
    return graph.op("Mul", x, x)


@translates("aten.log1p.default")
def _log1p(graph, node, x):
    return graph.op("Log", graph.op("Add", x, graph.as_type(1, x.dtype)))


@translates("aten.silu.default")
def _silu(graph, node, x):
    return graph.op("Mul", x, graph.op("Sigmoid", x))


@translates("aten.leaky_relu.default")
def _leaky_relu(graph, node, x, slope=0.01):
    # ONNX's own layers hold such numbers in float32
    return graph.op("Max", x, graph.op("Mul", x, graph.as_type(slope, x.dtype)))


@translates("aten.selu.default")
def _selu(graph, node, x):
    zero = graph.as_type(0, x.dtype)
    below = graph.op("Elu", graph.op("Min", x, zero))
    below = graph.op("Mul", below, graph.as_type(_SELU_ALPHA, x.dtype))
    both = graph.op("Add", graph.op("Max", x, zero), below)
    return graph.op("Mul", both, graph.as_type(_SELU_SCALE, x.dtype))


@translates("aten.elu.default")
def _elu(graph, node, x, alpha=1.0):
    return graph.op("Elu", x, alpha=float(alpha))


@translates("aten.softplus.default")
def _softplus(graph, node, x, beta=1.0, threshold=20.0):
    beta = graph.as_type(beta, x.dtype)
    return graph.op("Div", graph.op("Softplus", graph.op("Mul", x, beta)), beta)


@translates("aten.gelu.default")
def _gelu(graph, node, x, approximate="none"):
    if approximate != "none":
        raise NotImplementedError("aten.gelu.default with approximate='tanh'")
    half = graph.op("Mul", x, graph.as_type(0.5, x.dtype))
    scaled = graph.op("Mul", x, graph.as_type(0.5**0.5, x.dtype))
    erf = _erf(graph, scaled, x.dtype)
    return graph.op("Mul", half, graph.op("Add", erf, graph.as_type(1, x.dtype)))


@translates("aten.erf.default")
def _error_function(graph, node, x):
    return _erf(graph, x.name, x.dtype)


def _erf(graph, x, dtype):
    """Return the error function: erfc(z) is exp(-z^2) times a smooth function of 1 / (2 + z)."""
    if dtype == torch.float32:
        return graph.op("Erf", x)
    nodes = np.polynomial.chebyshev.chebinterpolate(
        # the ends of the interval are z = infinity and z = 0
        lambda u: erfcx(4 / (1 + u) - 2),
        _DEGREE,
    )
    size, two = graph.op("Abs", x), graph.as_type(2, dtype)
    u = graph.op("Div", graph.as_type(4, dtype), graph.op("Add", size, two))
    u = graph.op("Sub", u, graph.as_type(1, dtype))
    value = graph.as_type(0, dtype)
    for coefficient in np.polynomial.chebyshev.cheb2poly(nodes)[::-1]:
        value = graph.op("Mul", value, u)
        value = graph.op("Add", value, graph.as_type(coefficient, dtype))
    decay = graph.op("Exp", graph.op("Neg", graph.op("Mul", x, x)))
    above = graph.op("Sub", graph.as_type(1, dtype), graph.op("Mul", decay, value))
    return graph.op("Mul", graph.op("Sign", x), above)


def _binary(kind, *names, swapped=False):
    @translates(*names)
    def translate(graph, node, a, b, alpha=1):
        dtype = node.meta["val"].dtype
        a, b = graph.as_type(a, dtype), graph.as_type(b, dtype)
        if alpha != 1:
            b = graph.op("Mul", b, graph.as_type(alpha, dtype))
        return graph.op(kind, b, a) if swapped else graph.op(kind, a, b)


for _kind, _names in {
    "Add": ["add.Tensor", "add.Scalar"],
    "Sub": ["sub.Tensor", "sub.Scalar"],
    "Mul": ["mul.Tensor", "mul.Scalar"],
    "Div": ["div.Tensor", "div.Scalar"],
    "Pow": ["pow.Tensor_Scalar", "pow.Tensor_Tensor"],
    "Max": ["maximum.default"],
    "Min": ["minimum.default"],
    "And": ["__and__.Tensor", "bitwise_and.Tensor", "logical_and.default"],
    "Or": ["__or__.Tensor", "bitwise_or.Tensor", "logical_or.default"],
}.items():
    _binary(_kind, *[f"aten.{name}" for name in _names])
_binary("Sub", "aten.rsub.Scalar", "aten.rsub.Tensor", swapped=True)


def _comparison(kind, name, negated=False):
    @translates(f"aten.{name}.Tensor", f"aten.{name}.Scalar")
    def translate(graph, node, a, b):
        operands = [value.traced if isinstance(value, Value) else value for value in (a, b)]
        dtype = torch.result_type(*operands)
        found = graph.op(kind, graph.as_type(a, dtype), graph.as_type(b, dtype))
        return graph.op("Not", found) if negated else found


for _name, _kind in {
    "gt": "Greater",
    "ge": "GreaterOrEqual",
    "lt": "Less",
    "le": "LessOrEqual",
}.items():
    _comparison(_kind, _name)
_comparison("Equal", "eq")
_comparison("Equal", "ne", negated=True)


@translates(
    "aten.where.self", "aten.where.ScalarSelf", "aten.where.ScalarOther", "aten.where.Scalar"
)
def _where(graph, node, condition, a, b):
    dtype = node.meta["val"].dtype
    return graph.op("Where", condition, graph.as_type(a, dtype), graph.as_type(b, dtype))


@translates("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def _masked_fill(graph, node, x, mask, value):
    return graph.op("Where", mask, graph.as_type(value, x.dtype), x)


@translates("aten.clamp.default")
def _clamp(graph, node, x, min=None, max=None):
    found = x.name
    # In this order NaN stays NaN, as it does not in onnxruntime's own Clip.
    for kind, bound in (("Less", min), ("Greater", max)):
        if bound is not None:
            bound = graph.as_type(bound, x.dtype)
            found = graph.op("Where", graph.op(kind, found, bound), bound, found)
    return found


@translates("aten.nan_to_num.default")
def _nan_to_num(graph, node, x, nan=None, posinf=None, neginf=None):
    limits = torch.finfo(x.dtype)
    found = graph.op("Where", graph.op("IsNaN", x), graph.as_type(nan or 0.0, x.dtype), x)
    for infinite, value, default in ((np.inf, posinf, limits.max), (-np.inf, neginf, limits.min)):
        is_it = graph.op("Equal", found, graph.as_type(infinite, x.dtype))
        value = graph.as_type(default if value is None else value, x.dtype)
        found = graph.op("Where", is_it, value, found)
    return found


@translates("aten.logit.default")
def _logit(graph, node, x, eps=None):
    rest = graph.op("Sub", graph.as_type(1, x.dtype), x)
    return graph.op("Log", graph.op("Div", x, rest))


@translates("aten.xlogy.Tensor")
def _xlogy(graph, node, x, y):
    zero = graph.as_type(0, x.dtype)
    product = graph.op("Mul", x, graph.op("Log", y))
    return graph.op("Where", graph.op("Equal", x, zero), zero, product)


@translates("aten.huber_loss.default")
def _huber(graph, node, a, b, reduction=1, delta=1.0):
    dtype = a.dtype
    size = graph.op("Abs", graph.op("Sub", a, b))
    delta, half = graph.as_type(delta, dtype), graph.as_type(0.5, dtype)
    square = graph.op("Mul", half, graph.op("Mul", size, size))
    line = graph.op("Mul", delta, graph.op("Sub", size, graph.op("Mul", half, delta)))
    return graph.op("Where", graph.op("LessOrEqual", size, delta), square, line)


@translates("aten.binary_cross_entropy_with_logits.default")
def _cross_entropy(graph, node, logits, target, *args):
    rest = graph.op("Sub", graph.as_type(1, logits.dtype), target)
    tail = graph.op("Softplus", graph.op("Neg", logits))
    return graph.op("Add", graph.op("Mul", rest, logits), tail)


@translates("aten.broadcast_tensors.default")
def _broadcast(graph, node, tensors):
    return [tensor.name for tensor in tensors]
