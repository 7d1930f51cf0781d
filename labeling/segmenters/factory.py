"""From a config block to the segmenter it describes."""

import importlib.util
from pathlib import Path

from configs.errors import ConfigError, UnknownModel
from configs.segmenters import (
    BackgroundBlock,
    CustomNetworkBlock,
    HttpBlock,
    LiteBlock,
    MasksFolderBlock,
    PythonBlock,
    SegmenterBlock,
    SelfieBlock,
    TorchvisionBlock,
)
from labeling.errors import ExtraMissing
from labeling.segmenters.protocol import Segmenter

_EXTRA_OF = {"onnxruntime": "lite", "ai_edge_litert": "lite", "torch": "torch", "torchvision": "torch"}
_LIBRARIES: dict[str, tuple[str, ...]] = {
    "torchvision": ("torch", "torchvision"),
    "torchscript": ("torch",),
    "lite": ("onnxruntime", "ai_edge_litert"),
    "selfie": ("ai_edge_litert",),
    "litert": ("ai_edge_litert",),
    "onnx": ("onnxruntime",),
}


def make_segmenter(  # noqa: PLR0911 - one line per kind
    block: SegmenterBlock, *, weights_dir: Path | None, device: str, batch: int
) -> Segmenter:
    """Load the segmenter that `block` describes.

    `device` is "auto", "cpu" or "cuda" and counts for networks that torch runs; the others run on the
    CPU. `batch` frames go through a network at once.

    Raises:
        ExtraMissing: a library is not installed.
        ConfigError: CUDA is asked for and not there.
        WeightsMissing, WeightsCorrupt: the weights cannot be had, or are others.
    """
    _require(block.kind)
    match block:
        case TorchvisionBlock():
            from labeling.segmenters.torchvision_models import TorchvisionSegmenter

            return TorchvisionSegmenter(
                block, weights_dir=weights_dir, device=resolve_device(device), batch=batch
            )
        case LiteBlock():
            from labeling.segmenters.lite import LiteSegmenter

            return LiteSegmenter(block, weights_dir=weights_dir)
        case SelfieBlock():
            from labeling.segmenters.selfie import SelfieSegmenter

            return SelfieSegmenter(block, weights_dir=weights_dir)
        case CustomNetworkBlock():
            from labeling.segmenters.custom_network import OwnModelSegmenter

            own_device = resolve_device(device) if block.kind == "torchscript" else "cpu"
            return OwnModelSegmenter(block, device=own_device)
        case BackgroundBlock():
            from labeling.segmenters.background import BackgroundSegmenter

            return BackgroundSegmenter(block)
        case MasksFolderBlock():
            from labeling.segmenters.precomputed import MasksFolderSegmenter

            return MasksFolderSegmenter(block)
        case HttpBlock():
            from labeling.segmenters.http_service import HttpSegmenter

            return HttpSegmenter(block)
        case PythonBlock():
            from labeling.segmenters.python_factory import load_factory

            return load_factory(block)
    raise UnknownModel(f"no segmenter of the kind {block.kind!r}")


def resolve_device(device: str) -> str:
    """`cuda` or `cpu`, as torch names them; "auto" takes CUDA where there is one.

    Raises:
        ConfigError: another word, or "cuda" without a CUDA device.
    """
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device: {device!r} is not one of auto, cpu, cuda")
    has_cuda = device != "cpu" and torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ConfigError("device: cuda is asked for and torch finds no CUDA device; set device: auto or cpu")
    return "cuda" if has_cuda else "cpu"


def _require(kind: str) -> None:
    for library in _LIBRARIES.get(kind, ()):
        if importlib.util.find_spec(library) is None:
            raise ExtraMissing(
                f"the segmenter {kind!r} needs {library}, which is not installed: "
                f"pip install 'maskmill[{_EXTRA_OF[library]}]'"
            )
