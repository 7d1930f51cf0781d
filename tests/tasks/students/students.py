"""Students that are one convolution: a pixel is a person if it is red."""

import hashlib
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from labeling.students.export import student_block
from labeling.students.files import INT8, NETWORK, WEIGHTS
from tasks.execution.context import Context
from tasks.students.registry import TrainedStudent, register_student

HW = (48, 64)


def write_red(path: Path, *, least: float) -> str:
    """Write a network whose logit grows with red minus green, above `least`; return its SHA-256."""
    shape = [1, 3, *HW]
    weights = helper.make_tensor("w", TensorProto.FLOAT, [1, 3, 1, 1], [4.0, -4.0, 0.0])
    bias = helper.make_tensor("b", TensorProto.FLOAT, [1], [-4.0 * least])
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w", "b"], ["logits"])],
        "red",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1, *HW])],
        [weights, bias],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def trained_red(folder: Path, *, least: float, int8_least: float | None = None) -> TrainedStudent:
    """Write the files of a student; the larger `least`, the less it finds."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = write_red(folder / NETWORK, least=least)
    int8 = write_red(folder / INT8, least=least + 0.001 if int8_least is None else int8_least)
    (folder / WEIGHTS).write_bytes(b"weights")
    block = student_block(folder / NETWORK, digest, HW).model_dump(
        mode="json", exclude={"path", "sha256", "refine"}
    )
    training = {"settings": {"network": "red"}}
    return TrainedStudent(folder, digest, int8, block, "night@1", "5a" * 32, training, {"groups": {}})


def register_red(context: Context, folder: Path, *, least: float, int8_least: float | None = None) -> str:
    """Register such a student; return its id."""
    made = trained_red(folder, least=least, int8_least=int8_least)
    register_student(context, made)
    return made.sha256
