"""The parts of a label that do not touch each other."""

import cv2
import numpy as np

from labeling.structures.masks import Mask

SMALLEST_PART = 0.15
"""Share of the label's area: smaller parts are hands and feet behind something."""


def large_parts(mask: Mask) -> list[Mask]:
    """Return the connected parts of at least `SMALLEST_PART`, if there are several; otherwise none.

    >>> [part.area_px for part in large_parts(Mask.from_array(np.array([[1, 1, 0, 1], [1, 1, 0, 1]])))]
    [4, 2]
    """
    if not mask:
        return []
    x, y, w, h = (int(side) for side in mask.box_xywh)
    crop = np.ascontiguousarray(mask.to_crop((x, y, w, h))).view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(crop, connectivity=8)
    large = [n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] >= SMALLEST_PART * mask.area_px]
    parts = []
    for number in large[1:] and large:  # one alone is the mask
        pixels = np.zeros(mask.size_hw, dtype=np.bool_)
        pixels[y : y + h, x : x + w] = labels == number
        parts.append(Mask.from_array(pixels))
    return parts
