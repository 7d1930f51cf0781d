"""The person probability that the recurrent network refines, made from a segmenter's masks."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
STRIDE = 32
"""Sides of the network's images are multiples of this, padded by reflection."""
SIGMA_PX = 2.0
"""Blur of a mask's contour, at the network's size."""


def to_probability(mask: NDArray[Any]) -> FloatImage:
    """Return a mask, HxW with values from 0 to 255, as a soft map in [0, 1]."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), SIGMA_PX)
    return np.asarray(soft / np.float32(255), dtype=np.float32)
