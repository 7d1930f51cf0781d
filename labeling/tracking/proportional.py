"""A map from the world to the image without a homography: proportional, then fitted to detected people."""

from collections.abc import Mapping

import cv2
import numpy as np

from configs.errors import HomographyInvalid, TrajectoriesInvalid
from labeling.tracking.anchors import Conventions, anchor_points, assign_boxes
from labeling.tracking.conventions import Detections
from labeling.tracking.homography import GroundHomography
from labeling.tracking.trajectories import FloatArray, Trajectory

ROUNDS = 4
REACH = (0.2, 0.1, 0.06, 0.05)
"""Largest distance of a pair in each round, as a share of the diagonal."""
INLIER = 0.03
"""Largest distance of an inlier, as a share of the diagonal."""
MIN_PAIRS = 12


def proportional_homography(
    trajectories: Mapping[int, Trajectory], size_hw: tuple[int, int]
) -> GroundHomography:
    """Return the map that spreads the points over the image, y upwards.

    u = (x - x_min) / (x_max - x_min) W, v = H - (y - y_min) / (y_max - y_min) H.

    Raises:
        TrajectoriesInvalid: all points have one x or one y.
    """
    points = np.vstack([one.points for one in trajectories.values()])
    (x_min, y_min), (x_max, y_max) = points.min(axis=0), points.max(axis=0)
    if x_max == x_min or y_max == y_min:
        raise TrajectoriesInvalid(
            "the trajectories lie on one line: without a homography they cannot be placed; name one"
        )
    height, width = size_hw
    across, down = (width - 1) / (x_max - x_min), (height - 1) / (y_max - y_min)
    to_pixels = np.array([
        [across, 0, -x_min * across],
        [0, -down, height - 1 + y_min * down],
        [0, 0, 1],
    ])  # fmt: skip
    return GroundHomography(np.linalg.inv(to_pixels))


def refine_homography(
    start: GroundHomography,
    trajectories: Mapping[int, Trajectory],
    detections: Detections,
    fixed: Conventions,
) -> GroundHomography:
    """Fit a homography to pairs of points and the nearest detected people, with RANSAC, a few times.

    The map stays as it is where too few pairs agree.
    """
    boxes = np.array([box for found in detections.values() for box in found]).reshape(-1, 4)
    if len(boxes) < MIN_PAIRS:
        return start
    diagonal = float(np.hypot(*(boxes[:, :2] + boxes[:, 2:]).max(axis=0)))
    found = start
    for reach in REACH:
        world, pixels = _pairs(found, trajectories, detections, fixed, reach * diagonal)
        if len(world) < MIN_PAIRS:
            return found
        matrix, _ = cv2.findHomography(world, pixels, cv2.RANSAC, INLIER * diagonal)
        try:
            found = GroundHomography(np.linalg.inv(np.asarray(matrix, dtype=np.float64)).astype(np.float64))
        except (HomographyInvalid, np.linalg.LinAlgError, TypeError, ValueError):
            return found
    return found


def _pairs(
    homography: GroundHomography,
    trajectories: Mapping[int, Trajectory],
    detections: Detections,
    fixed: Conventions,
    max_distance_px: float,
) -> tuple[FloatArray, FloatArray]:
    world: list[FloatArray] = []
    pixels: list[FloatArray] = []
    anchor, step = fixed.anchor or "bottom", fixed.frame_step or 1.0
    for frame, boxes in detections.items():
        at = [one.at((frame - fixed.frame_offset) / step) for one in trajectories.values()]
        points = np.array([point for point in at if point is not None]).reshape(-1, 2)
        mapped = homography.to_pixels(points)
        chosen = assign_boxes(mapped, boxes, anchor=anchor, max_distance_px=max_distance_px)
        anchors = anchor_points(boxes, anchor)
        for point, box in zip(points, chosen, strict=True):
            if box is not None:
                world.append(point)
                pixels.append(anchors[box])
    return np.array(world), np.array(pixels)
