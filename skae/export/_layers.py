"""Torch's layers in ONNX: convolutions, normalisation and recurrent layers.

onnxruntime knows convolutions and recurrent layers in float32 only, on the CPU. In float64 they are
composed of products.
"""

from itertools import product

import numpy as np
import torch
from onnx import helper

from ._graph import onnx_type, translates


@translates("aten.batch_norm.default")
def _batch_norm(graph, node, x, weight, bias, mean, variance, training, momentum, eps, cudnn):
    shape = [-1, *[1] * (x.rank - 2)]
    spread = graph.op("Sqrt", graph.op("Add", variance, graph.as_type(eps, x.dtype)))
    factor = graph.op("Div", weight, spread) if weight else graph.op("Reciprocal", spread)
    x = graph.op("Sub", x, graph.op("Reshape", mean, shape))
    x = graph.op("Mul", x, graph.op("Reshape", factor, shape))
    return graph.op("Add", x, graph.op("Reshape", bias, shape)) if bias else x


@translates("aten.layer_norm.default")
def _layer_norm(graph, node, x, shape, weight=None, bias=None, eps=1e-5, cudnn=True):
    axes = list(range(-len(shape), 0))
    x, dtype = graph.op("Sub", x, graph.op("ReduceMean", x, axes)), x.dtype
    variance = graph.op("ReduceMean", graph.op("Mul", x, x), axes)
    x = graph.op("Div", x, graph.op("Sqrt", graph.op("Add", variance, graph.as_type(eps, dtype))))
    x = graph.op("Mul", x, weight) if weight else x
    return graph.op("Add", x, bias) if bias else x


# -- convolutions --------------------------------------------------------------------------------


def _by_axis(value, n_axes):
    """Return a value for each axis; torch takes one for all."""
    value = list(value)
    return value * n_axes if len(value) == 1 else value


@translates("aten.conv1d.default", "aten.conv2d.default")
def _convolution(
    graph, node, x, weight, bias=None, stride=(1,), padding=(0,), dilation=(1,), groups=1
):
    n_axes = x.rank - 2
    stride, pads, dilation = (_by_axis(v, n_axes) for v in (stride, padding, dilation))
    if x.dtype == torch.float32:
        inputs = [x, weight] + ([] if bias is None else [bias])
        options = {"strides": stride, "dilations": dilation, "pads": pads * 2, "group": groups}
        return graph.op("Conv", *inputs, **options)
    lengths = node.meta["val"].shape[2:]
    array = _whole(weight.array, groups)
    return _products(graph, x, x.name, array, bias, stride, (pads, pads), dilation, lengths)


@translates("aten.conv_transpose1d.default", "aten.conv_transpose2d.input")
def _transposed(
    graph,
    node,
    x,
    weight,
    bias=None,
    stride=(1,),
    padding=(0,),
    output_padding=(0,),
    groups=1,
    dilation=(1,),
):
    n_axes = x.rank - 2
    stride, pads, more, dilation = (
        _by_axis(v, n_axes) for v in (stride, padding, output_padding, dilation)
    )
    if x.dtype == torch.float32:
        inputs = [x, weight] + ([] if bias is None else [bias])
        options = {"strides": stride, "dilations": dilation, "pads": pads * 2, "group": groups}
        return graph.op("ConvTranspose", *inputs, output_padding=more, **options)
    array = weight.array
    # A transposed convolution is one of the reversed kernel over an input with zeros between.
    array = array.reshape(groups, -1, *array.shape[1:]).swapaxes(1, 2)
    array = np.flip(array.reshape(-1, *array.shape[2:]), tuple(range(2, 2 + n_axes)))
    sizes = array.shape[2:]
    before = [d * (k - 1) - p for d, k, p in zip(dilation, sizes, pads, strict=True)]
    after = [b + m for b, m in zip(before, more, strict=True)]
    name, shape = x.name, list(x.shape)
    for axis, step in enumerate(stride, start=2):
        name = graph.op("Unsqueeze", name, [axis + 1])
        n = len(shape) + 1
        widths = [0] * n + [step - 1 if i == axis + 1 else 0 for i in range(n)]
        name = graph.op("Pad", name, widths, graph.as_type(0, x.dtype))
        shape[axis] *= step
        name = graph.reshape(name, shape)
        shape[axis] -= step - 1
        name = graph.op("Slice", name, [0], [shape[axis]], [axis], [1])
    lengths = node.meta["val"].shape[2:]
    ones = [1] * n_axes
    return _products(
        graph, x, name, _whole(array, groups), bias, ones, (before, after), dilation, lengths
    )


def _whole(array, groups):
    """Return the kernels of groups of channels as those of all channels, zero between groups."""
    if groups == 1:
        return array
    n_outputs, n_inputs = array.shape[0] // groups, array.shape[1]
    whole = np.zeros((array.shape[0], groups * n_inputs, *array.shape[2:]), array.dtype)
    for i in range(groups):
        rows = slice(i * n_outputs, (i + 1) * n_outputs)
        whole[rows, i * n_inputs : (i + 1) * n_inputs] = array[rows]
    return whole


