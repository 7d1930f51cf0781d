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

from labeling.video.optical_flow import Flow, backward_flow_with_consistency, bilinear_sample

FloatMap = NDArray[np.float32]
PHOTOMETRIC_SIGMA = 0.05
"""Standard deviation of the photometric error, with luma from 0 to 1 (the paper's)."""


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
    error = (bilinear_sample(neighbor.astype(np.float32), positions) - now) / np.float32(255)
    in_time = math.exp(-(dt_s**2) / (2 * sigma_s**2))
    weights = is_consistent * in_time * np.exp(-(error**2) / np.float32(2 * PHOTOMETRIC_SIGMA**2))
    return Link(enlarge_positions(positions, size_hw), _resize(weights.astype(np.float32), size_hw))


def average_maps(own: FloatMap, others: Sequence[tuple[FloatMap, Link]]) -> FloatMap:
    """Return the weighted mean of a map (HxW, weight 1) and of its neighbors' maps, moved here.

    >>> still = np.dstack(np.meshgrid(np.arange(2), np.arange(1))).astype(np.float32)
    >>> link = Link(still, np.array([[1.0, 0.0]], np.float32))
    >>> average_maps(np.array([[1.0, 1.0]], np.float32), [(np.zeros((1, 2), np.float32), link)]).tolist()
    [[0.5, 1.0]]
    """
    total, weight = own.copy(), np.ones_like(own)
    for values, link in others:
        total += link.weights * bilinear_sample(values, link.positions)
        weight += link.weights
    return np.asarray(total / weight, dtype=np.float32)


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
