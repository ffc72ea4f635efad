"""From a traced torch module to an ONNX graph."""

import operator
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

# The operators that can be translated, by torch's names of them.
OPERATORS: dict = {}


def translates(*names):
    """Register a function that translates operators.

    It is given the `Translator`, the node of the traced graph and its arguments, with a `Value` for
    each tensor, and returns the name of what it makes, or several.
    """

    def register(function):
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return register


@dataclass
class Value:
    """A tensor of the graph.

    Parameters
    ----------
    name : str
    traced : Tensor
        Its dtype and its shape, in which the number of rows is symbolic.
    array : ndarray or None
        What it is, if it is a constant.
    """

    name: str
    traced: torch.Tensor
    array: np.ndarray | None = None

    @property
    def dtype(self):
        return self.traced.dtype

    @property
    def rank(self):
        return self.traced.ndim

    @property
    def shape(self):
        """The lengths of the axes; None where they depend on the number of rows."""
        return [size if isinstance(size, int) else None for size in self.traced.shape]


def numpy_type(dtype):
    """Return NumPy's name of a torch dtype."""
    return np.dtype(str(dtype).removeprefix("torch."))


def onnx_type(dtype):
    return helper.np_dtype_to_tensor_dtype(numpy_type(dtype))


class Translator:
    """Translates the nodes of a traced graph one by one into those of an ONNX graph."""

    def __init__(self):
        self.nodes, self.initializers = [], []
        self._n_names, self._constants = 0, {}

    # -- parts of a graph ------------------------------------------------------------------------

    def new_name(self, stem):
        self._n_names += 1
        return f"{stem}_{self._n_names}"

    def constant(self, array, dtype=None):
        """Return the name of a constant, of a torch dtype."""
        array = np.array(array, None if dtype is None else numpy_type(dtype), order="C")
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            name = self.new_name("constant")
            self.initializers.append(numpy_helper.from_array(array, name))
            self._constants[key] = name
        return self._constants[key]

    def op(self, kind, *inputs, n_outputs=1, **attributes):
        """Add a node; inputs are names, or values, or sequences of ints. Return its outputs."""
        names = [self._name_of(value) for value in inputs]
        outputs = [self.new_name(kind.lower()) for _ in range(n_outputs)]
        self.nodes.append(helper.make_node(kind, names, outputs, outputs[0], **attributes))
        return outputs[0] if n_outputs == 1 else outputs

    def _name_of(self, value):
        if isinstance(value, Value):
            return value.name
        return value if isinstance(value, str) else self.constant(value, torch.int64)

    def as_type(self, value, dtype):
        """Return the name of a value or a number in a torch dtype."""
        if not isinstance(value, Value):
            return self.constant(np.asarray(value), dtype)
        return value.name if value.dtype == dtype else self.cast(value, dtype)

    def cast(self, value, dtype):
        return self.op("Cast", value, to=onnx_type(dtype))

    def reshape(self, value, shape):
        """Return a value in a shape of which None, at most once, depends on the number of rows."""
        shape = [-1 if size is None else size for size in shape]
        return self.op("Reshape", value, shape)

    def sizes(self, sizes):
        """Return the name of a shape, whose entries are ints or names of numbers."""
        if all(isinstance(size, int) for size in sizes):
            return self.constant(sizes, torch.int64)
        parts = [[size] if isinstance(size, int) else self.reshape(size, [1]) for size in sizes]
        return self.op("Concat", *parts, axis=0)

    # -- the traced graph ------------------------------------------------------------------------

    def translate(self, graph, inputs):
        """Translate a traced graph, whose inputs are given; return its outputs."""
        known, inputs = {}, iter(inputs)
        for node in graph.nodes:
            if node.op == "placeholder":
                known[node] = next(inputs)
            elif node.op == "call_function":
                known[node] = self._translate_node(node, known)
            elif node.op == "output":
                return [known[value] for value in node.args[0]]
        raise AssertionError("a traced graph ends with its outputs")

    def _translate_node(self, node, known):
        args, kwargs = torch.fx.map_arg((node.args, node.kwargs), known.__getitem__)
        if node.target is operator.getitem:
            return args[0][args[1]]
        name = str(node.target)
        if name not in OPERATORS:
            raise NotImplementedError(name)
        found, traced = OPERATORS[name](self, node, *args, **kwargs), node.meta.get("val")
        if isinstance(found, str) and isinstance(traced, torch.Tensor):
            return Value(found, traced)
        if isinstance(found, list | tuple):
            return [Value(*pair) for pair in zip(found, traced, strict=True)]
        return found


def trace(module, x):
    """Return the exported program of a module of rows, for any number of rows."""
    rows = ({0: torch.export.Dim.DYNAMIC},)
    with torch.no_grad():
        return torch.export.export(module.eval(), (x,), dynamic_shapes=rows, strict=False)


def to_model(module, x, input_name, output_names, opset, producer):
    """Return a torch module of rows as an ONNX model for any number of rows."""
    program, translator = trace(module, x), Translator()
    inputs, signature = [], program.graph_signature
    tensors = {**program.state_dict, **program.constants}
    sources = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    for node in program.graph.nodes:
        if node.op != "placeholder":
            continue
        traced = node.meta["val"]
        if node.name in sources:
            array = tensors[sources[node.name]].detach().cpu().numpy()
            inputs.append(Value(translator.constant(array), traced, array))
        else:
            inputs.append(Value(input_name, traced))
    found = translator.translate(program.graph, inputs)
    nodes, used = [], {value.name for value in found}
    for node in reversed(translator.nodes):
        if used.intersection(node.output):
            nodes.append(node)
            used.update(_inputs_of(node))
    nodes.reverse()
    for name, value in zip(output_names, found, strict=True):
        nodes.append(helper.make_node("Identity", [value.name], [name], f"output_{name}"))
    graph = helper.make_graph(
        nodes,
        "skae",
        [_info(input_name, x, x.shape[1:])],
        [
            _info(name, value, value.traced.shape[1:])
            for name, value in zip(output_names, found, strict=True)
        ],
        [constant for constant in translator.initializers if constant.name in used],
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model_gen_version(graph, opset_imports=opsets, producer_name=producer)
    onnx.checker.check_model(model)
    return model


def _inputs_of(node):
    """Return the names that a node and the nodes of its bodies take."""
    bodies = [inner for attribute in node.attribute for inner in attribute.g.node]
    return [*node.input, *(name for inner in bodies for name in inner.input)]


def _info(name, value, shape):
    return helper.make_tensor_value_info(name, onnx_type(value.dtype), ["n_samples", *shape])
