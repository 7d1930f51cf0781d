"""Where an image looks like shadow on the plate."""

import numpy as np
from numpy.typing import NDArray

from labeling.background.subtraction import SHADOW_BRIGHTNESS
from labeling.structures.frames import RgbImage

SHADOW_TINT = 0.1
"""Largest difference of that share between channels."""


def looks_like_shadow(image: RgbImage, plate: RgbImage) -> NDArray[np.bool_]:
    """Return where the image is the plate darkened equally in all channels, HxW.

    >>> plate = np.full((1, 3, 3), 100, dtype=np.uint8)
    >>> image = np.array([[[70, 70, 70], [70, 40, 90], [100, 100, 100]]], dtype=np.uint8)
    >>> looks_like_shadow(image, plate).tolist()
    [[True, False, False]]
    """
    ratio = image.astype(np.float32) / np.maximum(plate, 1)
    darkest, brightest = ratio.min(axis=2), ratio.max(axis=2)
    low, high = SHADOW_BRIGHTNESS
    is_shadow: NDArray[np.bool_] = (darkest > low) & (brightest < high) & (brightest - darkest < SHADOW_TINT)
    return is_shadow
