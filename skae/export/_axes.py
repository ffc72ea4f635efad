"""Torch operators of axes and of positions in ONNX."""

import numpy as np
import torch

from ._graph import Value, translates

# -- axes ----------------------------------------------------------------------------------------


@translates("aten.sum.dim_IntList", "aten.mean.dim", "aten.amax.default", "aten.amin.default")
def _reduce(graph, node, x, axes, keepdim=False, dtype=None):
    kinds = {"sum": "ReduceSum", "mean": "ReduceMean", "amax": "ReduceMax", "amin": "ReduceMin"}
    kind = kinds[str(node.target).split(".")[1]]
    x = graph.as_type(x, node.meta["val"].dtype)
    return graph.op(kind, x, axes if isinstance(axes, list) else [axes], keepdims=int(keepdim))


@translates("aten.any.dim")
def _any(graph, node, x, axis, keepdim=False):
    count = graph.op("ReduceMax", graph.cast(x, torch.int32), [axis], keepdims=int(keepdim))
    return graph.cast(count, torch.bool)


@translates("aten.argmax.default", "aten.argmin.default")
def _arg(graph, node, x, axis, keepdim=False):
    kind = "ArgMax" if "argmax" in str(node.target) else "ArgMin"
    return graph.op(kind, x, axis=axis, keepdims=int(keepdim))


@translates("aten.softmax.int", "aten.log_softmax.int")
def _softmax(graph, node, x, axis, dtype=None):
    kind = "LogSoftmax" if "log_softmax" in str(node.target) else "Softmax"
    return graph.op(kind, x, axis=axis)


@translates("aten.cumsum.default")
def _cumsum(graph, node, x, axis):
    return graph.op("CumSum", x, graph.constant(axis, torch.int64))


@translates("aten.topk.default")
def _topk(graph, node, x, k, axis=-1, largest=True, is_sorted=True):
    options = {"axis": axis, "largest": int(largest), "sorted": int(is_sorted)}
    return graph.op("TopK", x, [k], n_outputs=2, **options)


@translates("aten.linear.default")
def _linear(graph, node, x, weight, bias=None):
    product = graph.op("MatMul", x, graph.op("Transpose", weight, perm=[1, 0]))
    return product if bias is None else graph.op("Add", product, bias)


@translates("aten.addmm.default")
def _addmm(graph, node, bias, a, b, beta=1, alpha=1):
    product = graph.op("MatMul", a, b)
    if alpha != 1:
        product = graph.op("Mul", product, graph.as_type(alpha, a.dtype))
    return graph.op("Add", bias, product)


@translates("aten.matmul.default", "aten.mm.default", "aten.bmm.default")
def _matmul(graph, node, a, b):
    return graph.op("MatMul", a, b)


@translates("aten.t.default", "aten.numpy_T.default")
def _reversed_axes(graph, node, x):
    return graph.op("Transpose", x, perm=list(range(x.rank))[::-1])


@translates("aten.transpose.int")
def _transpose(graph, node, x, first, second):
    axes = list(range(x.rank))
    axes[first], axes[second] = axes[second], axes[first]
    return graph.op("Transpose", x, perm=axes)


@translates("aten.permute.default")
def _permute(graph, node, x, axes):
    return graph.op("Transpose", x, perm=[axis % x.rank for axis in axes])


@translates(
    "aten.flatten.using_ints",
    "aten.unflatten.int",
    "aten.view.default",
    "aten.reshape.default",
    "aten.unsqueeze.default",
    "aten.squeeze.dim",
)
def _reshape(graph, node, x, *args):
    return graph.reshape(x, Value("", node.meta["val"]).shape)


@translates("aten.cat.default", "aten.stack.default")
def _cat(graph, node, tensors, axis=0):
    dtype = node.meta["val"].dtype
    names = [graph.as_type(tensor, dtype) for tensor in tensors]
    if "stack" in str(node.target):
        names = [graph.op("Unsqueeze", name, [axis]) for name in names]
    return graph.op("Concat", *names, axis=axis)


@translates("aten.unbind.int")
def _unbind(graph, node, x, axis=0):
    return [_selected(graph, x, axis, i) for i in range(x.shape[axis])]


