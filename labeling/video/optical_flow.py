"""Dense optical flow with a forward-backward check."""

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import BoolArray

SMALLEST_PX = 48
"""Smallest shorter side of the images: OpenCV fails on strips of 12 pixels and crashes on some of 31."""
PHOTOMETRIC_SIGMA = 0.05
"""Standard deviation of the photometric error, with luma from 0 to 1 (Molodetskikh et al., 2022)."""
Flow = NDArray[np.float32]
"""HxWx2, pixels right and down."""
Preset = Literal["fast", "medium"]
"""Of dense inverse search (Kroeger et al., ECCV 2016): `medium` is slower and more exact."""
_PRESETS: dict[Preset, int] = {
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


def backward_flow_with_consistency(
    now: NDArray[Any], before: NDArray[Any], *, preset: Preset = "fast"
) -> tuple[Flow, BoolArray]:
    """Return each pixel's position in the previous frame (HxWx2: x, y), and whether the flow is consistent."""
    return follow_flow(now, before, preset=preset)


def follow_flow(start: NDArray[Any], end: NDArray[Any], *, preset: Preset = "fast") -> tuple[Flow, BoolArray]:
    """Return the position in `end` of each pixel of `start` (HxWx2: x, y), and whether the flow is consistent.

    Consistent: following the flow there and back ends near the start (Sundaram, Brox, Keutzer, ECCV
    2010, eq. 5), and the position lies within the image. Images are HxW, 8 bits, of one size.

    >>> image = np.random.default_rng(1).integers(0, 255, (64, 64), dtype=np.uint8)
    >>> positions, is_consistent = follow_flow(image, image)
    >>> bool(is_consistent.all()), positions[20, 30].round(1)
    (True, array([30., 20.], dtype=float32))
    """
    there, back = _find_flows(start, end, preset)
    return _check_flow(there, back)


def follow_both_ways(
    first: NDArray[Any], second: NDArray[Any], *, preset: Preset = "fast"
) -> tuple[tuple[Flow, BoolArray], tuple[Flow, BoolArray]]:
    """Return what `follow_flow` does, from the first image to the second and from the second to the first."""
    there, back = _find_flows(first, second, preset)
    return _check_flow(there, back), _check_flow(back, there)


def _find_flows(start: NDArray[Any], end: NDArray[Any], preset: Preset) -> tuple[Flow, Flow]:
    search = cv2.DISOpticalFlow.create(_PRESETS[preset])
    pairs = (start, end), (end, start)
    there, back = (search.calc(first, second, None) for first, second in pairs)  # type: ignore[call-overload]  # OpenCV's stub does not know None: no initial flow
    return there, back


def _check_flow(there: Flow, back: Flow) -> tuple[Flow, BoolArray]:
    height, width = there.shape[:2]
    positions = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32) + there
    returned = bilinear_sample(back, positions)
    error = ((there + returned) ** 2).sum(axis=2)
    length = (there**2).sum(axis=2) + (returned**2).sum(axis=2)
    inside = ((positions >= 0) & (positions <= (width - 1, height - 1))).all(axis=2)
    return positions, (error < 0.01 * length + 0.5) & inside


def photometric_weight(
    now: NDArray[np.uint8], other: NDArray[np.uint8], positions: Flow
) -> NDArray[np.float32]:
    """Return exp(-e^2 / (2 s^2)), HxW, with e the difference in luma, of 0 to 1, between a pixel and its place in another image."""
    error = (bilinear_sample(other.astype(np.float32), positions) - now) / np.float32(255)
    return np.asarray(np.exp(-(error**2) / np.float32(2 * PHOTOMETRIC_SIGMA**2)), dtype=np.float32)


def bilinear_sample(image: NDArray[np.float32], positions: Flow) -> NDArray[np.float32]:
    """Return the image's bilinear values at positions (HxWx2); outside, those of its border."""
    x, y = positions[..., 0], positions[..., 1]
    sampled = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, dtype=np.float32)
