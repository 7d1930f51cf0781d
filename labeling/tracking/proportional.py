"""A map from the world to the image without a homography: proportional, then fitted to detected people.

The fit only finds what is near its start. So it starts from several maps: the world's axes in each order and
direction, spread over the image and over the part of it in which people are detected. In PETS 2009 S2.L1, each of
eight parts of 8 to 12 s is fitted with a median error of 0.7 to 2.6 px; from the first map alone, one of them is.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import cv2
import numpy as np

from configs.errors import HomographyInvalid, TrajectoriesInvalid
from labeling.tracking.anchors import Conventions, Projection, anchor_points, assign_boxes
from labeling.tracking.conventions import MIN_INSIDE_FITTED, DetectedVideo, Detections, find_projection
from labeling.tracking.homography import GroundHomography
from labeling.tracking.trajectories import FloatArray, Trajectory

ROUNDS = 4
REACH = (0.2, 0.1, 0.06, 0.05)
"""Largest distance of a pair in each round, as a share of the diagonal."""
INLIER = 0.03
"""Largest distance of an inlier, as a share of the diagonal."""
MIN_PAIRS = 12
FAR = 0.05
"""Share of the diagonal from which a point counts as having no person, where fits are compared."""
CENTRAL = (2, 98)
"""Percentiles between which most people are detected."""
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


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


def fit_projection(
    trajectories: Mapping[int, Trajectory], video: DetectedVideo, fixed: Conventions
) -> Projection:
    """Return the projection of annotated points without a homography, fitted to the people detected in a video.

    Only the anchor is tried, if `fixed` leaves it open: any order, direction and scale is a part of the fit.

    Raises:
        TrajectoriesInvalid: all points have one x or one y, or the fit puts most of them outside the image.
    """
    homography = fit_homography(trajectories, video.size_hw, video.boxes, fixed)
    known = replace(fixed, order="xy", is_inverse=False, homography_hw=video.size_hw)
    known = replace(known, frame_step=fixed.frame_step or 1.0)
    return find_projection(trajectories, homography, video, known, min_inside=MIN_INSIDE_FITTED)


def fit_homography(
    trajectories: Mapping[int, Trajectory],
    size_hw: tuple[int, int],
    detections: Detections,
    fixed: Conventions,
) -> GroundHomography:
    """Return the best of the maps that are fitted from all starts: with the points nearest to detected people.

    Raises:
        TrajectoriesInvalid: all points have one x or one y.
    """
    starts = [
        proportional_homography(trajectories, size_hw),
        *_starts(trajectories, size_hw, detections, fixed),
    ]
    fitted = [refine_homography(start, trajectories, detections, fixed) for start in starts]
    return min(fitted, key=lambda one: _misfit(one, trajectories, detections, fixed, size_hw))


def _starts(
    trajectories: Mapping[int, Trajectory],
    size_hw: tuple[int, int],
    detections: Detections,
    fixed: Conventions,
) -> Iterator[GroundHomography]:
    """Yield maps of the world's bounding box to two rectangles of the image, in eight orientations each."""
    points = np.vstack([one.points for one in trajectories.values()])
    low, high = points.min(axis=0), points.max(axis=0)
    world = (low + _CORNERS * (high - low)).astype(np.float32)
    whole = np.array([[0.0, 0.0], [size_hw[1] - 1.0, size_hw[0] - 1.0]])
    found = np.vstack([anchor_points(boxes, fixed.anchor or "bottom") for boxes in detections.values()])
    rectangles = [whole, np.percentile(found, CENTRAL, axis=0)] if len(found) >= MIN_PAIRS else [whole]
    for (first, last), is_swapped, *flips in itertools.product(rectangles, *[(False, True)] * 3):
        corners = _CORNERS[:, ::-1] if is_swapped else _CORNERS
        pixels = first + np.abs(corners - flips) * np.maximum(last - first, 1.0)
        to_pixels = cv2.getPerspectiveTransform(world, pixels.astype(np.float32))
        yield GroundHomography(np.linalg.inv(np.asarray(to_pixels, dtype=np.float64)).astype(np.float64))


def _misfit(
    homography: GroundHomography,
    trajectories: Mapping[int, Trajectory],
    detections: Detections,
    fixed: Conventions,
    size_hw: tuple[int, int],
) -> float:
    """Return the mean distance of points to detected people, each person taken once, at most `FAR`."""
    far = FAR * float(np.hypot(*size_hw))
    distances = [far]
    for frame, boxes in detections.items():
        mapped = homography.to_pixels(_points_at(trajectories, frame, fixed))
        anchor = fixed.anchor or "bottom"
        chosen = assign_boxes(mapped, boxes, anchor=anchor, max_distance_px=far)
        anchors = anchor_points(boxes, anchor)
        distances += [
            far if box is None else float(np.hypot(*(point - anchors[box])))
            for point, box in zip(mapped, chosen, strict=True)
        ]
    return float(np.mean(distances))


def _points_at(trajectories: Mapping[int, Trajectory], frame: int, fixed: Conventions) -> FloatArray:
    """Return the annotated points of a frame of the video, (n, 2)."""
    at = [one.at((frame - fixed.frame_offset) / (fixed.frame_step or 1.0)) for one in trajectories.values()]
    return np.array([point for point in at if point is not None]).reshape(-1, 2)


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
    anchor = fixed.anchor or "bottom"
    for frame, boxes in detections.items():
        points = _points_at(trajectories, frame, fixed)
        mapped = homography.to_pixels(points)
        chosen = assign_boxes(mapped, boxes, anchor=anchor, max_distance_px=max_distance_px)
        anchors = anchor_points(boxes, anchor)
        for point, box in zip(points, chosen, strict=True):
            if box is not None:
                world.append(point)
                pixels.append(anchors[box])
    return np.array(world), np.array(pixels)
