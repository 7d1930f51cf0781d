"""A fully connected CRF as a refiner: a mask's contour moves to the colors of the image around it.

A mask has no probabilities: they fall from inside to outside within a band around its contour, and are never
certain.
"""

import json
from dataclasses import dataclass

import cv2
import numpy as np

from configs.refinement import DenseCrfBlock
from labeling.refinement.dense_crf_inference import (
    CrfConstants,
    FloatImage,
    Window,
    refine_exactly,
    refine_in_window,
)
from labeling.refinement.mask_by_mask import MaskByMaskRefiner
from labeling.structures.frames import RgbImage
from labeling.structures.instances import ModelCard
from labeling.structures.masks import BoolArray, Mask

MARGIN = 0.25
"""The crop around a mask is larger than its box by this share of the box's longer side, on each side."""
CERTAINTY = (0.02, 0.98)
"""Probabilities far outside and far inside of a mask."""
EXACT_SIDE_PX = 64
"""Longer side of the crop of the exact method."""


class DenseCrfRefiner(MaskByMaskRefiner):
    """Refines each mask in a reduced crop; a person does not grow into the mask of another."""

    def __init__(self, block: DenseCrfBlock) -> None:
        self._block = block

    @property
    def card(self) -> ModelCard:
        settings = self._block.model_dump(mode="json", exclude={"kind", "backend"})
        return ModelCard(self._block.kind, self._block.backend, "", json.dumps(settings, sort_keys=True))

    def refine_mask(self, rgb: RgbImage, mask: Mask, others: BoolArray) -> Mask:
        x, y, w, h = (int(side) for side in mask.box_xywh)
        margin = round(MARGIN * max(w, h))
        rows = slice(max(0, y - margin), y + h + margin)
        columns = slice(max(0, x - margin), x + w + margin)
        inside: BoolArray = mask.to_array()[rows, columns].astype(np.bool_)
        probability = soften(inside, self._block.softness * max(w, h))
        refined = refine_probability(rgb[rows, columns], probability, self._block)
        is_free = inside | ~others[rows, columns]
        pixels = np.zeros(mask.size_hw, dtype=np.bool_)
        pixels[rows, columns] = (refined > 0.5) & is_free  # noqa: PLR2004 - more likely than not
        return Mask.from_array(pixels)


@dataclass(frozen=True, slots=True)
class _Grid:
    """The reduced crop in which the CRF works."""

    size_wh: tuple[int, int]
    scale: float

    @classmethod
    def of(cls, size_hw: tuple[int, ...], side_px: int) -> "_Grid":
        scale = min(1.0, side_px / max(size_hw))
        return cls((max(1, round(size_hw[1] * scale)), max(1, round(size_hw[0] * scale))), scale)


def refine_probability(rgb: RgbImage, probability: FloatImage, block: DenseCrfBlock) -> FloatImage:
    """Return the refined probability of a crop, HxW; the CRF works at `block.side_px` or below."""
    is_exact = block.backend == "exact"
    grid = _Grid.of(probability.shape[:2], min(block.side_px, EXACT_SIDE_PX) if is_exact else block.side_px)
    small = np.asarray(cv2.resize(rgb, grid.size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    reduced = cv2.resize(probability, grid.size_wh, interpolation=cv2.INTER_AREA).astype(np.float32)
    constants = constants_of(block)
    if is_exact:
        refined = refine_exactly(small, reduced, constants)
    else:
        refined = refine_in_window(small, reduced, constants, Window(block.radius_px, block.dilation))
    if grid.scale == 1:
        return refined
    size_wh = probability.shape[::-1]
    return np.asarray(cv2.resize(refined, size_wh, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def constants_of(block: DenseCrfBlock) -> CrfConstants:
    return CrfConstants(
        appearance_weight=block.appearance_weight,
        appearance_sigma_px=block.appearance_sigma_px,
        color_sigma=block.color_sigma,
        smoothness_weight=block.smoothness_weight,
        smoothness_sigma_px=block.smoothness_sigma_px,
        iterations=block.iterations,
    )


def soften(inside: BoolArray, sigma_px: float) -> FloatImage:
    """Return the probability of each pixel of a mask, HxW: blurred, and never certain."""
    blurred = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), max(sigma_px, 0.5))
    return np.clip(blurred, *CERTAINTY).astype(np.float32)
