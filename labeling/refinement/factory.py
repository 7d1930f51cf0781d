"""Refiners made from their config blocks."""

import importlib.util
from typing import assert_never

from configs.errors import ExtraMissing
from configs.refinement import (
    DenseCrfBlock,
    FlowSmoothingBlock,
    GuidedFilterBlock,
    MattingRefineBlock,
    NetworkBlock,
    RefineBlock,
    SamBlock,
    VitMatteBlock,
    VitPoseBlock,
)
from labeling.refinement.protocol import Refiner


def make_refiner(block: RefineBlock, *, device: str = "cpu") -> Refiner:
    """Load the refiner that `block` describes; `device`, "cpu" or "cuda", is for networks of torch.

    Raises:
        ExtraMissing: a library is not installed.
        ConfigError: the weights are missing or belong to another network.
    """
    match block:
        case MattingRefineBlock():
            _require("matting", "lite", "onnxruntime")
            from labeling.refinement.matting import MattingRefiner

            return MattingRefiner(block)
        case GuidedFilterBlock():
            from labeling.refinement.guided_filter import GuidedFilterRefiner

            return GuidedFilterRefiner(block)
        case DenseCrfBlock():
            from labeling.refinement.dense_crf import DenseCrfRefiner

            return DenseCrfRefiner(block)
        case FlowSmoothingBlock():
            from labeling.refinement.flow_smoothing import FlowSmoothingRefiner

            return FlowSmoothingRefiner(block)
        case SamBlock() | VitMatteBlock() | VitPoseBlock():
            _require(block.kind, "transformers", "torch", "torchvision", "transformers")
            return _make_network(block, device=device)
    assert_never(block)


def _make_network(block: NetworkBlock, *, device: str) -> Refiner:
    match block:
        case SamBlock():
            from labeling.refinement.sam import SamRefiner

            return SamRefiner(block, device=device)
        case VitMatteBlock():
            from labeling.refinement.vitmatte import VitMatteRefiner

            return VitMatteRefiner(block, device=device)
        case VitPoseBlock():
            from labeling.refinement.vitpose import VitPoseRefiner

            return VitPoseRefiner(block, device=device)
    assert_never(block)


def _require(kind: str, extra: str, *libraries: str) -> None:
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise ExtraMissing(
                f"refine: {kind} requires {library}, which is not installed: pip install 'maskmill[{extra}]'"
            )
