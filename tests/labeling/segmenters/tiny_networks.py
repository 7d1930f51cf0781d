"""Networks of a few operations, whose answers are known, as files of each kind."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]  # ships no types
import onnx
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import TensorProto, helper


def save_onnx(  # noqa: PLR0913 - a graph has these parts
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    *,
    input_shape: Sequence[int | str],
    outputs: Sequence[tuple[str, int]],
    input_type: int = TensorProto.FLOAT,
    constants: dict[str, NDArray[Any]] | None = None,
) -> Path:
    """A graph from `image` to `outputs` (name and type), whose nodes may use `constants`."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info("image", input_type, list(input_shape))],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def save_quantized_sigmoid(path: Path, size_hw: tuple[int, int], *, scale: float, zero: int) -> Path:
    """LiteRT, int8: sigmoid of each of three channels; output scale 1/256, zero point -128."""
    shape = [1, *size_hw, 3]
    tensors = [_tensor("in", shape, scale, zero), _tensor("out", shape, 1 / 256, -128)]
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0], [1]
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [0], [1], [operator]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.LOGISTIC
    code.version = 2
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs, model.buffers = (
        3,
        [code],
        [graph],
        [schema.BufferT()],
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _tensor(name: str, shape: list[int], scale: float, zero: int) -> "schema.TensorT":
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [scale], [zero]
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name, shape, schema.TensorType.INT8
    tensor.buffer, tensor.quantization = 0, quantization
    return tensor
