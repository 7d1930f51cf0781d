"""Consistency of a frame's masks with the previous frame's: if a mask jumps, one of the two is wrong.

Masks are moved by optical flow (dense inverse search: Kroeger, Timofte, Dai and Van Gool, 2016; OpenCV's)
between small luma images. A pixel whose forward and backward flow do not return to its start is occluded in
one of the frames and is ignored (the check of Sundaram, Brox and Keutzer, 2010).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    """Those that are not empty."""
    tracks: tuple[int | None, ...]
    """The track of each mask; None: it has none."""

    @classmethod
    def of(cls, frame: Frame, people: Sequence[Instance], *, width_px: int = WIDTH_PX) -> Self:
        seen = [one for one in people if one.mask]
        luma = shrink_luma(frame.rgb, width_px)
        masks, tracks = tuple(one.mask for one in seen), tuple(one.track_id for one in seen)
        return cls(frame.shot, frame.pts_ms, luma, frame.size_hw, masks, tracks)

    def small_union(self) -> BoolArray:
        """Return the union of all masks in the size of the small image."""
        return self._shrink(union_masks(self.masks, self.size_hw))

    def small_masks(self) -> list[BoolArray]:
        """Return each mask in the size of the small image."""
        return [self._shrink(mask) for mask in self.masks]

    def _shrink(self, mask: Mask) -> BoolArray:
        pixels = mask.to_array().astype(np.uint8)
        return cv2.resize(pixels, self.luma.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


@dataclass(frozen=True, slots=True)
class FlowConsistency:
    """How well the masks of a frame continue those of the previous frame along the motion, in [0, 1]."""

    iou: float | None
    """IoU of both unions. None: no mask in one of the frames, or too few pixels with a consistent flow."""
    coherence: tuple[float | None, ...]
    """For each mask, the IoU with the previous mask of the same track, or, without tracks, the best of all; 0 if there is
    none. None: too few pixels with a consistent flow."""


def compare_along_motion(now: PreviousFrame, before: PreviousFrame) -> FlowConsistency | None:
    """Compare the masks with the previous frame's masks moved by optical flow.

    None: another shot or image size, no time, too long a time between them, or a strip (`SMALLEST_PX`).
    """
    if not _are_comparable(now, before):
        return None
    here, union = now.small_masks(), now.small_union()
    if not union.any():
        return FlowConsistency(None, (None,) * len(here))
    sources, is_known = backward_flow_with_consistency(now.luma, before.luma)
    moved = [_move(mask, sources) for mask in before.small_masks()]
    coherence = [
        _coherence(mask, [moved[i] for i in _same_person(track, before.tracks)], is_known)
        for mask, track in zip(here, now.tracks, strict=True)
    ]
    there = before.small_union()
    iou = _iou_where_known(union, _move(there, sources), is_known) if there.any() else None
    return FlowConsistency(iou, tuple(coherence))


@dataclass(slots=True)
class KeptFlows:
    """The results of `compare_along_motion` for frames of one clip, by a hash of both frames and their instances."""

    known: dict[str, list[Any]] = field(default_factory=dict)
    """IoU and coherence of each; both empty where there was no result."""
    has_new: bool = False

    def compare(
        self, now: tuple[Frame, Sequence[Instance]], before: tuple[Frame, Sequence[Instance]]
    ) -> FlowConsistency | None:
        """See `compare_along_motion`; the pixels of frames that were compared before are not read."""
        seen = repr([(frame.key, frame.shot, tuple(people)) for frame, people in (now, before)])
        name = hashlib.sha256(seen.encode()).hexdigest()[:32]
        if name not in self.known:
            found = compare_along_motion(PreviousFrame.of(*now), PreviousFrame.of(*before))
            self.known[name] = [found.iou, found.coherence] if found else []
            self.has_new = True
        values = self.known[name]
        return FlowConsistency(values[0], tuple(values[1])) if values else None


def measure_flow_iou(now: PreviousFrame, before: PreviousFrame) -> float | None:
    """Return the IoU of both unions; None: not known (`compare_along_motion`)."""
    found = compare_along_motion(now, before)
    return found.iou if found else None


def _same_person(track: int | None, tracks: Sequence[int | None]) -> list[int]:
    """Return the positions of the previous masks that may show the person."""
    if track is not None and None not in tracks:
        return [i for i, other in enumerate(tracks) if other == track]
    return list(range(len(tracks)))


def _coherence(mask: BoolArray, moved: Sequence[BoolArray], is_known: BoolArray) -> float | None:
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
