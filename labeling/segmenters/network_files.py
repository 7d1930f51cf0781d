"""Opening a network's file: what it wants as input, and one call that runs it."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from labeling.errors import ModelOutputWrong
from labeling.runtime.threads import thread_limit

FloatBatch = NDArray[np.float32]
Outputs = list[NDArray[np.generic]]


@dataclass(frozen=True, slots=True, eq=False)
class OpenNetwork:
    """A loaded network with one image as input."""

    input_shape: tuple[int | None, ...] | None
    """None for an axis of any length, or for a file that does not say."""
    run: Callable[[FloatBatch], Outputs]
    """Takes the prepared image with a batch axis; quantised inputs and outputs are converted."""


def open_network(
    kind: Literal["onnx", "torchscript", "litert"], path: Path, *, device: str = "cpu"
) -> OpenNetwork:
    """Load `path`; `device` is torch's word and counts for TorchScript only.

    Raises:
        ConfigError: the file is not such a network, or has several inputs.
    """
    if kind == "onnx":
        return _open_onnx(path)
    if kind == "litert":
        return _open_litert(path)
    return _open_torchscript(path, device)


def _open_onnx(path: Path) -> OpenNetwork:
    """Integer inputs get the prepared values rounded and clipped to their type's range."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_limit() or 0  # 0: one per core
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime's own classes have no public base but this
        raise _unreadable("onnx", path, exc) from exc
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ConfigError(f"onnx model {path.name} has {len(inputs)} inputs, wanted one image")
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
        raise ConfigError(f"onnx model {path.name}: inputs of type {declared} are not supported") from exc


def _open_litert(path: Path) -> OpenNetwork:
    """Quantised inputs and outputs are converted with the scale and zero point that the file holds."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        net = Interpreter(str(path))
        net.allocate_tensors()
    except (ValueError, RuntimeError) as exc:
        raise _unreadable("litert", path, exc) from exc
    inputs, outputs = net.get_input_details(), net.get_output_details()
    if len(inputs) != 1:
        raise ConfigError(f"litert model {path.name} has {len(inputs)} inputs, wanted one image")
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
        with warnings.catch_warnings():  # torch announces that TorchScript will go; users' files are there
            warnings.simplefilter("ignore", FutureWarning)
            module = torch.jit.load(path, map_location=device).eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as exc:
        raise _unreadable("torchscript", path, exc) from exc

    def run(batch: FloatBatch) -> Outputs:
        try:
            with torch.inference_mode():
                made = module(torch.from_numpy(batch).to(device))
        except RuntimeError as exc:
            raise _failed("torchscript", path, batch, exc) from exc
        made = list(made.values()) if isinstance(made, dict) else made
        tensors = made if isinstance(made, list | tuple) else [made]
        return [tensor.cpu().numpy() for tensor in tensors]

    return OpenNetwork(None, run)


def quantize(values: FloatBatch, dtype: np.dtype[Any], scale: float, zero: int) -> NDArray[np.generic]:
    """q = round(value / scale) + zero, within the integers' range (LiteRT's quantisation specification).

    A `scale` of 0 means that none is declared: values are rounded as they are.
    """
    limits = np.iinfo(dtype)
    levels = np.rint(values / scale) + zero if scale else np.rint(values)
    return levels.clip(limits.min, limits.max).astype(dtype)


def dequantize(levels: NDArray[np.generic], scale: float, zero: int) -> NDArray[np.float32]:
    """value = (q - zero) x scale; levels as they are where `scale` is 0."""
    values = levels.astype(np.float32)
    return (values - zero) * np.float32(scale) if scale else values


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
