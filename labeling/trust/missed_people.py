"""People whom the teacher missed, found by motion in the images of a static camera.

A pixel is rare when it rarely looks in the shot as it does now. This excludes what stays: a lamp that is on for a
while, a car that parks, the wall that a person uncovers after a long time. It also excludes a person who stands
still. Parts wider than tall are excluded too, which removes some cars.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import BoolArray, BoxXywh

RARE = 0.2
"""Largest share of a shot's images in which a rare pixel looks as now. Of masks left out in PETS, 0.1 finds 84 %, 0.15
and more 87 %; in CDnet's office there is no false find up to 0.25, and without `MOVED` up to 0.1."""
LOOSE = 0.1
"""Margin around a mask as a share of its height: outlines are loose, and a book in the hand or a shadow at the feet
is not another person."""
MOST = 0.25
"""Largest share of the image that may be rare: at most 0.1 for three static cameras with people; more means
that a lamp was switched on or the camera was moved."""
MOVED = 0.3
"""Smallest share of a part's pixels that differ in the images before and after this one. When a person leaves at
the end of a shot, the uncovered wall is rare, but it does not move."""
STEEPEST = 0.2
"""Share of the median image's pixels that count as its edges."""
STEADY = 0.5
"""Smallest share of the edges that keep their level for half of the time: 0.5 to 1.0 for three static cameras, 0.0
to 0.2 for one that pans, drifts or follows a person."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Connected pixels."""

    box_xywh: BoxXywh
    pixels: BoolArray


def find_missed(
    alike: BoolArray, beside: Sequence[int], people: Sequence[BoolArray], *, min_share: float
) -> BoxXywh | None:
    """Return the box of the largest upright moving part outside all masks; None: there is none.

    Args:
        alike: NxHxW, where each of the shot's images looks like this one.
        beside: positions among them of the images before and after this one.
        people: the teacher's masks, HxW, none of them empty; without any, there is no measure of size.
        min_share: smallest size of the part, as a share of the smallest mask's pixels.
    """
    is_rare = np.asarray(alike.mean(axis=0) <= RARE)
    if not people or is_rare.mean() > MOST:
        return None
    for mask in people:
        is_rare &= ~_widen(mask)
    neighbors = [alike[position] for position in beside]
    parts = _find_upright(is_rare, min_px=min_share * min(mask.sum() for mask in people))
    moving = [
        part for part in parts if all(neighbor[part.pixels].mean() <= 1 - MOVED for neighbor in neighbors)
    ]
    return max(moving, key=lambda part: part.pixels.sum()).box_xywh if moving else None


def is_steady(median: NDArray[np.float32], keeps: BoolArray) -> bool:
    """Return whether the camera is static: most edges of the median image keep their level.

    Plain areas keep their level in front of a moving camera too, so only edges count.

    Args:
        median: HxW, median level of each pixel.
        keeps: which of them keep their level for half of the time.
    """
    across, down = (cv2.Sobel(median, cv2.CV_32F, *axes) for axes in ((1, 0), (0, 1)))
    steepness = np.hypot(across, down)
    is_edge = steepness >= np.quantile(steepness, 1 - STEEPEST)
    return bool(keeps[is_edge].mean() >= STEADY)


def _widen(mask: BoolArray) -> BoolArray:
    rows = np.flatnonzero(mask.any(axis=1))
    by_px = max(1, round(LOOSE * (rows[-1] - rows[0] + 1)))
    square = np.ones((2 * by_px + 1, 2 * by_px + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), square) > 0


def _find_upright(pixels: BoolArray, *, min_px: float) -> list[_Part]:
    """Return the upright 8-connected parts without specks and thin lines."""
    opened = cv2.morphologyEx(pixels.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    found = enumerate(stats[1:].tolist(), start=1)
    return [_Part((x, y, w, h), labels == n) for n, (x, y, w, h, area) in found if area >= min_px and h >= w]
