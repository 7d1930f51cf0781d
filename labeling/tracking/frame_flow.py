"""Optical flow between small images of two frames, and points that move with it."""

from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import Frame, LumaImage
from labeling.video.luma import shrink_luma
from labeling.video.optical_flow import SMALLEST_PX, Flow

FLOW_WIDTH_PX = 320
"""Width of the images between which the flow is computed."""
LONGEST_FLOW_S = 0.6
"""Longest time between two frames for optical flow; after more, small people have moved too far."""


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
