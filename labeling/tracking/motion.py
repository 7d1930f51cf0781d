"""The motion of a person's box: a Kalman filter of its center and sides, in units of its height."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import BoxXywh
from labeling.tracking.kalman import CHI2_99, KalmanState

FloatArray = NDArray[np.float64]
PLACE_STD, SIZE_STD = 0.08, 0.15
"""Error of a mask's center and of its sides, as shares of its height."""
SPEED_STD = 0.8
"""Speed of a person who appears, in body heights per second."""
KNOWN_SPEED_STD = 0.3
"""Error of the speed of a person who was followed for a while."""
ACCELERATION_STD = 1.2
"""Change of speed, in body heights per second squared."""
_SIZE_ACCELERATION = 0.3
"""The same for the sides, relative to the center."""


def place_of(box_xywh: BoxXywh) -> FloatArray:
    """Return center x, center y, width and height, in pixels."""
    x, y, w, h = box_xywh
    return np.array([x + w / 2, y + h / 2, w, h])


def start_motion(place: FloatArray) -> KalmanState:
    """Return the state of a person who appears at a place."""
    return KalmanState.start(place, position_std=place_stds(place[3]), velocity_std=SPEED_STD * place[3])


def place_stds(height: float) -> FloatArray:
    """Return the errors of the four coordinates of a place."""
    stds = np.array([PLACE_STD, PLACE_STD, SIZE_STD, SIZE_STD])
    return np.asarray(max(height, 1.0) * stds, dtype=np.float64)


def predict_motion(state: KalmanState, dt_s: float) -> KalmanState:
    """Return the state `dt_s` later."""
    scale = np.array([1.0, 1.0, _SIZE_ACCELERATION, _SIZE_ACCELERATION])
    return state.predict(dt_s=dt_s, acceleration_std=ACCELERATION_STD * state.position[3] * scale)


def is_in_view(state: KalmanState, size_hw: tuple[int, int]) -> bool:
    """Return whether the center is in the image."""
    x, y = state.position[:2].tolist()
    return bool(0 <= x < size_hw[1] and 0 <= y < size_hw[0])


def gated_distances(state: KalmanState, places: FloatArray) -> FloatArray:
    """Return the squared distances of places (Nx4) from a predicted one over the gate: above 1 is too far.

    Only the center counts: the sides change with the pose and where people are partly hidden. A person who comes
    into view is small at first, so the errors are those of the larger of both heights.
    """
    height = float(state.position[3])
    growth = np.maximum(1.0, places[:, 3] / max(height, 1.0))
    error = (places[:, :2] - state.position[:2]) / growth[:, None]
    total = state.position_variance[:2] + place_stds(height)[:2] ** 2
    return np.asarray((error**2 / total).sum(axis=1) / CHI2_99[2], dtype=np.float64)


def predict_box(
    box_xywh: BoxXywh, velocity_xy: tuple[float, float], dt_s: float
) -> tuple[KalmanState, BoxXywh]:
    """Return the state `dt_s` after a box with a known velocity, and its box."""
    started = start_motion(place_of(box_xywh))
    height = box_xywh[3]
    known = replace(
        started,
        velocity=np.array([*velocity_xy, 0.0, 0.0]),
        velocity_variance=np.full(4, (KNOWN_SPEED_STD * height) ** 2),
    )
    x, y, w, h = box_xywh
    moved = (x + dt_s * velocity_xy[0], y + dt_s * velocity_xy[1], w, h)
    return predict_motion(known, dt_s), moved
