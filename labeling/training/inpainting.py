"""Backgrounds from images with people."""

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage

INPAINT_SIDE_PX = 360
INPAINT_MARGIN_PX = 9
INPAINT_RADIUS_PX = 5


def remove_people(rgb: RgbImage, inside: NDArray[np.bool_]) -> RgbImage:
    """Return a small image in which the pixels around are continued over people (Telea 2004)."""
    scale = min(1.0, INPAINT_SIDE_PX / max(rgb.shape[:2]))
    grown = cv2.dilate(inside.astype(np.uint8), np.ones((INPAINT_MARGIN_PX, INPAINT_MARGIN_PX), np.uint8))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    hole = cv2.resize(grown, small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.inpaint(small, hole, INPAINT_RADIUS_PX, cv2.INPAINT_TELEA), dtype=np.uint8)
