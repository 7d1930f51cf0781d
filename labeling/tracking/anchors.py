"""Annotated points as pixels of a video, and the boxes of people that they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from labeling.structures.masks import BoxXywh
from labeling.tracking.homography import apply_homography
from labeling.tracking.trajectories import FloatArray, Trajectory

Order = Literal["xy", "row_col"]
Anchor = Literal["top", "center", "bottom"]

_ANCHOR_Y: dict[str, float] = {"top": 0.0, "center": 0.5, "bottom": 1.0}


@dataclass(frozen=True, slots=True)
class Conventions:
    """What a file of trajectories leaves open; None: found by trial.

    >>> Conventions(anchor="bottom").is_complete
    False
    """

    order: Order | None = None
    is_inverse: bool | None = None
    """The homography maps the world to pixels."""
    anchor: Anchor | None = None
    homography_hw: tuple[int, int] | None = None
    """Size of the image that the homography was fitted to."""
    frame_step: float | None = None
    """Frames of the video per annotated frame number."""
    frame_offset: float = 0.0
    """Frame of the video at number 0."""

    @property
    def is_complete(self) -> bool:
        return None not in (self.order, self.is_inverse, self.anchor, self.homography_hw, self.frame_step)


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Annotated points as pixels of the video."""

    to_pixels: FloatArray
    """3x3, world to pixels (x, y, 1) of the video."""
    anchor: Anchor
    frame_step: float = 1.0
    frame_offset: float = 0.0
    conventions: Conventions = Conventions()
    inside: float = 1.0
    """Share of annotated points inside the image."""
    distance_px: float = float("nan")
    """Median distance of the points to the detected people."""

    def locate(self, trajectory: Trajectory, frame: float) -> FloatArray | None:
        """Return the pixel, (2,), of a person in a frame of the video; None where absent."""
        world = trajectory.at((frame - self.frame_offset) / self.frame_step)
        return None if world is None else self.map(world[None])[0]

    def map(self, points: FloatArray) -> FloatArray:
        """Map (n, 2) annotated points to pixels."""
        return apply_homography(self.to_pixels, points)

    def video_frames(self, trajectory: Trajectory) -> FloatArray:
        """Return the frames of the video that are annotated, (n,), not rounded."""
        return trajectory.frames * self.frame_step + self.frame_offset

    def describe(self) -> str:
        found = self.conventions
        height, width = found.homography_hw or (0, 0)
        matrix = "inverse " if found.is_inverse else ""
        return (
            f"{found.order}, {matrix}homography of {width}x{height} px, points at the {self.anchor}, "
            f"{self.frame_step:g} frames per number from {self.frame_offset:g}; {self.inside:.0%} of the points "
            f"in the image, {self.distance_px:.1f} px from the detected people"
        )


def anchor_points(boxes: Sequence[BoxXywh] | FloatArray, anchor: Anchor) -> FloatArray:
    """Return the anchors, (n, 2), of boxes."""
    array = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.column_stack([array[:, 0] + array[:, 2] / 2, array[:, 1] + _ANCHOR_Y[anchor] * array[:, 3]])


@dataclass(frozen=True, slots=True)
class NearestBox:
    """The box nearest to a point, or how far it was."""

    index: int | None
    """None: no box under the largest distance."""
    distance_px: float
    """Infinite if there is no box."""


def nearest_box(
    point: FloatArray, boxes: Sequence[BoxXywh], *, anchor: Anchor, max_distance_px: float
) -> NearestBox:
    """Return the box whose anchor is nearest to the point, if it is under `max_distance_px`.

    >>> nearest_box(np.array([50.0, 80.0]), [(30, 20, 20, 60)], anchor="bottom", max_distance_px=40)
    NearestBox(index=0, distance_px=10.0)
    """
    if not len(boxes):
        return NearestBox(None, float("inf"))
    distances = np.linalg.norm(anchor_points(boxes, anchor) - point, axis=1)
    index = int(distances.argmin())
    distance = float(distances[index])
    return NearestBox(index if distance < max_distance_px else None, distance)


def assign_boxes(
    points: FloatArray, boxes: Sequence[BoxXywh], *, anchor: Anchor, max_distance_px: float
) -> list[int | None]:
    """Return a box for each point, each box once, with the smallest sum of distances (Hungarian method)."""
    if not len(boxes) or not len(points):
        return [None] * len(points)
    distances = np.linalg.norm(points[:, None] - anchor_points(boxes, anchor)[None], axis=2)
    distances = np.where(distances < max_distance_px, distances, 1e6)
    chosen: list[int | None] = [None] * len(points)
    for row, column in zip(*linear_sum_assignment(distances), strict=True):
        if distances[row, column] < max_distance_px:
            chosen[int(row)] = int(column)
    return chosen
