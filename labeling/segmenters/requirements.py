"""Libraries and weights that segmenters require, looked up without loading any of them."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from configs.errors import ExtraMissing, WeightsMissing
from configs.models import RunConfig
from configs.refinement import PretrainedRefineBlock
from configs.segmenters import (
    CustomNetworkBlock,
    OsvosBlock,
    PoseGuidedBlock,
    SegmenterBlock,
    TransformersBlock,
)
from labeling.runtime.hub import ModelFolder, find_model
from labeling.segmenters.weights import find_weights, needed_weights

_EXTRA_OF = {
    "onnxruntime": "lite",
    "ai_edge_litert": "lite",
    "torch": "torch",
    "torchvision": "torch",
    "timm": "osvos",
    "transformers": "transformers",
}
_LIBRARIES: dict[str, tuple[str, ...]] = {
    "torchvision": ("torch", "torchvision"),
    "torchscript": ("torch",),
    "lite": ("onnxruntime", "ai_edge_litert"),
    "selfie": ("ai_edge_litert",),
    "litert": ("ai_edge_litert",),
    "onnx": ("onnxruntime",),
    "registry": ("onnxruntime",),
    "osvos": ("torch", "timm"),
    "transformers": ("torch", "torchvision", "transformers"),
}
_GPU_FILES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""Present where there is an NVIDIA driver: Linux, and Linux in Windows."""


@dataclass(frozen=True, slots=True)
class PresetChoice:
    """The preset that fits what is installed, and why."""

    name: str
    reason: str


def require_libraries(block: SegmenterBlock) -> None:
    """Raise `ExtraMissing` if a library of this segmenter is not installed; the message has the command."""
    for library in _libraries_of(block):
        if not _is_installed(library):
            raise ExtraMissing(
                f"the segmenter {block.kind!r} needs {library}, which is not installed: "
                f"pip install 'maskmill[{_EXTRA_OF[library]}]'"
            )


def require_parts(config: RunConfig) -> None:
    """Check that all libraries of a config are installed, and fetch its published weights.

    It takes a moment, and is called before anything that takes longer is started.

    Raises:
        ExtraMissing: a library is not installed; the message names an installed preset.
        WeightsMissing, WeightsCorrupt: weights cannot be downloaded, or are wrong.
    """
    try:
        for block in all_blocks(config):
            require_libraries(block)
    except ExtraMissing as exc:
        choice = choose_preset()
        raise ExtraMissing(f"{exc}; or use --config {choice.name}: {choice.reason}") from exc
    _require_all(config)


def _require_all(config: RunConfig) -> None:
    """Look for all weights; raise `WeightsMissing` with all that are not there."""
    own = [
        partial(require_network_file, one)
        for one in all_blocks(config)
        if isinstance(one, CustomNetworkBlock)
    ]
    published = [partial(find_weights, name, config.weights_dir) for name in needed_weights(config)]
    looks: list[Callable[[], object]] = [*own, lambda: list(find_hub_models(config)), *published]
    missing = []
    for look in looks:
        try:
            look()
        except WeightsMissing as exc:
            missing.append(exc)
    if len(missing) == 1:
        raise missing[0]
    if missing:
        lines = "".join(f"\n  {number}. {exc}" for number, exc in enumerate(missing, start=1))
        raise WeightsMissing(f"{len(missing)} files are missing:{lines}") from missing[0]


def hub_models(block: SegmenterBlock) -> Iterator[tuple[str, str | None]]:
    """Yield the models on the hub of Hugging Face, with their revisions, of a segmenter and its refiners."""
    if isinstance(block, TransformersBlock):
        yield block.model, block.revision
    yield from ((one.model, one.revision) for one in block.refine if isinstance(one, PretrainedRefineBlock))


def find_hub_models(config: RunConfig) -> Iterator[ModelFolder]:
    """Yield the folders of all models on the hub that a config requires; they are downloaded on demand."""
    for block in all_blocks(config):
        for model, revision in hub_models(block):
            yield find_model(model, revision=revision)


def require_network_file(block: CustomNetworkBlock) -> None:
    """Raise `WeightsMissing` if there is no file at the path of your own network."""
    if not block.path.is_file():
        raise WeightsMissing(
            f"{block.kind} model: no file at {block.path}; correct `path`, or use the preset `offline`"
        )


def required_extras(config: RunConfig) -> set[str]:
    """Return the extras, such as `torch`, that a config's segmenters and their refiners require."""
    blocks = list(all_blocks(config))
    libraries = {library for block in blocks for library in _libraries_of(block)}
    if any(isinstance(one, PretrainedRefineBlock) for block in blocks for one in block.refine):
        libraries |= set(_LIBRARIES["transformers"])
    return {_EXTRA_OF[library] for library in libraries}


def choose_preset() -> PresetChoice:
    """Return the best preset whose libraries are installed."""
    has_torch = _is_installed("torch") and _is_installed("torchvision")
    if has_torch and _has_gpu():
        return PresetChoice("default", "torch and an NVIDIA GPU are present")
    if all(map(_is_installed, _LIBRARIES["lite"])):
        return PresetChoice("lite", "its libraries are installed and its networks run on a CPU")
    if has_torch:
        return PresetChoice(
            "default", "torch is installed; there is no NVIDIA GPU, so it takes seconds per image"
        )
    return PresetChoice(
        "offline",
        "no network's library is installed; it requires a static camera. Better: pip install 'maskmill[lite]'",
    )


def all_blocks(config: RunConfig) -> Iterator[SegmenterBlock]:
    """Yield the segmenters of a config, and those that they use."""
    for block in config.segmenters().values():
        yield from (block, *_inner(block))


def _inner(block: SegmenterBlock) -> Iterator[SegmenterBlock]:
    """Yield the segmenters that another one uses."""
    if isinstance(block, OsvosBlock):
        yield block.teacher
    if isinstance(block, PoseGuidedBlock):
        yield block.pose
        if block.base:
            yield block.base


def _libraries_of(block: SegmenterBlock) -> tuple[str, ...]:
    if isinstance(block, OsvosBlock) and block.method == "sam2":
        return ("torch", "transformers")
    return _LIBRARIES.get(block.kind, ())


def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _has_gpu() -> bool:
    """Return whether there is an NVIDIA driver and a torch that can use it; torch itself is not loaded."""
    try:
        is_cpu_build = version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False
    return not is_cpu_build and any(file.exists() for file in _GPU_FILES)
