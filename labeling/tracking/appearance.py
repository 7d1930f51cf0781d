"""Colors of a person, as histograms that are compared between frames."""

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage
from labeling.tracking.crops import MaskCrop

Histogram = NDArray[np.float32]
"""Shares of a person's pixels per color bin, (`PARTS` x `BINS`,); the sum is 1."""
PARTS = 2
"""Upper and lower half of the mask's box."""
BINS = 6**3
"""Bins of lightness, green-red and blue-yellow (CIE Lab)."""
_ROWS = 48
"""Rows of a crop from which the histogram is computed; larger crops are sampled."""
_COLOR_SPAN = 64
"""Largest distance from gray in a color axis that has a bin of its own, 0 to 127."""


def describe_colors(rgb: RgbImage, crop: MaskCrop) -> Histogram:
    """Return the histogram of a mask's pixels; all zeros for an empty mask.

    >>> rgb = np.full((4, 4, 3), 200, dtype=np.uint8)
    >>> float(describe_colors(rgb, MaskCrop(0, 0, np.ones((4, 4), dtype=np.bool_), 16)).sum())
    1.0
    """
    height, width = crop.pixels.shape
    step = max(1, height // _ROWS)
    inside = crop.pixels[::step, ::step]
    if not inside.any():
        return np.zeros(PARTS * BINS, dtype=np.float32)
    region = rgb[crop.top : crop.top + height : step, crop.left : crop.left + width : step]
    lab = cv2.cvtColor(region[inside][None], cv2.COLOR_RGB2LAB)[0].astype(np.int32)
    light = lab[:, 0] * 6 // 256
    tint = np.clip((lab[:, 1:] - 128 + _COLOR_SPAN) * 6 // (2 * _COLOR_SPAN), 0, 5)
    is_lower = np.nonzero(inside)[0] >= inside.shape[0] / 2
    bins = ((is_lower * 6 + light) * 6 + tint[:, 0]) * 6 + tint[:, 1]
    counts = np.bincount(bins, minlength=PARTS * BINS)
    return np.asarray(counts / counts.sum(), dtype=np.float32)
