"""Boundary IoU: how well two masks agree along their contours.

Cheng, Girshick, Dollár, Berg, Kirillov: Boundary IoU: Improving Object-Centric Image Segmentation
Evaluation, CVPR 2021. Only pixels within a band inside each mask's contour are compared, so that a
large body does not hide a wrong outline.
"""

import math

import cv2
import numpy as np

from labeling.structures.masks import BoolArray, Mask

BAND_OF_DIAGONAL = 0.02
"""Width of the band as a share of the image's diagonal: the paper's choice (section 5)."""


def band_width_px(size_hw: tuple[int, int]) -> int:
    """Width of the band for images of this size, at least one pixel."""
    height, width = size_hw
    return max(1, round(BAND_OF_DIAGONAL * math.hypot(height, width)))


def boundary_band(pixels: BoolArray, width_px: int) -> BoolArray:
    """Pixels of an HxW mask with background (or the array's outside) at most `width_px` away.

    Distance is the larger of the two axes', as in the paper's code, which erodes `width_px` times
    with a 3x3 square: here a pixel survives where a window of 2 * width_px + 1 is all mask.
    """
    side = 2 * width_px + 1
    sums = cv2.boxFilter(  # the time does not depend on the window's size
        pixels.view(np.uint8), cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    band: BoolArray = pixels & (sums != side * side)
    return band


def boundary_iou(first: Mask, second: Mask) -> float:
    """IoU of the two masks' bands, in [0, 1]; two empty masks give 1, an empty and another 0.

    Decodes the box around both masks only. The image's border counts as background.
    """
    if not first or not second:
        return float(bool(first) == bool(second))
    box = _box_around(first, second)
    width_px = band_width_px(first.size_hw)
    # Transposed, the column-major crops are what OpenCV wants; the band is the same either way.
    ours, theirs = (boundary_band(mask.to_crop(box).T, width_px) for mask in (first, second))
    return float(np.count_nonzero(ours & theirs) / np.count_nonzero(ours | theirs))


def _box_around(first: Mask, second: Mask) -> tuple[int, int, int, int]:
    boxes = np.array([first.box_xywh, second.box_xywh], dtype=np.int64)
    x, y = boxes[:, :2].min(axis=0)
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    return int(x), int(y), int(right - x), int(bottom - y)
