"""Boundary IoU: the agreement of two masks along their contours.

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
    """Return the width of the band for images of this size, at least one pixel."""
    height, width = size_hw
    return max(1, round(BAND_OF_DIAGONAL * math.hypot(height, width)))


def boundary_band(pixels: BoolArray, width_px: int) -> BoolArray:
    """Return the pixels of an HxW mask within `width_px` of background or of the array's edge.

    Distance is the larger of both axes', as in the paper's code, which erodes `width_px` times with a
    3x3 square: here a pixel survives where a window of 2 * width_px + 1 is all mask.
    """
    side = 2 * width_px + 1
    sums = cv2.boxFilter(  # the time does not depend on the window's size
        pixels.view(np.uint8), cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    band: BoolArray = pixels & (sums != side * side)
    return band


def boundary_iou(first: Mask, second: Mask) -> float:
    """Return the IoU of both masks' bands, in [0, 1]; 1 for two empty masks, 0 for one.

    Decodes only the box around both masks. The image's border counts as background.
    """
    if not first or not second:
        return float(bool(first) == bool(second))
    boxes = np.array([first.box_xywh, second.box_xywh], dtype=np.int64)
    x, y = boxes[:, :2].min(axis=0).tolist()
    right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(axis=0).tolist()
    width_px = band_width_px(first.size_hw)
    # OpenCV requires row-major input: the transpose of a column-major crop. The band is the same.
    band_1, band_2 = (
        boundary_band(mask.to_crop((x, y, right - x, bottom - y)).T, width_px) for mask in (first, second)
    )
    return float(np.count_nonzero(band_1 & band_2) / np.count_nonzero(band_1 | band_2))
