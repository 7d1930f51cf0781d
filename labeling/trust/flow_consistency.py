"""Consistency of a frame's masks with the previous frame's: if a mask jumps, one of the two is wrong.

Masks are moved by optical flow (dense inverse search: Kroeger, Timofte, Dai and Van Gool, 2016; OpenCV's)
between small luma images. A pixel whose forward and backward flow do not return to its start is occluded in
one of the frames and is ignored (the check of Sundaram, Brox and Keutzer, 2010).
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
from labeling.video.optical_flow import SMALLEST_PX, backward_flow_with_consistency, bilinear_sample

WIDTH_PX = 320
"""Width of the images between which the flow is computed; narrower images are not enlarged."""
LONGEST_MS = 1100
"""Longest time between two frames; after more, people have moved too far. A second, plus the error of a grid of
whole seconds in a video of 29.97 frames a second."""
MOVED_FROM = 0.5
"""Interpolated mask value from which a moved pixel belongs to the mask."""
KNOWN_SHARE = 0.5
"""Smallest share of the masks' pixels with a consistent flow for a result."""


@dataclass(frozen=True, slots=True, eq=False)
class PreviousFrame:
    """The parts of a frame that the next frame is compared with; small enough to be kept."""

    shot: int
    pts_ms: int | None
    """Presentation time; None for an image without a time."""
    luma: NDArray[Any]
    """Small image, 8 bits."""
    size_hw: tuple[int, int]
    masks: tuple[Mask, ...]

    @classmethod
    def of(cls, frame: Frame, people: Sequence[Instance]) -> Self:
        masks = tuple(instance.mask for instance in people)
        return cls(frame.shot, frame.pts_ms, shrink_luma(frame.rgb, WIDTH_PX), frame.size_hw, masks)

    def small_union(self) -> BoolArray:
        """Return the union of all masks in the size of the small image."""
        pixels = union_masks(self.masks, self.size_hw).to_array().astype(np.uint8)
        return cv2.resize(pixels, self.luma.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


def measure_flow_iou(now: PreviousFrame, before: PreviousFrame) -> float | None:
    """Return the IoU of the masks with the previous frame's masks moved by optical flow, in [0, 1].

    None: another shot or image size, no time, too long a time between them, a strip (`SMALLEST_PX`), no mask in
    one of them, or too few pixels with a consistent flow.
    """
    if (
        not _is_near(now.pts_ms, before.pts_ms)
        or min(now.luma.shape) < SMALLEST_PX
        or (now.shot, now.size_hw) != (before.shot, before.size_hw)
    ):
        return None
    here, there = now.small_union(), before.small_union()
    if not here.any() or not there.any():
        return None
    sources, is_known = backward_flow_with_consistency(now.luma, before.luma)
    moved = bilinear_sample(there.astype(np.float32), sources) > MOVED_FROM
    if is_known[here].mean() < KNOWN_SHARE:
        return None
    common, either = (here & moved & is_known).sum(), ((here | moved) & is_known).sum()
    return float(common / either)


def _is_near(now_ms: int | None, before_ms: int | None) -> bool:
    return now_ms is not None and before_ms is not None and 0 < now_ms - before_ms <= LONGEST_MS
