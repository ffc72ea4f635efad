"""Converters for skl2onnx, by which whole pipelines become ONNX models."""

from .. import AutoencoderAnomalyDetector, AutoencoderTransformer
from ._onnx import OLDEST_OPSET, as_model


def register_skl2onnx() -> None:
    """Let skl2onnx convert the two estimators, alone and in a Pipeline or a ColumnTransformer.

    A transformer becomes its ``transform``. A detector becomes what skl2onnx makes of an
    IsolationForest: "label", its ``predict``, and "scores", its ``decision_function``; the scores
    are in float64.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Notes
    -----
    Columns of whole numbers are converted to float32. The ``target_opset`` must be at least 18.

    Examples
    --------
    >>> from skl2onnx import to_onnx
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import AutoencoderTransformer
    >>> from skae.export import register_skl2onnx
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(max_iter=2, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), autoencoder).fit(X)
    >>> register_skl2onnx()
    >>> [output.name for output in to_onnx(pipeline, X[:1]).graph.output]
    ['variable']
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError:
        raise ImportError(
            "register_skl2onnx needs skl2onnx: install it with pip install 'skae[export]'."
        ) from None
    for kind, shapes, convert in (
        (AutoencoderTransformer, _codes_shape, _convert_transformer),
        (AutoencoderAnomalyDetector, _scores_shape, _convert_detector),
    ):
        options = {"parser": _parse_detector} if kind is AutoencoderAnomalyDetector else {}
        name = f"Skae{kind.__name__}"
        update_registered_converter(kind, name, shapes, convert, overwrite=True, **options)


def _float_type(operator):
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    double = isinstance(operator.inputs[0].type, DoubleTensorType)
    return ("float64", DoubleTensorType) if double else ("float32", FloatTensorType)


def _codes_shape(operator):
    n_rows = operator.inputs[0].get_first_dimension()
    n_components = operator.raw_operator.n_components_
    operator.outputs[0].type = _float_type(operator)[1]([n_rows, n_components])


def _parse_detector(scope, model, inputs, custom_parsers=None):
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType

    operator = scope.declare_local_operator("SkaeAutoencoderAnomalyDetector", model)
    operator.inputs.extend(inputs)
    for name, kind in (("label", Int64TensorType), ("scores", DoubleTensorType)):
        operator.outputs.append(scope.declare_local_variable(name, kind()))
    return operator.outputs


def _scores_shape(operator):
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType

    n_rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = Int64TensorType([n_rows])
    operator.outputs[1].type = DoubleTensorType([n_rows])


def _convert_transformer(scope, operator, container):
    (codes,) = _inline(scope, operator, container, ["transform"])
    container.add_node("Identity", codes, operator.outputs[0].full_name, name=codes + "_out")


def _convert_detector(scope, operator, container):
    import numpy as np
    from onnx import numpy_helper

    label, score = _inline(scope, operator, container, ["predict", "score"])
    labels, scores = (output.full_name for output in operator.outputs)
    container.add_node("Identity", label, labels, name=label + "_out")
    offset = scope.get_unique_variable_name("offset")
    value = np.array(operator.raw_operator.offset_)
    container.initializers.append(numpy_helper.from_array(value, offset))
    container.add_node("Sub", [score, offset], scores, name=score + "_out")


def _inline(scope, operator, container, outputs):
    """Add an estimator's model to a container; return the names of its outputs."""
    from onnx import TensorProto, compose

    opset = container.target_opset_any_domain("")
    if opset < OLDEST_OPSET:
        raise ValueError(
            f"skae's estimators need target_opset={OLDEST_OPSET} or more in skl2onnx.to_onnx, got "
            f"{opset}."
        )
    dtype, _ = _float_type(operator)
    model = as_model(operator.raw_operator, outputs, dtype, OLDEST_OPSET)
    prefix = scope.get_unique_variable_name("skae") + "_"
    graph = compose.add_prefix(model, prefix).graph
    name = operator.inputs[0].full_name
    kind = TensorProto.DOUBLE if dtype == "float64" else TensorProto.FLOAT
    container.add_node("Cast", name, prefix + "X", name=prefix + "cast", to=kind)
    container.initializers.extend(graph.initializer)
    container.nodes.extend(graph.node)
    container.node_domain_version_pair_sets.add(("", OLDEST_OPSET))
    return [output.name for output in graph.output]
