"""Position of keypoints relative to a mask.

Distances are shares of a height in pixels, so that they hold for people near and far.
"""

import numpy as np

from labeling.structures.instances import Keypoints
from labeling.structures.masks import Mask

KEYPOINT_MARGIN = 0.02
"""Tolerance to each side when a keypoint is looked up in a mask, as a share of the mask's height.
Keypoints at the contour (wrists, ears) are located only to within a few pixels."""

FOOT_WINDOW = 0.05
"""Half the width of the search window around an ankle, in body heights."""

FOOT_DEPTH = 0.15
"""Depth of the search window below an ankle, in body heights. A foot is about 15 % of the body's height
long (Winter, Biomechanics and Motor Control of Human Movement, fig. 4.1) and may point at the camera;
what lies lower belongs to another person."""


def share_inside(keypoints: Keypoints, mask: Mask, *, min_keypoint_score: float) -> float | None:
    """Return the share of confident keypoints inside the mask, dilated by `KEYPOINT_MARGIN`.

    The dilation is by a square, at least one pixel to each side. A keypoint lies in the pixel that is
    the floor of its position. Outside the image, or with a NaN position, it is outside the mask.
    None if no keypoint is confident; a NaN confidence is not.
    """
    confident = [np.floor((x, y)) for x, y, confidence in keypoints if confidence >= min_keypoint_score]
    if not confident:
        return None
    height, width = mask.size_hw
    left, top, w, h = (int(side) for side in mask.box_xywh)
    crop = mask.to_crop((left, top, w, h))
    margin = max(1, round(KEYPOINT_MARGIN * h))

    def is_inside(x: float, y: float) -> bool:
        x0, y0 = int(x) - left - margin, int(y) - top - margin
        window = crop[max(0, y0) : max(0, y0 + 2 * margin + 1), max(0, x0) : max(0, x0 + 2 * margin + 1)]
        return bool(window.any())

    in_image = [(x, y) for x, y in confident if 0 <= x < width and 0 <= y < height]
    return sum(is_inside(x, y) for x, y in in_image) / len(confident)


def foot_reach_px(mask: Mask, ankle_xy: tuple[float, float], body_height_px: float) -> float:
    """Return how far the mask extends below an ankle, in pixels; 0 if it does not.

    Measured to the lower edge of the lowest mask pixel within `FOOT_DEPTH` heights below the ankle's
    row and `FOOT_WINDOW` heights (at least one pixel) to both sides.
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
