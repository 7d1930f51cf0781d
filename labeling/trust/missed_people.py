"""Who moves where the teacher saw nobody, by the images of a static camera.

A place shows somebody when it looks now as it hardly ever does in the course of the shot. Whatever stays is nobody:
a lamp that was on for a while, a car that came and parked, the wall that shows again where somebody stood for long.
So is, alas, somebody who stands still. What is wider than tall is nobody either, which leaves some cars out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import BoolArray, BoxXywh

RARE = 0.2
"""Share of a shot's images in which a place may look as now. Of masks left out in PETS, 0.1 finds 84 %, 0.15 and more
87 %; in CDnet's office nothing is found where nobody is up to 0.25, and without `MOVED` up to 0.1."""
LOOSE = 0.1
"""Share of a mask's height by which it is widened to all sides: outlines are loose, and a book in the hand or the
shadow at the feet is nobody else."""
MOST = 0.25
"""Share of the image that may look as it hardly ever does: of three static cameras with people 0.1 at most; where it
is more, somebody switched on a lamp or knocked the camera."""
MOVED = 0.3
"""Share of the thing's pixels that must look otherwise in the images before and after this one: when somebody leaves
at the end of a shot in which he stood, the wall behind him was hardly ever seen, and it does not move."""
STEEPEST = 0.2
"""Share of the pixels of the usual image that are its edges."""
STEADY = 0.5
"""Share of these that must keep their look for half of the time. Of three static cameras 0.5 to 1.0 do, of one that pans,
drifts or follows somebody 0.0 to 0.2."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Connected pixels."""

    box_xywh: BoxXywh
    pixels: BoolArray


def find_missed(
    alike: BoolArray, beside: Sequence[int], people: Sequence[BoolArray], *, min_share: float
) -> BoxXywh | None:
    """Box of the largest upright thing outside of all masks that moves; None: there is none.

    Args:
        alike: NxHxW, where each of the shot's images looks like this one.
        beside: positions among them of the images before and after this one.
        people: the teacher's masks, HxW, none of them empty; without any there is no measure of size.
        min_share: of the smallest mask's pixels that the thing must have.
    """
    is_rare = np.asarray(alike.mean(axis=0) <= RARE)
    if not people or is_rare.mean() > MOST:
        return None
    for mask in people:
        is_rare &= ~_widen(mask)
    stays = [alike[place] for place in beside]
    parts = _find_upright(is_rare, min_px=min_share * min(mask.sum() for mask in people))
    moving = [part for part in parts if all(one[part.pixels].mean() <= 1 - MOVED for one in stays)]
    return max(moving, key=lambda part: part.pixels.sum()).box_xywh if moving else None


def is_steady(usual: NDArray[np.float32], keeps: BoolArray) -> bool:
    """Whether the camera stands: most edges of the usual image keep their look.

    Plain places would in front of a moving camera too.

    Args:
        usual: HxW, median level of each pixel.
        keeps: which of them keep their level for half of the time.
    """
    across, down = (cv2.Sobel(usual, cv2.CV_32F, *axes) for axes in ((1, 0), (0, 1)))
    steepness = np.hypot(across, down)
    is_edge = steepness >= np.quantile(steepness, 1 - STEEPEST)
    return bool(keeps[is_edge].mean() >= STEADY)


def _widen(mask: BoolArray) -> BoolArray:
    rows = np.flatnonzero(mask.any(axis=1))
    by_px = max(1, round(LOOSE * (rows[-1] - rows[0] + 1)))
    square = np.ones((2 * by_px + 1, 2 * by_px + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), square) > 0


def _find_upright(pixels: BoolArray, *, min_px: float) -> list[_Part]:
    """The 8-connected parts, specks and threads left out."""
    opened = cv2.morphologyEx(pixels.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    found = enumerate(stats[1:].tolist(), start=1)
    return [_Part((x, y, w, h), labels == n) for n, (x, y, w, h, area) in found if area >= min_px and h >= w]
