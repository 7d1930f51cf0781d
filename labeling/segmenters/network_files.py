"""Loading of ONNX, TorchScript and LiteRT files, behind one call that runs the network."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, ModelOutputWrong
from labeling.runtime.threads import thread_limit

FloatBatch = NDArray[np.float32]
Outputs = list[NDArray[np.generic]]


@dataclass(frozen=True, slots=True, eq=False)
class OpenNetwork:
    """A loaded network that takes one image."""

    input_shape: tuple[int | None, ...] | None
    """None for an axis of any length, or if the file does not declare its input."""
    run: Callable[[FloatBatch], Outputs]
    """Takes the prepared image with a batch axis; quantized inputs and outputs are converted."""


def open_network(
    kind: Literal["onnx", "torchscript", "litert"], path: Path, *, device: str = "cpu"
) -> OpenNetwork:
    """Load `path`; `device`, as torch names it, applies to TorchScript only."""
    if kind == "onnx":
        return _open_onnx(path)
    if kind == "litert":
        return _open_litert(path)
    return _open_torchscript(path, device)


def _open_onnx(path: Path) -> OpenNetwork:
    """Load an ONNX file; for integer inputs, values are rounded and clipped to the type's range."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_limit() or 0  # 0: one per core
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime's errors have no other public base class
        raise _unreadable("onnx", path, exc) from exc
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise _several_inputs("onnx", path, len(inputs))
    dtype = _onnx_dtype(inputs[0].type, path)

    def run(batch: FloatBatch) -> Outputs:
        fed = quantize(batch, dtype, 0.0, 0) if np.issubdtype(dtype, np.integer) else batch.astype(dtype)
        try:
            return list(session.run(None, {inputs[0].name: fed}))
        except Exception as exc:  # as above
            raise _failed("onnx", path, batch, exc) from exc

    shape = tuple(side if isinstance(side, int) else None for side in inputs[0].shape)
    return OpenNetwork(shape or None, run)


def _onnx_dtype(declared: str, path: Path) -> np.dtype[Any]:
    names = {"float": "float32", "double": "float64"}
    name = declared.removeprefix("tensor(").removesuffix(")")
    try:
        return np.dtype(names.get(name, name))
    except TypeError as exc:
        raise ConfigError(
            f"onnx model {path.name}: inputs of type {declared} are not supported: export it with float inputs"
        ) from exc


def _open_litert(path: Path) -> OpenNetwork:
    """Load a LiteRT file; quantized tensors are converted with the scale and zero point of the file."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        net = Interpreter(str(path))
        net.allocate_tensors()
    except (ValueError, RuntimeError) as exc:
        raise _unreadable("litert", path, exc) from exc
    inputs, outputs = net.get_input_details(), net.get_output_details()
    if len(inputs) != 1:
        raise _several_inputs("litert", path, len(inputs))
    dtype = np.dtype(inputs[0]["dtype"])

    def run(batch: FloatBatch) -> Outputs:
        is_integer = np.issubdtype(dtype, np.integer)
        fed = quantize(batch, dtype, *inputs[0]["quantization"]) if is_integer else batch.astype(dtype)
        net.set_tensor(inputs[0]["index"], fed)
        net.invoke()
        return [dequantize(net.get_tensor(out["index"]), *out["quantization"]) for out in outputs]

    return OpenNetwork(tuple(int(side) for side in inputs[0]["shape"]), run)


def _open_torchscript(path: Path, device: str) -> OpenNetwork:
    import torch

    try:
        with warnings.catch_warnings():  # torch deprecates TorchScript, but users have such files
            warnings.simplefilter("ignore", FutureWarning)
            module = torch.jit.load(path, map_location=device).eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as exc:
        raise _unreadable("torchscript", path, exc) from exc

    def run(batch: FloatBatch) -> Outputs:
        try:
            with torch.inference_mode():
                output = module(torch.from_numpy(batch).to(device))
        except RuntimeError as exc:
            raise _failed("torchscript", path, batch, exc) from exc
        output = list(output.values()) if isinstance(output, dict) else output
        tensors = output if isinstance(output, list | tuple) else [output]
        return [tensor.cpu().numpy() for tensor in tensors]

    return OpenNetwork(None, run)


def quantize(values: FloatBatch, dtype: np.dtype[Any], scale: float, zero: int) -> NDArray[np.generic]:
    """Return round(value / scale) + zero, clipped to the type (LiteRT's quantization specification).

    Without a declared scale (0), values are only rounded.
    """
    limits = np.iinfo(dtype)
    levels = np.rint(values / scale) + zero if scale else np.rint(values)
    return levels.clip(limits.min, limits.max).astype(dtype)


def dequantize(levels: NDArray[np.generic], scale: float, zero: int) -> NDArray[np.float32]:
    """Return (level - zero) x scale; without a declared scale (0), the levels."""
    values = levels.astype(np.float32)
    return (values - zero) * np.float32(scale) if scale else values


def _several_inputs(kind: str, path: Path, count: int) -> ConfigError:
    return ConfigError(f"{kind} model {path.name} has {count} inputs: export it with one image as input")


def _unreadable(kind: str, path: Path, cause: Exception) -> ConfigError:
    return ConfigError(
        f"{path} cannot be loaded as a {kind} model: {_first_line(cause)}; check `kind` and `path`"
    )


def _failed(kind: str, path: Path, batch: FloatBatch, cause: Exception) -> ModelOutputWrong:
    return ModelOutputWrong(
        f"{kind} model {path.name} failed on an input of shape {batch.shape}: {_first_line(cause)}; "
        "check input_hw and layout"
    )


def _first_line(cause: Exception) -> str:
    return next(iter(str(cause).strip().splitlines()), type(cause).__name__)
