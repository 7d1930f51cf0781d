"""Where a body's joints lie relative to its mask.

Distances are shares of a height in pixels, so that they hold for people near and far.
"""

import numpy as np

from labeling.structures.instances import Keypoints
from labeling.structures.masks import BoolArray, Mask

KEYPOINT_MARGIN = 0.02
"""Share of the mask's box height by which a mask is dilated before joints are looked up in it, to each
side: joints at the contour (wrists, ears) are found only to within a few pixels."""

FOOT_WINDOW = 0.05
"""Half the width, in body heights, of the columns around an ankle in which the foot is looked for."""

FOOT_DEPTH = 0.15
"""How far below an ankle, in body heights, the foot is looked for. A foot is about 15 % of the body's
height long (Winter, Biomechanics and Motor Control of Human Movement, fig. 4.1), and may point at the
camera; what is farther down is somebody else."""


def share_inside(keypoints: Keypoints, mask: Mask, *, min_keypoint_score: float) -> float | None:
    """Share of confident joints inside the mask, dilated by `KEYPOINT_MARGIN` of its box's height.

    The dilation is by a square, at least one pixel to each side. A joint lies in the pixel that is the
    floor of its position; outside the image, or without a position (NaN), it is outside the mask.
    None where no joint is confident; a NaN confidence is none.
    """
    confident = [np.floor((x, y)) for x, y, confidence in keypoints if confidence >= min_keypoint_score]
    if not confident:
        return None
    height, width = mask.size_hw
    left, top, w, h = (int(side) for side in mask.box_xywh)
    crop = mask.to_crop((left, top, w, h))
    margin = max(1, round(KEYPOINT_MARGIN * h))
    in_image = [(x, y) for x, y in confident if 0 <= x < width and 0 <= y < height]
    return sum(_is_inside(crop, x - left, y - top, margin) for x, y in in_image) / len(confident)


def _is_inside(crop: BoolArray, column: float, row: float, margin: int) -> bool:
    """Whether the crop has a mask pixel in the square of `margin` around a position (of the crop)."""
    left, top = int(column) - margin, int(row) - margin
    around = crop[max(0, top) : max(0, top + 2 * margin + 1), max(0, left) : max(0, left + 2 * margin + 1)]
    return bool(around.any())


def foot_reach_px(mask: Mask, ankle_xy: tuple[float, float], body_height_px: float) -> float:
    """How far below an ankle the mask goes on, in pixels; 0 where it does not.

    That is the lower edge of the lowest mask pixel among those from the ankle's row to `FOOT_DEPTH`
    heights below it and `FOOT_WINDOW` heights (at least one pixel) to both sides of it.
    """
    if not np.isfinite(ankle_xy).all():
        return 0.0
    x, y = ankle_xy
    side, below = max(1.0, FOOT_WINDOW * body_height_px), max(1.0, FOOT_DEPTH * body_height_px)
    height, width = mask.size_hw
    left, right = (int(np.clip(np.floor(edge), 0, width)) for edge in (x - side, x + side + 1))
    top, bottom = (int(np.clip(np.floor(edge), 0, height)) for edge in (y, y + below + 1))
    rows = np.flatnonzero(mask.to_crop((left, top, right - left, bottom - top)).any(axis=1))
    return max(0.0, float(top + rows[-1] + 1 - y)) if len(rows) else 0.0
