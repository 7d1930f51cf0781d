"""Refiners made from their config blocks."""

import importlib.util
from typing import assert_never

from configs.errors import ExtraMissing
from configs.refinement import (
    DenseCrfBlock,
    FlowSmoothingBlock,
    GuidedFilterBlock,
    MattingRefineBlock,
    RefineBlock,
)
from labeling.refinement.protocol import Refiner


def make_refiner(block: RefineBlock) -> Refiner:
    """Load the refiner that `block` describes.

    Raises:
        ExtraMissing: a library is not installed.
        ConfigError: the weights are missing or belong to another network.
    """
    match block:
        case MattingRefineBlock():
            if importlib.util.find_spec("onnxruntime") is None:
                raise ExtraMissing(
                    "refine: matting requires onnxruntime, which is not installed: pip install 'maskmill[lite]'"
                )
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
    assert_never(block)
