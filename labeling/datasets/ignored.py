"""Ignored regions of a dataset: where a doubtful person is, the dataset says nothing about people."""

from collections.abc import Sequence

import cv2
import numpy as np

from labeling.structures.masks import Mask

MARGIN = 0.05
"""Dilation to each side, as a share of the mask's height: an outline that is 10 % wrong stays within it."""
MIN_MARGIN_PX = 3


def ignored_region(doubtful: Mask, certain: Sequence[Mask]) -> Mask:
    """Return the doubtful mask, dilated by a square, without the pixels of persons who are certain.

    The margin is `MARGIN` of the mask's height to each side, at least `MIN_MARGIN_PX`. An empty mask stays empty.

    >>> mask = Mask.from_array(np.pad(np.ones((40, 10)), 20))
    >>> ignored_region(mask, []).box_xywh
    (17.0, 17.0, 16.0, 46.0)
    """
    if not doubtful:
        return doubtful
    x, y, w, h = (int(side) for side in doubtful.box_xywh)
    margin = max(MIN_MARGIN_PX, round(MARGIN * h))
    height, width = doubtful.size_hw
    left, top = max(0, x - margin), max(0, y - margin)
    right, bottom = min(width, x + w + margin), min(height, y + h + margin)
    window = (left, top, right - left, bottom - top)
    square = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    region = cv2.dilate(np.ascontiguousarray(doubtful.to_crop(window), dtype=np.uint8), square) > 0
    for mask in certain:
        region &= ~mask.to_crop(window)
    pixels = np.zeros(doubtful.size_hw, dtype=np.bool_)
    pixels[top:bottom, left:right] = region
    return Mask.from_array(pixels)
