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
from labeling.video.optical_flow import SMALLEST_PX, Flow, backward_flow_with_consistency, bilinear_sample

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
    def of(cls, frame: Frame, people: Sequence[Instance], *, width_px: int = WIDTH_PX) -> Self:
        masks = tuple(instance.mask for instance in people)
        return cls(frame.shot, frame.pts_ms, shrink_luma(frame.rgb, width_px), frame.size_hw, masks)

    def small_union(self) -> BoolArray:
        """Return the union of all masks in the size of the small image."""
        return self._shrink(union_masks(self.masks, self.size_hw))

    def small_masks(self) -> list[BoolArray]:
        """Return the masks that are not empty in the size of the small image."""
        return [self._shrink(mask) for mask in self.masks if mask]

    def _shrink(self, mask: Mask) -> BoolArray:
        pixels = mask.to_array().astype(np.uint8)
        return cv2.resize(pixels, self.luma.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


def measure_flow_iou(now: PreviousFrame, before: PreviousFrame) -> float | None:
    """Return the IoU of the masks with the previous frame's masks moved by optical flow, in [0, 1].

    None: another shot or image size, no time, too long a time between them, a strip (`SMALLEST_PX`), no mask in
    one of them, or too few pixels with a consistent flow.
    """
    if not _are_comparable(now, before):
        return None
    here, there = now.small_union(), before.small_union()
    if not here.any() or not there.any():
        return None
    sources, is_known = backward_flow_with_consistency(now.luma, before.luma)
    return _iou_where_known(here, _move(there, sources), is_known)


def measure_coherence(now: PreviousFrame, before: PreviousFrame) -> list[float | None]:
    """Return how well each mask, empty ones left out, continues one of the previous frame along the motion, in [0, 1].

    That is the best IoU with one of the previous masks moved by optical flow; 0 if the previous frame has no mask there.
    None: as for `measure_flow_iou`, except that a previous frame without masks is known too.
    """
    here = now.small_masks()
    if not here or not _are_comparable(now, before):
        return [None] * len(here)
    sources, is_known = backward_flow_with_consistency(now.luma, before.luma)
    moved = [_move(mask, sources) for mask in before.small_masks()]
    return [_best_iou(mask, moved, is_known) for mask in here]


def _best_iou(mask: BoolArray, moved: Sequence[BoolArray], is_known: BoolArray) -> float | None:
    if not mask.any() or is_known[mask].mean() < KNOWN_SHARE:
        return None
    return max((_iou_where_known(mask, other, is_known) or 0.0 for other in moved), default=0.0)


def _iou_where_known(here: BoolArray, moved: BoolArray, is_known: BoolArray) -> float | None:
    if is_known[here].mean() < KNOWN_SHARE:
        return None
    common, either = (here & moved & is_known).sum(), ((here | moved) & is_known).sum()
    return float(common / either)


def _move(mask: BoolArray, sources: Flow) -> BoolArray:
    moved: BoolArray = bilinear_sample(mask.astype(np.float32), sources) > MOVED_FROM
    return moved


def _are_comparable(now: PreviousFrame, before: PreviousFrame) -> bool:
    return (
        _is_near(now.pts_ms, before.pts_ms)
        and min(now.luma.shape) >= SMALLEST_PX
        and (now.shot, now.size_hw) == (before.shot, before.size_hw)
    )


def _is_near(now_ms: int | None, before_ms: int | None) -> bool:
    return now_ms is not None and before_ms is not None and 0 < now_ms - before_ms <= LONGEST_MS
