"""Masks blended and outlined on an RGB image, in place.

Colors are Okabe and Ito's, which people with any common color blindness can distinguish
(https://jfly.uni-koeln.de/color/). The teacher is always blue and the student orange. The student's outline can be
dashed for images without color, on paper for example.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray
from labeling.visualization.text import Color

TEACHER: Color = (86, 180, 233)
STUDENT: Color = (240, 150, 0)
BOTH: Color = (190, 194, 200)

_HALO: Color = (12, 14, 18)
_SHORTER_SIDE_PER_LINE_PX = 480
"""Lines get one pixel wider per this many pixels of the image's shorter side."""


def blend_mask(drawn: RgbImage, pixels: BoolArray, color: Color, *, opacity: float) -> None:
    """Blend a color into the pixels of a mask, in place."""
    if opacity <= 0 or not pixels.any():
        return
    old = drawn[pixels].astype(np.float32)
    drawn[pixels] = np.round(old + (np.array(color, dtype=np.float32) - old) * opacity).astype(np.uint8)


def draw_contours(drawn: RgbImage, pixels: BoolArray, color: Color, *, dashed: bool = False) -> None:
    """Draw the contours of a mask, those of holes included, in place: the color on a dark halo."""
    found = cv2.findContours(pixels.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
    lines = [np.asarray(contour, dtype=np.int32) for contour in found]
    width = max(2, round(min(drawn.shape[:2]) / _SHORTER_SIDE_PER_LINE_PX))
    dash = 6 * width if dashed else 0
    for line_color, thickness in ((_HALO, width + 2), (color, width)):
        for line in lines:
            _draw_closed(drawn, line, line_color, thickness=thickness, dash=dash)


def _draw_closed(
    drawn: RgbImage, line: NDArray[np.int32], color: Color, *, thickness: int, dash: int
) -> None:
    """Draw a closed line, solid or in dashes and gaps of `dash` points."""
    if not dash or len(line) < 2 * dash:
        cv2.polylines(drawn, [line], True, color, thickness, cv2.LINE_AA)
        return
    for start in range(0, len(line), 2 * dash):
        cv2.polylines(drawn, [line[start : start + dash]], False, color, thickness, cv2.LINE_AA)