def _products(graph, x, name, array, bias, stride, pads, dilation, lengths):
    """Return a convolution as one product with all the shifted inputs that its kernel takes."""
    n_axes, dtype = len(lengths), x.dtype
    widths = [0, 0, *pads[0], 0, 0, *pads[1]]
    if any(widths):
        # a negative width cuts off
        name = graph.op("Pad", name, widths, graph.as_type(0, dtype))
    axes, shifted = list(range(2, 2 + n_axes)), []
    for offsets in product(*map(range, array.shape[2:])):
        starts = [offset * step for offset, step in zip(offsets, dilation, strict=True)]
        ends = [
            start + (length - 1) * step + 1
            for start, length, step in zip(starts, lengths, stride, strict=True)
        ]
        part = graph.op("Slice", name, starts, ends, axes, stride)
        shifted.append(graph.op("Reshape", part, [-1, array.shape[1], int(np.prod(lengths))]))
    # the offsets in the kernel's order, each with all channels
    matrix = np.moveaxis(array, 1, -1).reshape(len(array), -1)
    out = graph.op("MatMul", graph.constant(matrix, dtype), graph.op("Concat", *shifted, axis=1))
    if bias is not None:
        out = graph.op("Add", out, graph.op("Reshape", bias, [-1, 1]))
    return graph.op("Reshape", out, [-1, len(array), *lengths])


# -- recurrent layers ----------------------------------------------------------------------------


@translates("aten.gru.input")
def _gru(graph, node, x, state, *args):
    return _recurrent(graph, x, [state], _gru_step, *args)


@translates("aten.lstm.input")
def _lstm(graph, node, x, states, *args):
    return _recurrent(graph, x, states, _lstm_step, *args)


def _recurrent(
    graph, x, states, step, weights, has_biases, n_layers, dropout, training, both, batch_first
):
    """Return the outputs and the last states of recurrent layers, as loops over the steps."""
    if not has_biases:
        raise NotImplementedError("a recurrent layer without biases")
    dtype, n_directions = x.dtype, 1 + both
    out = graph.op("Transpose", x, perm=[1, 0, 2]) if batch_first else x.name
    last = [[] for _ in states]
    for layer in range(n_layers):
        found = []
        for direction in range(n_directions):
            at = layer * n_directions + direction
            own = weights[4 * at : 4 * at + 4]
            starts = [graph.op("Gather", s, graph.constant(at, torch.int64)) for s in states]
            *ends, values = _scan(graph, out, own, starts, step, dtype, direction)
            found.append(values)
            for known, end in zip(last, ends, strict=True):
                known.append(graph.op("Unsqueeze", end, [0]))
        out = graph.op("Concat", *found, axis=2)
    if batch_first:
        out = graph.op("Transpose", out, perm=[1, 0, 2])
    return [out, *(graph.op("Concat", *known, axis=0) for known in last)]


def _scan(graph, x, weights, starts, step, dtype, direction):
    """Return the last states and all outputs of one layer in one direction."""
    of_input, of_state, input_bias, state_bias = weights
    product = graph.op("MatMul", x, graph.op("Transpose", of_input, perm=[1, 0]))
    gates = graph.op("Add", product, input_bias)
    matrix, n_units = graph.op("Transpose", of_state, perm=[1, 0]), of_state.shape[1]
    before = len(graph.nodes)
    states = [graph.new_name("state") for _ in starts]
    own = graph.new_name("gates")
    product = graph.op("Add", graph.op("MatMul", states[0], matrix), state_bias)
    new = step(graph, own, product, states, n_units, dtype)
    output = graph.op("Identity", new[0])
    body, graph.nodes = graph.nodes[before:], graph.nodes[:before]
    kind = onnx_type(dtype)
    infos = [
        [helper.make_tensor_value_info(name, kind, None) for name in names]
        for names in ([*states, own], [*new, output])
    ]
    body = helper.make_graph(body, graph.new_name("step"), *infos)
    return graph.op(
        "Scan",
        *starts,
        gates,
        n_outputs=len(starts) + 1,
        body=body,
        num_scan_inputs=1,
        scan_input_directions=[direction],
        scan_output_directions=[direction],
    )


def _parts(graph, value, n_units, n_parts):
    return [
        graph.op("Slice", value, [i * n_units], [(i + 1) * n_units], [1]) for i in range(n_parts)
    ]


def _gru_step(graph, gates, product, states, n_units, dtype):
    own = _parts(graph, gates, n_units, 3)
    of_state = _parts(graph, product, n_units, 3)
    reset, update = (
        graph.op("Sigmoid", graph.op("Add", *pair))
        for pair in zip(own[:2], of_state[:2], strict=True)
    )
    new = graph.op("Tanh", graph.op("Add", own[2], graph.op("Mul", reset, of_state[2])))
    change = graph.op("Mul", update, graph.op("Sub", states[0], new))
    return [graph.op("Add", new, change)]


def _lstm_step(graph, gates, product, states, n_units, dtype):
    entry, forget, cell, output = _parts(graph, graph.op("Add", gates, product), n_units, 4)
    kept = graph.op("Mul", graph.op("Sigmoid", forget), states[1])
    added = graph.op("Mul", graph.op("Sigmoid", entry), graph.op("Tanh", cell))
    memory = graph.op("Add", kept, added)
    return [graph.op("Mul", graph.op("Sigmoid", output), graph.op("Tanh", memory)), memory]
