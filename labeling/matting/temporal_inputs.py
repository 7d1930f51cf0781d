"""The person probability that the recurrent network refines, made from a segmenter's masks."""

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
STRIDE = 32
"""Sides of the network's images are multiples of this, padded by reflection."""
SIGMA_PX = 2.0
"""Blur of a mask's contour, at the network's size."""


def to_map(mask: NDArray[np.uint8]) -> FloatImage:
    """Return values of 0 to 255, HxW, as values in [0, 1]."""
    return np.asarray(mask, dtype=np.float32) / np.float32(255)


def soften(probability: FloatImage) -> FloatImage:
    """Return a map, HxW in [0, 1], with soft contours, as the network is given it."""
    return np.asarray(cv2.GaussianBlur(probability, (0, 0), SIGMA_PX), dtype=np.float32)
