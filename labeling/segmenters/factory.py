"""The segmenters of this process: made from their config blocks once, shared by all its shards."""

import gc
import sys
import threading
from pathlib import Path

from configs.errors import ConfigError, UnknownModel
from configs.models import RunConfig
from configs.refinement import PretrainedRefineBlock
from configs.segmenters import (
    BackgroundBlock,
    CustomNetworkBlock,
    HttpBlock,
    LiteBlock,
    MasksFolderBlock,
    OsvosBlock,
    PoseGuidedBlock,
    PythonBlock,
    RegistryBlock,
    SegmenterBlock,
    SelfieBlock,
    TorchvisionBlock,
    TransformersBlock,
)
from labeling.refinement.factory import make_refiner
from labeling.runtime.memory import bound_heaps
from labeling.runtime.threads import bound_image_threads
from labeling.segmenters.licenses import require_licenses
from labeling.segmenters.models import Models, check_calibration
from labeling.segmenters.protocol import Segmenter
from labeling.segmenters.refined import RefinedSegmenter
from labeling.segmenters.requirements import require_libraries
from labeling.segmenters.shared import SerializedSegmenter

_loaded: dict[str, Models] = {}
_loading = threading.Lock()


def load_models(config: RunConfig) -> Models:
    """Return the models of a config, loading them unless this process has them."""
    key = f"{config.identity()}|{config.weights_dir}|{config.device}|{config.batch}"
    with _loading:
        if key not in _loaded:
            _loaded[key] = _load(config)
            bound_heaps()
            bound_image_threads()
            gc.freeze()  # libraries and networks stay: later collections need not visit them
        return _loaded[key]


def forget_models() -> None:
    """Free all loaded models; the next use loads them again, from files that may have changed."""
    with _loading:
        _loaded.clear()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()


def _load(config: RunConfig) -> Models:
    require_licenses(config)
    turn = threading.Lock()

    def make(block: SegmenterBlock) -> SerializedSegmenter:
        segmenter = make_segmenter(
            block, weights_dir=config.weights_dir, device=config.device, batch=config.batch
        )
        return SerializedSegmenter(segmenter, turn)

    models = Models(**{role: make(block) for role, block in config.segmenters().items()})
    check_calibration(config, models.teacher.card)
    return models


def load_teacher(config: RunConfig) -> SerializedSegmenter:
    """Return the teacher of a config alone, without keeping it for other runs of this process."""
    segmenter = make_segmenter(
        config.teacher, weights_dir=config.weights_dir, device=config.device, batch=config.batch
    )
    check_calibration(config, segmenter.card)
    return SerializedSegmenter(segmenter, threading.Lock())


def make_segmenter(block: SegmenterBlock, *, weights_dir: Path | None, device: str, batch: int) -> Segmenter:
    """Load the segmenter that `block` describes, and its refiners.

    `device` is "auto", "cpu" or "cuda" and applies to torch networks; the others run on the CPU.
    `batch` frames go through a network at once.

    Raises:
        ExtraMissing: a library is not installed.
        ConfigError: the block is invalid, or there is no CUDA device for "cuda".
        WeightsMissing, WeightsCorrupt: the weights cannot be downloaded, or are wrong.
    """
    segmenter = _make_unrefined(block, weights_dir=weights_dir, device=device, batch=batch)
    if not block.refine:
        return segmenter
    if not segmenter.card.gives_masks:
        raise ConfigError(
            f"refine: {block.kind}:{segmenter.card.name} gives boxes, which cannot be refined: remove `refine`"
        )
    uses_torch = any(isinstance(one, PretrainedRefineBlock) for one in block.refine)
    resolved = resolve_device(device) if uses_torch else "cpu"
    return RefinedSegmenter(segmenter, [make_refiner(one, device=resolved) for one in block.refine])


def _make_unrefined(  # noqa: PLR0911 - one line per kind
    block: SegmenterBlock, *, weights_dir: Path | None, device: str, batch: int
) -> Segmenter:
    require_libraries(block)
    match block:
        case TorchvisionBlock():
            from labeling.segmenters.torchvision_models import TorchvisionSegmenter

            return TorchvisionSegmenter(
                block, weights_dir=weights_dir, device=resolve_device(device), batch=batch
            )
        case TransformersBlock():
            from labeling.segmenters.transformers_models import TransformersSegmenter

            return TransformersSegmenter(block, device=resolve_device(device), batch=batch)
        case LiteBlock():
            from labeling.segmenters.lite import LiteSegmenter

            return LiteSegmenter(block, weights_dir=weights_dir)
        case SelfieBlock():
            from labeling.segmenters.selfie import SelfieSegmenter

            return SelfieSegmenter(block, weights_dir=weights_dir)
        case CustomNetworkBlock():
            from labeling.segmenters.custom_network import CustomNetworkSegmenter

            network_device = resolve_device(device) if block.kind == "torchscript" else "cpu"
            return CustomNetworkSegmenter(block, device=network_device)
        case BackgroundBlock():
            from labeling.segmenters.background import BackgroundSegmenter

            return BackgroundSegmenter(block)
        case MasksFolderBlock():
            from labeling.segmenters.precomputed import MasksFolderSegmenter

            return MasksFolderSegmenter(block)
        case HttpBlock():
            from labeling.segmenters.http_service import HttpSegmenter

            return HttpSegmenter(block)
        case OsvosBlock():
            from labeling.segmenters.osvos import OsvosSegmenter

            teacher = make_segmenter(block.teacher, weights_dir=weights_dir, device=device, batch=batch)
            return OsvosSegmenter(block, teacher)
        case PoseGuidedBlock():
            from labeling.segmenters.pose_guided import PoseGuidedSegmenter

            def make(inner: SegmenterBlock) -> Segmenter:
                return make_segmenter(inner, weights_dir=weights_dir, device=device, batch=batch)

            return PoseGuidedSegmenter(block, make(block.pose), make(block.base) if block.base else None)
        case PythonBlock():
            from labeling.segmenters.python_factory import load_factory

            return load_factory(block)
        case RegistryBlock():
            raise ConfigError(
                f"registry:{block.model} stands for a student of a home: use it as `student` of a run in that home"
            )
    raise UnknownModel(f"there is no segmenter of the kind {block.kind!r}: check `kind`")


def resolve_device(device: str) -> str:
    """Return "cuda" or "cpu"; "auto" takes CUDA if there is a device."""
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device: {device!r} is unknown: set auto, cpu or cuda")
    has_cuda = device != "cpu" and torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ConfigError("device: cuda is set, but torch finds no CUDA device: set device: auto or cpu")
    return "cuda" if has_cuda else "cpu"
