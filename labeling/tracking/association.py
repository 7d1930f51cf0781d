"""Costs of taking an instance for a continuation of a track, and the cheapest assignment.

cost = `OVERLAP` (1 - overlap) + `COLOR` (distance of colors) + `MOTION` (distance from the predicted place),
where overlap is the IoU of the instance's mask with the track's mask, moved by optical flow or by the track's
velocity, whichever is larger.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from labeling.structures.frames import Frame, LumaImage
from labeling.structures.masks import BoolArray, Mask
from labeling.video.luma import shrink_luma
from labeling.video.optical_flow import SMALLEST_PX, Flow

FloatArray = NDArray[np.float64]
FLOW_WIDTH_PX = 320
"""Width of the images between which the flow is computed."""
LONGEST_FLOW_S = 0.6
"""Longest time between two frames for optical flow; after more, small people have moved too far."""
POINTS = 400
"""Pixels of a mask that are moved, at most."""
OVERLAP, COLOR, MOTION = 0.5, 0.3, 0.2
"""Weights of the parts of a cost; their sum is 1."""
IMPOSSIBLE = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class MaskPoints:
    """A regular sample of a mask's pixels."""

    xy: NDArray[np.float32]
    """Nx2, pixels of the image; empty for an empty mask."""
    area_px: int

    @classmethod
    def of(cls, mask: Mask) -> Self:
        area_px = mask.area_px
        x, y, w, h = (int(side) for side in mask.box_xywh)
        step = max(1, round((area_px / POINTS) ** 0.5))
        rows, columns = np.nonzero(mask.to_crop((x, y, w, h))[::step, ::step])
        xy = np.column_stack([columns, rows]).astype(np.float32) * step + (x, y)
        return cls(np.asarray(xy, dtype=np.float32), area_px)


@dataclass(frozen=True, slots=True, eq=False)
class MaskCrop:
    """The pixels of a mask within its box."""

    left: int
    top: int
    pixels: BoolArray
    area_px: int

    @classmethod
    def of(cls, mask: Mask) -> Self:
        x, y, w, h = (int(side) for side in mask.box_xywh)
        return cls(x, y, mask.to_crop((x, y, w, h)), mask.area_px)

    def share_inside(self, xy: NDArray[np.float32]) -> float:
        """Return the share of points (Nx2) that lie in the mask."""
        if not len(xy):
            return 0.0
        columns, rows = np.rint(xy - (self.left, self.top)).astype(np.int64).T
        height, width = self.pixels.shape
        known = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        return float(self.pixels[rows[known], columns[known]].sum() / len(xy))


@dataclass(frozen=True, slots=True, eq=False)
class SmallFrame:
    """The small luma image of a frame, between two of which the flow is computed."""

    luma: LumaImage
    size_hw: tuple[int, int]
    pts_s: float

    @classmethod
    def of(cls, frame: Frame) -> Self:
        return cls(shrink_luma(frame.rgb, FLOW_WIDTH_PX), frame.size_hw, float(frame.t))

    def flow_to(self, after: Self) -> "ForwardFlow | None":
        """Return the flow to a later frame; None if it is too late or the image is a strip."""
        if after.pts_s - self.pts_s > LONGEST_FLOW_S or min(self.luma.shape) < SMALLEST_PX:
            return None
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        flow: Any = search.calc(self.luma, after.luma, None)  # type: ignore[call-overload]  # OpenCV's stub does not know None: no initial flow
        return ForwardFlow(flow, self.luma.shape[1] / self.size_hw[1])


@dataclass(frozen=True, slots=True, eq=False)
class ForwardFlow:
    """Where each pixel of a small image moves to."""

    flow: Flow
    scale: float
    """Width of the small image over that of the frame."""

    def move(self, xy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return points (Nx2, pixels of the frame) moved by the flow."""
        height, width = self.flow.shape[:2]
        columns = np.clip((xy[:, 0] * self.scale).astype(np.int64), 0, width - 1)
        rows = np.clip((xy[:, 1] * self.scale).astype(np.int64), 0, height - 1)
        return np.asarray(xy + self.flow[rows, columns] / self.scale, dtype=np.float32)


def overlap_ious(moved: Sequence[MaskPoints], masks: Sequence[MaskCrop]) -> FloatArray:
    """Return the pairwise IoU of moved masks with masks, (len(moved), len(masks))."""
    ious = np.zeros((len(moved), len(masks)))
    for i, points in enumerate(moved):
        for j, mask in enumerate(masks):
            common = mask.share_inside(points.xy) * points.area_px
            either = points.area_px + mask.area_px - common
            ious[i, j] = common / either if common else 0.0
    return np.minimum(ious, 1.0)


def combine_costs(overlap: FloatArray, color: FloatArray, motion: FloatArray) -> FloatArray:
    """Return the pairwise costs; `motion` is the squared distance over its gate, above 1: impossible."""
    costs = OVERLAP * (1 - overlap) + COLOR * color + MOTION * np.sqrt(motion)
    return np.where(motion <= 1, costs, IMPOSSIBLE)


def assign(costs: FloatArray, *, max_cost: float) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of the cheapest assignment, without pairs above `max_cost`.

    >>> assign(np.array([[0.1, 0.2], [0.1, 0.9]]), max_cost=0.5)
    [(0, 1), (1, 0)]
    """
    allowed = np.where(costs <= max_cost, costs, IMPOSSIBLE)
    rows, columns = linear_sum_assignment(allowed)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if allowed[row, column] < IMPOSSIBLE]
