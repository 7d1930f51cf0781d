"""Costs of taking an instance for a continuation of a track, and the cheapest assignment.

cost = `OVERLAP` (1 - overlap) + `COLOR` (distance of colors) + `MOTION` (distance from the predicted place),
where overlap is the IoU (see `mask_overlaps`) of the instance's mask with the track's mask, moved by optical flow or by the track's
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
from labeling.tracking.crops import MaskCrop, MaskPoints
from labeling.video.luma import shrink_luma
from labeling.video.optical_flow import SMALLEST_PX, Flow

FloatArray = NDArray[np.float64]
FLOW_WIDTH_PX = 320
"""Width of the images between which the flow is computed."""
LONGEST_FLOW_S = 0.6
"""Longest time between two frames for optical flow; after more, small people have moved too far."""
OVERLAP, COLOR, MOTION = 0.4, 0.4, 0.2
"""Weights of the parts of a cost; their sum is 1."""
IMPOSSIBLE = 1e6


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


def mask_overlaps(moved: Sequence[MaskPoints], masks: Sequence[MaskCrop]) -> FloatArray:
    """Return the pairwise overlap of moved masks with masks in [0, 1], (len(moved), len(masks)).

    It is the IoU, or the common share of the smaller mask where the image's border cuts a mask off: a person who
    comes into view grows from frame to frame.
    """
    overlaps = np.zeros((len(moved), len(masks)))
    for i, points in enumerate(moved):
        corners = points.corners
        for j, mask in enumerate(masks):
            if mask.meets(corners):
                common = mask.share_inside(points) * points.area_px
                smaller, both = min(points.area_px, mask.area_px), points.area_px + mask.area_px - common
                overlaps[i, j] = common / max(smaller if mask.is_cut_off else both, 1)
    return np.minimum(overlaps, 1.0)


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
