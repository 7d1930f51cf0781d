"""Masks as transparent layers, which a viewer shows over the image or hides."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, union_masks
from labeling.visualization.frames import BOTH, STUDENT, TEACHER, draw_contours
from labeling.visualization.text import Color

_FILL, _ONE_SIDE = 115, 215
"""Opacity of masks and of pixels in only one of two masks, 0 to 255."""

RgbaImage = NDArray[np.uint8]
"""HxWx4 uint8; color channels are not multiplied by the opacity."""


def mask_layer(instances: Sequence[Instance], size_hw: tuple[int, int], color: Color) -> RgbaImage:
    """Return masks as a translucent color with opaque outlines."""
    layer = np.zeros((*size_hw, 4), dtype=np.uint8)
    for instance in instances:
        pixels = instance.mask.to_array()
        layer[pixels] = (*color, _FILL)
        drawn = np.zeros((*size_hw, 3), dtype=np.uint8)
        draw_contours(drawn, pixels, color)
        outline = drawn.any(axis=2)
        layer[outline, :3] = drawn[outline]
        layer[outline, 3] = 255
    return layer


def difference_layer(
    teacher: Sequence[Instance], student: Sequence[Instance], size_hw: tuple[int, int]
) -> RgbaImage:
    """Return pixels of the teacher only in blue, of the student only in orange, of both in gray."""
    first, second = _union(teacher, size_hw), _union(student, size_hw)
    layer = np.zeros((*size_hw, 4), dtype=np.uint8)
    for pixels, color, opacity in (
        (first & second, BOTH, _FILL),
        (first & ~second, TEACHER, _ONE_SIDE),
        (second & ~first, STUDENT, _ONE_SIDE),
    ):
        layer[pixels] = (*color, opacity)
    return layer


def encode_layer(layer: RgbaImage) -> bytes:
    """Return a layer as PNG."""
    return cv2.imencode(".png", cv2.cvtColor(layer, cv2.COLOR_RGBA2BGRA))[1].tobytes()


def _union(instances: Sequence[Instance], size_hw: tuple[int, int]) -> BoolArray:
    return union_masks([instance.mask for instance in instances], size_hw).to_array()
