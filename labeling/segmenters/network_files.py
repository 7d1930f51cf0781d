"""Loading of ONNX, TorchScript and LiteRT files, behind one call that runs the network."""

import hashlib
import mmap
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, MaskmillError, ModelOutputWrong, WeightsCorrupt
from configs.segmenters import NETWORK_KINDS, NetworkKind
from labeling.runtime.native_output import without_lines
from labeling.runtime.threads import thread_limit
from labeling.segmenters.weights import check_sha256

FloatBatch = NDArray[np.float32]
_FLOAT: np.dtype[Any] = np.dtype(np.float32)
Outputs = list[NDArray[np.generic]]
_IMAGE_AXES = 4
_CHANNELS = (3, 1)
"""Of an image: colors, or gray."""
_LFS = b"version https://git-lfs"
_LOCATION = re.compile(rb"\x0a\x08location\x12(?:([\x01-\x7f])|([\x80-\xff])([\x01-\x7f]))", re.DOTALL)
"""Begin of the name of a file of external data in ONNX: a protobuf entry with the key `location` (field 1) and the length
of its value (field 2), in one or two groups of seven bits."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenNetwork:
    """A loaded network that takes one image."""

    input_shape: tuple[int | None, ...] | None
    """None for an axis of any length, or if the file does not declare its input."""
    run: Callable[[FloatBatch], Outputs]
    """Takes the prepared image with a batch axis; quantized inputs and outputs are converted."""
    input_dtype: np.dtype[Any] = _FLOAT
    quantization: tuple[float, int] = (0.0, 0)
    """Scale and zero point of the input; a scale of 0: none."""
    output_names: tuple[str, ...] = ()
    """Empty if the file does not name its outputs."""


def external_files(path: Path) -> list[Path]:
    """Return the files beside an ONNX file that hold its weights, as far as they exist."""
    if not path.stat().st_size:
        return []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        names = set()
        for match in _LOCATION.finditer(content):
            short, low, high = match.groups()
            length = short[0] if short else (low[0] & 127) | high[0] << 7
            names.add(content[match.end() : match.end() + length].decode("utf-8", "replace"))
    return [
        path.parent / name for name in sorted(names) if "\0" not in name and (path.parent / name).is_file()
    ]


def check_model_hash(kind: NetworkKind, path: Path, prefix: str) -> str:
    """Return the SHA-256 of a model; of one with external data, that of the names and SHA-256 of all its files.

    Raises:
        WeightsCorrupt: it does not begin with `prefix`.
    """
    files = external_files(path) if kind == "onnx" else []
    if not files:
        return check_sha256(path, prefix)
    lines = [f"{one.name} {check_sha256(one, '')}\n" for one in (path, *files)]
    sha256 = hashlib.sha256("".join(lines).encode()).hexdigest()
    if not sha256.startswith(prefix):
        raise WeightsCorrupt(
            f"weights {path} with {', '.join(one.name for one in files)} have together the SHA-256 {sha256}, expected "
            f"{prefix}: fetch the files again, or set sha256 to this value"
        )
    return sha256


def open_network(kind: NetworkKind, path: Path, *, device: str = "cpu") -> OpenNetwork:
    """Load `path`; `device`, as torch names it, applies to TorchScript only."""
    if kind == "onnx":
        return _open_onnx(path)
    if kind == "litert":
        return _open_litert(path)
    return _open_torchscript(path, device)


def declared_input_hw(kind: NetworkKind, path: Path) -> tuple[int, int] | None:
    """Return the height and width of the image that a network takes; None if its file does not say, or cannot be read."""
    try:
        shape = open_network(kind, path).input_shape
    except (MaskmillError, ImportError, OSError):
        return None
    return input_hw_of(shape)


def input_hw_of(shape: tuple[int | None, ...] | None) -> tuple[int, int] | None:
    """Return the height and width of an input's shape; None where they are of any length, or it is no image's.

    >>> input_hw_of((1, 3, 256, 192)), input_hw_of((None, 256, 192, 3)), input_hw_of((1, None, None, 3))
    ((256, 192), (256, 192), None)
    >>> input_hw_of((1, 1, 256, 192))
    (256, 192)
    """
    if shape is None or len(shape) != _IMAGE_AXES:
        return None
    height, width = shape[2:] if shape[1] in _CHANNELS else shape[1:3]
    return (height, width) if height and width else None


def channels_of(shape: tuple[int | None, ...] | None) -> int | None:
    """Return the number of channels that an input's shape declares, 3 or 1; None: it does not say.

    >>> channels_of((1, 3, 256, 192)), channels_of((1, 256, 192, 1)), channels_of(None)
    (3, 1, None)
    """
    if shape is None or len(shape) != _IMAGE_AXES:
        return None
    return next((number for number in _CHANNELS if number in (shape[1], shape[-1])), None)


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
    names = tuple(output.name for output in session.get_outputs())
    return OpenNetwork(shape or None, run, dtype, output_names=names)


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
    """Load a LiteRT file; quantized tensors are converted with the scale and zero point of the file.

    An axis of any length gets that of the prepared image.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        with without_lines(b"XNNPACK delegate"):
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
        index = inputs[0]["index"]
        fed = quantize(batch, dtype, *inputs[0]["quantization"]) if is_integer else batch.astype(dtype)
        try:
            if tuple(net.get_input_details()[0]["shape"]) != fed.shape:
                net.resize_tensor_input(index, fed.shape, strict=True)
                net.allocate_tensors()
            net.set_tensor(index, fed)
            net.invoke()
        except (ValueError, RuntimeError) as exc:
            raise _failed("litert", path, batch, exc) from exc
        return [_real_values(net.get_tensor(out["index"]), out["quantization"]) for out in outputs]

    sides = inputs[0].get("shape_signature", ())
    sides = sides if len(sides) else inputs[0]["shape"]
    shape = tuple(None if side < 0 else int(side) for side in sides)
    names = tuple(output["name"] for output in outputs)
    return OpenNetwork(shape, run, dtype, inputs[0]["quantization"], names)


def _real_values(tensor: NDArray[np.generic], quantization: tuple[float, int]) -> NDArray[np.generic]:
    """Return a tensor's real numbers; without a quantization, its own values in their own type."""
    return dequantize(tensor, *quantization) if quantization[0] else tensor


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
    head = path.read_bytes()[: len(_LFS)]
    if not head or head == _LFS:
        what = "a pointer of Git LFS: run `git lfs pull`" if head else "empty: fetch it again"
        return ConfigError(f"{path} is no network, it is {what}")
    usual = NETWORK_KINDS.get(path.suffix.lower(), kind)
    advice = "check `kind` and `path`" if usual == kind else f"kind: {usual} is for {path.suffix} files"
    return ConfigError(f"{path} cannot be loaded as kind: {kind}: {_first_line(cause)}; {advice}")


def _failed(kind: str, path: Path, batch: FloatBatch, cause: Exception) -> ModelOutputWrong:
    return ModelOutputWrong(
        f"{kind} model {path.name} failed on an input of shape {batch.shape}: {_first_line(cause)}; "
        "check input_hw and layout"
    )


def _first_line(cause: Exception) -> str:
    return next(iter(str(cause).strip().splitlines()), type(cause).__name__)
