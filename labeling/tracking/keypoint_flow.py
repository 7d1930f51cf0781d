"""Displacement of keypoints between two frames by dense optical flow."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from labeling.structures.frames import Frame, LumaImage
from labeling.structures.masks import BoolArray
from labeling.tracking.kalman import FloatArray
from labeling.video.luma import shrink_luma
from labeling.video.optical_flow import SMALLEST_PX, Flow, follow_flow

FLOW_WIDTH_PX = 640
"""Width of the images between which the flow is computed; narrower images are not enlarged."""
FLOW_RADIUS_PX = 8
"""Radius around a keypoint of the flow that moves it, in pixels of those images."""
FLOW_STD_PX = 1.0
"""Standard deviation of a displacement, in pixels of those images. The flow's own error is 0.1 px; the rest is
the border of a limb, where part of the window belongs to the background."""
FLOW_MARGIN_PX = 48
"""Margin around keypoints of the part of the small images between which the flow is computed."""
MIN_FLOW_SHARE = 0.25
"""Smallest share of the pixels within the radius that must have a consistent flow."""


@dataclass(frozen=True, slots=True, eq=False)
class FlowFrame:
    """The parts of a frame that the next one is compared with; small enough to be kept."""

    t_s: float
    shot: int
    size_hw: tuple[int, int]
    luma: LumaImage
    """Small image."""

    @classmethod
    def of(cls, frame: Frame) -> Self | None:
        """Return None for an image without a time."""
        if frame.pts_ms is None:
            return None
        return cls(float(frame.t), frame.shot, frame.size_hw, shrink_luma(frame.rgb, FLOW_WIDTH_PX))


@dataclass(frozen=True, slots=True, eq=False)
class KeypointFlow:
    """Moves keypoints from one frame to the next of its shot."""

    start: FlowFrame
    end: FlowFrame

    @classmethod
    def between(cls, start: FlowFrame | None, end: FlowFrame | None) -> Self | None:
        """Return None if the frames are of different shots or sizes, or time does not increase."""
        if start is None or end is None or end.t_s <= start.t_s:
            return None
        return cls(start, end) if (start.shot, start.size_hw) == (end.shot, end.size_hw) else None

    @property
    def dt_s(self) -> float:
        return self.end.t_s - self.start.t_s

    @property
    def px_per_flow_px(self) -> float:
        """Pixels of the frame per pixel of the small image."""
        return self.start.size_hw[1] / self.start.luma.shape[1]

    def move(self, positions: FloatArray) -> FloatArray:
        """Return the positions (Nx2 pixels of the frame) in the end frame; NaN where the flow is unknown.

        The flow is computed within `FLOW_MARGIN_PX` around the positions: those of one person, best.
        """
        scale = self.px_per_flow_px
        points = np.floor(positions / scale)
        height, width = self.start.luma.shape
        inside = ((points >= 0) & (points < (width, height))).all(axis=1)
        moved = np.full_like(positions, np.nan)
        if not inside.any() or min(height, width) < SMALLEST_PX:
            return moved
        left, top = np.maximum(points[inside].min(axis=0) - FLOW_MARGIN_PX, 0).astype(int).tolist()
        right, bottom = (points[inside].max(axis=0) + FLOW_MARGIN_PX + 1).astype(int).tolist()
        crop = np.s_[
            max(0, min(top, height - SMALLEST_PX)) : bottom, max(0, min(left, width - SMALLEST_PX)) : right
        ]
        start, end = (np.ascontiguousarray(image.luma[crop]) for image in (self.start, self.end))
        flow = follow_flow(start, end, preset="medium")
        origin = crop[1].start, crop[0].start
        moves = [median_displacement(*flow, point) for point in points[inside] - origin]
        moved[inside] = positions[inside] + scale * np.array(moves)
        return moved


def median_displacement(positions: Flow, is_consistent: BoolArray, point: FloatArray) -> tuple[float, float]:
    """Return the median displacement (right, down) of the consistent pixels within `FLOW_RADIUS_PX` of a pixel.

    `positions` and `is_consistent` are those of `follow_flow`, `point` is (column, row). NaN if fewer than
    `MIN_FLOW_SHARE` of these pixels are consistent.
    """
    column, row = int(point[0]), int(point[1])
    left, top = max(0, column - FLOW_RADIUS_PX), max(0, row - FLOW_RADIUS_PX)
    window = np.s_[top : row + FLOW_RADIUS_PX + 1, left : column + FLOW_RADIUS_PX + 1]
    rows, columns = np.indices(is_consistent[window].shape) + np.array([top, left])[:, None, None]
    is_near = (rows - row) ** 2 + (columns - column) ** 2 <= FLOW_RADIUS_PX**2
    chosen = is_near & is_consistent[window]
    if chosen.sum() < MIN_FLOW_SHARE * is_near.sum():
        return np.nan, np.nan
    moves = positions[window][chosen] - np.column_stack([columns[chosen], rows[chosen]])
    right, down = np.median(moves, axis=0).tolist()
    return right, down
