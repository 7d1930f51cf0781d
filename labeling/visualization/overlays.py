"""Brush strokes: tints, outlines and skeletons, in place on an RGB image.

Colors are Okabe and Ito's, which people with any common color blindness tell apart
(https://jfly.uni-koeln.de/color/). The teacher is blue throughout, the student orange; where color
fails, on paper for example, the student's outline is dashed.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage
from labeling.structures.instances import COCO_SKELETON, Keypoints
from labeling.structures.masks import BoolArray
from labeling.visualization.text import Color

TEACHER: Color = (86, 180, 233)
STUDENT: Color = (240, 150, 0)
BOTH: Color = (190, 194, 200)
PALETTE: tuple[Color, ...] = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0), (0, 114, 178),
)  # fmt: skip

KEYPOINT_FROM = 0.5
"""Confidence from which a keypoint is drawn."""

_HALO: Color = (12, 14, 18)
_KEYPOINT: Color = (240, 228, 66)
_LIMB: Color = (255, 255, 255)
_SHORTER_SIDE_PER_LINE_PX = 480
"""Lines get one pixel wider per so many pixels of the image's shorter side."""


def blend_mask(drawn: RgbImage, pixels: BoolArray, color: Color, *, opacity: float) -> None:
    """Mix a color into the pixels of a mask, in place."""
    if opacity <= 0 or not pixels.any():
        return
    old = drawn[pixels].astype(np.float32)
    drawn[pixels] = np.round(old + (np.array(color, dtype=np.float32) - old) * opacity).astype(np.uint8)


def draw_contours(drawn: RgbImage, pixels: BoolArray, color: Color, *, dashed: bool = False) -> None:
    """Draw the borders of a mask, holes too, in place: the color on a dark halo."""
    found = cv2.findContours(pixels.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
    lines = [np.asarray(contour, dtype=np.int32) for contour in found]
    width = line_px(drawn)
    dash = 6 * width if dashed else 0
    for line_color, thickness in ((_HALO, width + 2), (color, width)):
        for line in lines:
            _draw_closed(drawn, line, line_color, thickness=thickness, dash=dash)


def line_px(rgb: RgbImage) -> int:
    """Width of lines on this image: 2 pixels, more on big ones."""
    return max(2, round(min(rgb.shape[:2]) / _SHORTER_SIDE_PER_LINE_PX))


def draw_skeleton(drawn: RgbImage, keypoints: Keypoints) -> None:
    """Limbs between confident joints, dots on them, in place."""
    seen = {
        number: (round(x), round(y))
        for number, (x, y, confidence) in enumerate(keypoints, start=1)
        if confidence >= KEYPOINT_FROM
    }
    width = line_px(drawn)
    for first, second in COCO_SKELETON:
        if first in seen and second in seen:
            cv2.line(drawn, seen[first], seen[second], _HALO, width + 2, cv2.LINE_AA)
            cv2.line(drawn, seen[first], seen[second], _LIMB, width, cv2.LINE_AA)
    for point in seen.values():
        cv2.circle(drawn, point, 2 * width + 1, _HALO, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(drawn, point, 2 * width, _KEYPOINT, cv2.FILLED, cv2.LINE_AA)


def _draw_closed(
    drawn: RgbImage, line: NDArray[np.int32], color: Color, *, thickness: int, dash: int
) -> None:
    """Draw a closed line, whole or in dashes and gaps of `dash` points."""
    if not dash or len(line) < 2 * dash:
        cv2.polylines(drawn, [line], True, color, thickness, cv2.LINE_AA)
        return
    for start in range(0, len(line), 2 * dash):
        cv2.polylines(drawn, [line[start : start + dash]], False, color, thickness, cv2.LINE_AA)
