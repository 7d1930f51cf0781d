"""Whether a frame's masks are where those of the frame before it went: a mask that jumps is wrong in one of both.

Masks are moved by optical flow (dense inverse search: Kroeger, Timofte, Dai and Van Gool, 2016; OpenCV's)
between small luma images. Pixels whose flow there and back does not end where it began are covered or
uncovered by something, and say nothing (the check of Sundaram, Brox and Keutzer, 2010).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask, union_masks
from labeling.video.luma import shrink_luma
from labeling.video.optical_flow import backward_flow_with_consistency, bilinear_sample

WIDTH_PX = 320
"""Of the images between which the flow is found; narrower ones are not enlarged."""
LONGEST_MS = 1100
"""Between two frames: after longer, people are elsewhere and look otherwise. A second, and what a grid of whole
seconds is late by in a video of 29.97 frames a second."""
SMALLEST_PX = 48
"""Shorter side of the small images, at least: OpenCV fails on strips of 12 pixels, and crashes on some of 24."""
MOVED_FROM = 0.5
"""Share of a mask between four pixels from which what moves there belongs to it."""
KNOWN_SHARE = 0.5
"""Of the masks' pixels that the flow must explain for anything to be said."""


@dataclass(frozen=True, slots=True, eq=False)
class PreviousFrame:
    """What the next frame's evidence wants of a frame: little enough to be kept."""

    shot: int
    t_ms: int
    luma: NDArray[Any]
    """Small image, 8 bits."""
    size_hw: tuple[int, int]
    masks: tuple[Mask, ...]

    @classmethod
    def of(cls, frame: Frame, people: Sequence[Instance]) -> Self:
        masks = tuple(one.mask for one in people)
        return cls(frame.shot, frame.t_ms, shrink_luma(frame.rgb, WIDTH_PX), frame.size_hw, masks)

    def small_union(self) -> BoolArray:
        """All masks together, as small as the image."""
        pixels = union_masks(self.masks, self.size_hw).to_array().astype(np.uint8)
        return cv2.resize(pixels, self.luma.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


def measure_flow_iou(now: PreviousFrame, before: PreviousFrame) -> float | None:
    """IoU of the masks with those of a frame before it, moved to where the flow takes them, in [0, 1].

    None: another shot or image size, too long ago, a strip (`SMALLEST_PX`), nobody in either, or too few
    pixels with a flow.
    """
    is_near = 0 < now.t_ms - before.t_ms <= LONGEST_MS
    if (
        not is_near
        or min(now.luma.shape) < SMALLEST_PX
        or (now.shot, now.size_hw) != (before.shot, before.size_hw)
    ):
        return None
    here, there = now.small_union(), before.small_union()
    if not here.any() or not there.any():
        return None
    places, is_known = backward_flow_with_consistency(now.luma, before.luma)
    moved = bilinear_sample(there.astype(np.float32), places) > MOVED_FROM
    if is_known[here].mean() < KNOWN_SHARE:
        return None
    common, either = (here & moved & is_known).sum(), ((here | moved) & is_known).sum()
    return float(common / either)