@translates("aten.pad.default")
def _pad(graph, node, x, widths, mode="constant", value=None):
    if mode != "constant":
        raise NotImplementedError(f"aten.pad.default with mode={mode!r}")
    pairs = [(0, 0)] * (x.rank - len(widths) // 2)
    pairs += list(zip(widths[::2], widths[1::2], strict=True))[::-1]
    begins, ends = zip(*pairs, strict=True)
    return graph.op("Pad", x, [*begins, *ends], graph.as_type(value or 0.0, x.dtype))


# -- positions -----------------------------------------------------------------------------------


@translates("aten.slice.Tensor")
def _slice(graph, node, x, axis=0, start=None, end=None, step=1):
    end = np.iinfo(np.int64).max if end is None else end
    if (start or 0) == 0 and end >= (x.shape[axis] or np.iinfo(np.int64).max) and step == 1:
        return x
    return graph.op("Slice", x, [start or 0], [end], [axis], [step])


def _selected(graph, x, axis, position):
    return graph.op("Gather", x, graph.constant(position, torch.int64), axis=axis)


@translates("aten.select.int")
def _select(graph, node, x, axis, position):
    return _selected(graph, x, axis, position)


@translates("aten.index.Tensor")
def _index(graph, node, x, positions):
    (axis, index), *others = [(i, p) for i, p in enumerate(positions) if p is not None]
    if others:
        raise NotImplementedError("aten.index.Tensor of several axes")
    if index.dtype == torch.bool:
        return graph.op("Compress", x, index, axis=axis)
    return graph.op("Gather", x, index, axis=axis)


@translates("aten.index_put.default")
def _index_put(graph, node, x, positions, rows):
    (mask,) = positions
    at = graph.op("Transpose", graph.op("NonZero", mask), perm=[1, 0])
    return graph.op("ScatterND", x, at, rows)


@translates("aten.gather.default")
def _gather(graph, node, x, axis, index):
    return graph.op("GatherElements", x, index, axis=axis)


@translates("aten.embedding.default")
def _embedding(graph, node, rows, index, padding=-1):
    return graph.op("Gather", rows, index, axis=0)


@translates("aten.index_add.default")
def _index_add(graph, node, x, axis, index, source):
    index = graph.op("Expand", index, graph.op("Shape", source))
    return graph.op("ScatterElements", x, index, source, axis=axis, reduction="add")


@translates("aten.scatter_reduce.two")
def _scatter_reduce(graph, node, x, axis, index, source, reduce):
    kinds = {"amax": "max", "amin": "min", "sum": "add"}
    if reduce not in kinds:
        raise NotImplementedError(f"aten.scatter_reduce.two with reduce={reduce!r}")
    return graph.op("ScatterElements", x, index, source, axis=axis, reduction=kinds[reduce])


@translates("aten.expand.default", "aten.expand_as.default")
def _expand(graph, node, x, sizes):
    if isinstance(sizes, Value):
        return graph.op("Expand", x, graph.op("Shape", sizes))
    # what an axis has is kept where another size is not needed
    axes = [None] * (len(sizes) - x.rank) + x.shape
    kept = [
        1 if size == -1 or (axis is None and i >= len(sizes) - x.rank) else size
        for i, (size, axis) in enumerate(zip(sizes, axes, strict=True))
    ]
    return graph.op("Expand", x, graph.sizes(kept))


@translates("aten.sym_size.int")
def _size(graph, node, x, axis):
    return graph.op("Gather", graph.op("Shape", x), graph.constant(axis, torch.int64))


@translates(
    "aten.new_zeros.default",
    "aten.zeros.default",
    "aten.new_ones.default",
    "aten.ones.default",
    "aten.new_full.default",
    "aten.full.default",
)
def _full(graph, node, *args, **kwargs):
    name = str(node.target).split(".")[1]
    sizes, *value = args[name.startswith("new_") :]
    value = value[0] if "full" in name else float("ones" in name)
    return _filled(graph, graph.sizes(sizes), value, node.meta["val"].dtype)


@translates("aten.full_like.default", "aten.zeros_like.default", "aten.ones_like.default")
def _full_like(graph, node, x, value=None, **kwargs):
    value = float("ones" in str(node.target)) if value is None else value
    return _filled(graph, graph.op("Shape", x), value, node.meta["val"].dtype)


def _filled(graph, shape, value, dtype):
    return graph.op("Expand", graph.as_type(value, dtype), shape)


@translates("aten.arange.default", "aten.arange.start")
def _arange(graph, node, *bounds, **kwargs):
    return graph.constant(np.arange(*bounds), node.meta["val"].dtype)


@translates("aten.searchsorted.Tensor")
def _searchsorted(graph, node, knots, x, out_int32=False, right=False):
    """Return what a binary search finds, all of whose steps are done, as ONNX has none."""
    dtype, n_knots, rank = x.dtype, knots.shape[-1], x.rank
    n_steps = int(n_knots).bit_length()
    widths = [0] * (2 * knots.rank - 1) + [2**n_steps - n_knots]
    # beyond the last knot there are more, larger than any number
    name = graph.op("Pad", knots, widths, graph.as_type(np.inf, dtype))
    found = _filled(graph, graph.op("Shape", x), 0, torch.int64)
    for step in reversed(range(n_steps)):
        ahead = graph.op("Add", found, graph.constant(2**step, torch.int64))
        at = graph.op("Sub", ahead, graph.constant(1, torch.int64))
        if knots.rank == 1:
            knot = graph.op("Gather", name, at)
        else:
            knot = graph.op("GatherElements", name, at, axis=rank - 1)
        # as torch does, which takes NaN for larger than all
        passed = graph.op("Not", graph.op("Greater" if right else "GreaterOrEqual", knot, x))
        found = graph.op("Where", passed, ahead, found)
    return graph.op("Min", found, graph.constant(n_knots, torch.int64))
