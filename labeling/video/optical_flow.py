"""Dense optical flow with a forward-backward check."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import BoolArray

Flow = NDArray[np.float32]
"""HxWx2, pixels right and down."""


def backward_flow_with_consistency(now: NDArray[Any], before: NDArray[Any]) -> tuple[Flow, BoolArray]:
    """Where each pixel was before (HxWx2, x and y), and whether the way there leads back."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    back, forth = (search.calc(one, other, None) for one, other in ((now, before), (before, now)))  # type: ignore[call-overload]  # OpenCV's stub knows no None: there is no flow to begin with
    height, width = now.shape
    places = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32) + back
    returned = bilinear_sample(forth, places)
    lost = ((back + returned) ** 2).sum(axis=2)
    length = (back**2).sum(axis=2) + (returned**2).sum(axis=2)
    inside = ((places >= 0) & (places <= (width - 1, height - 1))).all(axis=2)
    return places, (lost < 0.01 * length + 0.5) & inside


def bilinear_sample(image: NDArray[np.float32], places: Flow) -> NDArray[np.float32]:
    """The image's values at places (HxWx2), bilinear; its border's outside of it."""
    x, y = places[..., 0], places[..., 1]
    taken = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(taken, dtype=np.float32)
