"""Dense optical flow with a forward-backward check."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import BoolArray

SMALLEST_PX = 48
"""Smallest shorter side of the images: OpenCV fails on strips of 12 pixels and crashes on some of 31."""
Flow = NDArray[np.float32]
"""HxWx2, pixels right and down."""


def backward_flow_with_consistency(now: NDArray[Any], before: NDArray[Any]) -> tuple[Flow, BoolArray]:
    """Return each pixel's position in the previous frame (HxWx2: x, y), and whether the flow is consistent.

    Consistent: following the flow back and forth ends near the start (Sundaram, Brox, Keutzer, ECCV
    2010, eq. 5), and the position lies within the image.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    pairs = (now, before), (before, now)
    back, forth = (search.calc(first, second, None) for first, second in pairs)  # type: ignore[call-overload]  # OpenCV's stub does not know None: no initial flow
    height, width = now.shape
    positions = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32) + back
    returned = bilinear_sample(forth, positions)
    error = ((back + returned) ** 2).sum(axis=2)
    length = (back**2).sum(axis=2) + (returned**2).sum(axis=2)
    inside = ((positions >= 0) & (positions <= (width - 1, height - 1))).all(axis=2)
    return positions, (error < 0.01 * length + 0.5) & inside


def bilinear_sample(image: NDArray[np.float32], positions: Flow) -> NDArray[np.float32]:
    """Return the image's bilinear values at positions (HxWx2); outside, those of its border."""
    x, y = positions[..., 0], positions[..., 1]
    sampled = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, dtype=np.float32)
