"""Averages of maps over time, along optical flow.

P~_t(x) = sum_k w_k P_{t+k}(x + f_k) / sum_k w_k, with w_k the product of a Gaussian of the time between the frames, of
the forward-backward check of the flow f_k (0 or 1), and of exp(-e^2 / (2 s^2)) of the photometric error e
(Molodetskikh et al. 2022, smoothing of the segmentation).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import BoolArray
from labeling.video.optical_flow import Flow, backward_flow_with_consistency, photometric_weight

FloatMap = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """The way from a frame to a neighbor: where each pixel is there (HxWx2), and its weight (HxW)."""

    positions: Flow
    weights: FloatMap


def link_frames(
    now: NDArray[Any], neighbor: NDArray[Any], *, dt_s: float, sigma_s: float, size_hw: tuple[int, int]
) -> Link:
    """Return the way from a frame to a neighbor, in the size of the masks.

    `now` and `neighbor` are luma of the same size, 8 bits, at least `SMALLEST_PX` on each side.
    """
    positions, is_consistent = backward_flow_with_consistency(now, neighbor)
    in_time = math.exp(-(dt_s**2) / (2 * sigma_s**2))
    weights = is_consistent * in_time * photometric_weight(now, neighbor, positions)
    return Link(enlarge_positions(positions, size_hw), _resize(weights.astype(np.float32), size_hw))


def average_maps(own: FloatMap, others: Sequence[tuple[FloatMap, FloatMap]]) -> FloatMap:
    """Return the weighted mean of a map (HxW, weight 1) and of its neighbors' maps, moved here, with their weights.

    >>> own, other = np.array([[1.0, 1.0]], np.float32), np.zeros((1, 2), np.float32)
    >>> average_maps(own, [(other, np.array([[1.0, 0.0]], np.float32))]).tolist()
    [[0.5, 1.0]]
    """
    total, weight = own.copy(), np.ones_like(own)
    for values, weights in others:
        total += weights * values
        weight += weights
    return np.asarray(total / weight, dtype=np.float32)


def contour_ramp(pixels: BoolArray, *, half_px: float) -> FloatMap:
    """Return a map that rises from 0 to 1 across a mask's contour, over `half_px` on each side; 0.5 is the contour.

    The mean of such maps has its contour at the mean of theirs, where the mean of masks has it at their median.

    >>> contour_ramp(np.array([[False, False, True, True]]), half_px=1.0).tolist()
    [[0.0, 0.25, 0.75, 1.0]]
    """
    ramp = pixels.astype(np.float32)
    if not pixels.any():
        return ramp
    part = _around(pixels, math.ceil(half_px) + 1)
    inside = pixels[part].astype(np.uint8)
    # distances are to the center of the nearest pixel of the other side: half a pixel beyond the contour
    depth = _distance(inside) - _distance(1 - inside)
    depth -= np.float32(0.5) * np.sign(depth)
    ramp[part] = np.clip(0.5 + depth / np.float32(2 * max(half_px, 0.5)), 0, 1)
    return ramp


def _distance(pixels: NDArray[np.uint8]) -> FloatMap:
    """Return the distance of each pixel to the next 0; far away if there is none."""
    return np.asarray(cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_5), dtype=np.float32)


def _around(pixels: BoolArray, margin_px: int) -> tuple[slice, slice]:
    """Return the rows and columns of a mask's box and a margin."""
    spans = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(max(0, int(at[0]) - margin_px), int(at[-1]) + margin_px + 1) for at in spans)
    return rows, columns


def enlarge_positions(positions: Flow, size_hw: tuple[int, int]) -> Flow:
    """Scale where each pixel is, HxWx2, to another image size."""
    height, width = positions.shape[:2]
    if (height, width) == size_hw:
        return positions
    scale = np.array([size_hw[1] / width, size_hw[0] / height], dtype=np.float32)
    grid = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    motion = cv2.resize(positions - grid, size_hw[::-1], interpolation=cv2.INTER_LINEAR) * scale
    full = np.dstack(np.meshgrid(np.arange(size_hw[1]), np.arange(size_hw[0]))).astype(np.float32)
    return np.asarray(full + motion, dtype=np.float32)


def _resize(values: FloatMap, size_hw: tuple[int, int]) -> FloatMap:
    if values.shape == size_hw:
        return values
    return np.asarray(cv2.resize(values, size_hw[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)
