"""Keypoints as network input: 17 heatmaps and 19 limbs with two components each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labeling.structures.instances import COCO_SKELETON, Keypoints

LIMBS = tuple(sorted((min(a, b) - 1, max(a, b) - 1) for a, b in COCO_SKELETON))
"""Pairs of 0-based COCO keypoints, in fixed order."""
KEYPOINT_CHANNELS = 17 + 2 * len(LIMBS)
SIGMA = 3 / 64
"""Standard deviation of a heatmap, as a share of the map's side (Pose2Seg, Zhang et al. 2019)."""
LIMB_HALF_WIDTH = 1 / 64
"""Half the width of a limb, as a share of the map's side."""
HEAT_CUT = 4.6
"""A heatmap is 0 where d^2 / (2 sigma^2) is larger: 1 % of its peak."""
MIN_CONFIDENCE = 0.2
"""Less confident keypoints are treated as missing."""


def draw_keypoint_maps(people: Sequence[Keypoints], side: int) -> NDArray[np.float32]:
    """Draw people's keypoints, given in pixels of the map, as 55 x side x side in [-1, 1].

    The first 17 channels are heatmaps, the maximum over people. Then each limb has two channels: its unit
    vector (x, y) on the pixels of the limb, the mean where people overlap (part affinity fields, Cao et
    al. 2017). The channels of a missing keypoint, and of its limbs, are 0.

    >>> no_keypoints = ((0.0, 0.0, 0.0),) * 17
    >>> draw_keypoint_maps([no_keypoints], 64).any()
    np.False_
    """
    maps = np.zeros((KEYPOINT_CHANNELS, side, side), dtype=np.float32)
    counts = np.zeros((len(LIMBS), side, side), dtype=np.float32)
    for person in people:
        points = np.asarray(person, dtype=np.float32)
        is_found = (points[:, 2] >= MIN_CONFIDENCE) & np.isfinite(points).all(axis=1)
        for joint in np.flatnonzero(is_found):
            _draw_heat(maps[joint], points[joint, :2])
        for limb, (start, end) in enumerate(LIMBS):
            if is_found[start] and is_found[end]:
                vector = maps[17 + 2 * limb : 19 + 2 * limb]
                _draw_limb(vector, counts[limb], points[start, :2], points[end, :2])
    vectors = maps[17:].reshape(len(LIMBS), 2, side, side)
    vectors /= np.maximum(counts, 1)[:, None]
    return maps


def _draw_heat(heat: NDArray[np.float32], at_xy: NDArray[np.float32]) -> None:
    sigma = SIGMA * heat.shape[0]
    reach = int(np.ceil(sigma * np.sqrt(2 * HEAT_CUT)))
    rows, columns = _window(at_xy[1], reach, heat.shape[0]), _window(at_xy[0], reach, heat.shape[1])
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + 0.5
    x = np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5
    exponent = ((x - at_xy[0]) ** 2 + (y - at_xy[1]) ** 2) / (2 * sigma**2)
    peak = np.where(exponent <= HEAT_CUT, np.exp(-exponent), 0)
    heat[rows, columns] = np.maximum(heat[rows, columns], peak)


def _draw_limb(
    vector: NDArray[np.float32],
    count: NDArray[np.float32],
    start_xy: NDArray[np.float32],
    end_xy: NDArray[np.float32],
) -> None:
    along = end_xy - start_xy
    length = float(np.hypot(*along))
    if length < 1e-3:  # noqa: PLR2004 - no direction
        return
    unit, half_width = along / length, max(1.0, LIMB_HALF_WIDTH * count.shape[0])
    low, high = np.minimum(start_xy, end_xy) - half_width, np.maximum(start_xy, end_xy) + half_width
    rows = slice(max(0, int(low[1])), max(0, min(count.shape[0], int(np.ceil(high[1])) + 1)))
    columns = slice(max(0, int(low[0])), max(0, min(count.shape[1], int(np.ceil(high[0])) + 1)))
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + 0.5 - start_xy[1]
    x = np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5 - start_xy[0]
    forward, sideways = x * unit[0] + y * unit[1], np.abs(x * unit[1] - y * unit[0])
    inside = (forward >= 0) & (forward <= length) & (sideways <= half_width)
    vector[:, rows, columns] += unit[:, None, None] * inside
    count[rows, columns] += inside


def _window(center: float, reach: int, side: int) -> slice:
    start = max(0, int(np.floor(center)) - reach)
    return slice(start, max(start, min(side, int(np.floor(center)) + reach + 1)))
