"""Masks as polygons of their outer outlines: holes are filled, parts stay separate or are bridged.

Outlines are traced on the mask at twice its size, so that even a single pixel has four corners and an area.
"""

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import Mask

Points = NDArray[np.float64]
"""Nx2 corners (x, y) in pixels; pixel (0, 0) covers 0 to 1."""

WholePoints = NDArray[np.int64]
"""Nx2 corners of pixels, whole numbers."""


def edge_outlines(mask: Mask) -> list[WholePoints]:
    """Return the outlines along the edges of the pixels, one per part, biggest first.

    pycocotools draws from them exactly the mask with its holes filled.
    """
    return [_without_repeats((outline + 1) // 2) for outline in _trace_doubled(mask)]


def inner_outlines(mask: Mask) -> list[Points]:
    """Return the outlines a quarter of a pixel inside the edges, one per part, biggest first.

    Rounded down they are the border pixels, as tools that draw with `cv2.fillPoly` expect.
    """
    return [(outline + 0.5) / 2 for outline in _trace_doubled(mask)]


def bridge_outlines(outlines: list[Points]) -> Points:
    """Join outlines to one polygon by a line to and from the nearest point of the joined ones."""
    from scipy.spatial import KDTree  # imported only if required: it takes as long as all else of an export

    joined, *further = outlines
    for outline in further:
        distances, nearest = KDTree(joined).query(outline)
        landing = int(np.argmin(distances))
        leaving = int(np.asarray(nearest)[landing])
        tour = np.roll(outline, -landing, axis=0)
        joined = np.concatenate([joined[: leaving + 1], tour, tour[:1], joined[leaving:]])
    return joined


def _trace_doubled(mask: Mask) -> list[WholePoints]:
    """Trace the outer outlines on the doubled grid: pixel x becomes 2x and 2x + 1."""
    x, y, width, height = (int(side) for side in mask.box_xywh)
    cropped = mask.to_array()[y : y + height, x : x + width].astype(np.uint8)
    doubled = cropped.repeat(2, axis=0).repeat(2, axis=1)
    traced: Any = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    corner = np.array([2 * x, 2 * y])
    ordered = sorted(traced, key=lambda outline: (-cv2.contourArea(outline), outline[0, 0].tolist()))
    return [outline[:, 0, :].astype(np.int64) + corner for outline in ordered]


def _without_repeats(points: WholePoints) -> WholePoints:
    """Remove repeated corners, and corners within a straight line."""
    corners = points.tolist()
    distinct = [after for before, after in pairwise([corners[-1], *corners]) if before != after]
    around = zip([distinct[-1], *distinct[:-1]], distinct, [*distinct[1:], distinct[0]], strict=True)
    bends = [here for before, here, after in around if _bends(before, here, after)]
    return np.array(bends, dtype=np.int64)


def _bends(before: list[int], here: list[int], after: list[int]) -> bool:
    (x0, y0), (x1, y1), (x2, y2) = before, here, after
    return (x1 - x0) * (y2 - y1) != (y1 - y0) * (x2 - x1)
