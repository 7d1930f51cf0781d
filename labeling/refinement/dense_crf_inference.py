"""Mean-field inference in a fully connected CRF with two labels (Kraehenbuehl and Koltun, NIPS 2011).

The energy of pixels i, j with positions p and colors I has the unary -log p(i), and for different labels

    w1 exp(-|pi - pj|^2 / 2 sa^2 - |Ii - Ij|^2 / 2 sb^2) + w2 exp(-|pi - pj|^2 / 2 sg^2)

Each kernel is divided by the square roots of its sums at both pixels, as the authors' code does: without
that, the weights would depend on the size of the image. A pixel sends no message to itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage

FloatImage = NDArray[np.float32]
PROBABILITY_RANGE = (1e-4, 1 - 1e-4)
MAX_EXACT_PX = 64 * 64
"""Largest image of the exact method: its matrix has as many rows and columns as the image has pixels."""


@dataclass(frozen=True, slots=True)
class CrfConstants:
    """Weights, standard deviations in pixels and in color levels, and iterations."""

    appearance_weight: float = 10.0
    appearance_sigma_px: float = 80.0
    color_sigma: float = 13.0
    smoothness_weight: float = 3.0
    smoothness_sigma_px: float = 3.0
    iterations: int = 5


@dataclass(frozen=True, slots=True)
class Window:
    """Neighbors of a pixel: every `dilation`-th in both directions, up to `radius_px` away."""

    radius_px: int
    dilation: int = 1

    def half(self) -> Iterator[tuple[int, int]]:
        """Yield one offset (down, right) of each pair of opposite ones."""
        count = self.radius_px // self.dilation
        multiples = [step * self.dilation for step in range(-count, count + 1)]
        for down in multiples:
            for right in multiples:
                if (down, right) > (0, 0):  # the opposite offset is the same pair
                    yield down, right


def refine_exactly(rgb: RgbImage, probability: FloatImage, constants: CrfConstants) -> FloatImage:
    """Return the probability after mean-field iterations over all pairs of pixels, HxW.

    Raises:
        ValueError: the image has more than 64 x 64 pixels.
    """
    height, width = probability.shape
    if height * width > MAX_EXACT_PX:
        raise ValueError(f"the exact CRF takes at most {MAX_EXACT_PX} pixels, not {height * width}")
    rows, columns = np.mgrid[0:height, 0:width].reshape(2, -1).astype(np.float64)
    distance2 = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    colors = rgb.reshape(-1, 3).astype(np.float64)
    squares = (colors**2).sum(axis=1)
    color2 = squares[:, None] + squares - 2 * colors @ colors.T
    appearance = np.exp(
        -distance2 / (2 * constants.appearance_sigma_px**2) - color2 / (2 * constants.color_sigma**2)
    )
    smoothness = np.exp(-distance2 / (2 * constants.smoothness_sigma_px**2))
    pairwise = np.zeros_like(distance2)
    for weight, kernel in (
        (constants.appearance_weight, appearance),
        (constants.smoothness_weight, smoothness),
    ):
        np.fill_diagonal(kernel, 0)
        root = np.sqrt(np.maximum(kernel.sum(axis=1), 1e-12))
        pairwise += weight * kernel / root[:, None] / root
    unary = _logit(probability).ravel()
    belief = unary
    for _ in range(constants.iterations):
        belief = unary + pairwise @ np.tanh(belief / 2)
    return _sigmoid(belief.reshape(height, width))


def refine_in_window(
    rgb: RgbImage, probability: FloatImage, constants: CrfConstants, window: Window
) -> FloatImage:
    """Return the probability after mean-field iterations, HxW; the appearance kernel is sampled in a window.

    The smoothness kernel is a Gaussian of the position alone and is applied exactly. With a dilation of 1 and
    a radius of the image's side, the result equals that of `refine_exactly`; a dilation of d samples one in
    d * d neighbors, and the normalization makes up for the others.
    """
    appearance = _AppearanceKernel(rgb, constants, window)
    smoothness = _SmoothnessKernel(probability.shape, constants.smoothness_sigma_px)
    unary = _logit(probability).astype(np.float32)
    belief = unary
    for _ in range(constants.iterations):
        sign = np.tanh(belief / 2)
        belief = (
            unary
            + constants.appearance_weight * appearance.apply(sign)
            + constants.smoothness_weight * smoothness.apply(sign)
        )
    return _sigmoid(belief)


class _AppearanceKernel:
    """exp(-position - color) between each pixel and its neighbors, normalized; computed once."""

    def __init__(self, rgb: RgbImage, constants: CrfConstants, window: Window) -> None:
        colors = rgb.astype(np.float32)
        self._shape = colors.shape[:2]
        self._weights = [
            (offset, weight)
            for offset in window.half()
            if (weight := self._weigh(colors, offset, constants)) is not None
        ]
        sums = self._sum(np.ones(self._shape, dtype=np.float32))
        self._root = 1 / np.sqrt(np.maximum(sums, np.float32(1e-12)))

    def _weigh(
        self, colors: FloatImage, offset: tuple[int, int], constants: CrfConstants
    ) -> FloatImage | None:
        here, there = _overlap(self._shape, offset)
        difference = colors[here] - colors[there]
        if not difference.size:
            return None
        distance2 = float(offset[0] ** 2 + offset[1] ** 2)
        exponent = np.einsum("hwc,hwc->hw", difference, difference) / np.float32(2 * constants.color_sigma**2)
        exponent += np.float32(distance2 / (2 * constants.appearance_sigma_px**2))
        return np.asarray(np.exp(-exponent), dtype=np.float32)

    def apply(self, values: FloatImage) -> FloatImage:
        return np.asarray(self._root * self._sum(values * self._root), dtype=np.float32)

    def _sum(self, values: FloatImage) -> FloatImage:
        total = np.zeros(self._shape, dtype=np.float32)
        for offset, weight in self._weights:
            here, there = _overlap(self._shape, offset)
            total[here] += weight * values[there]
            total[there] += weight * values[here]
        return total


class _SmoothnessKernel:
    """exp(-position) between all pixels, normalized: a separable filter."""

    def __init__(self, shape: tuple[int, ...], sigma_px: float) -> None:
        reach = min(int(np.ceil(6 * sigma_px)), max(shape))
        steps = np.arange(-reach, reach + 1)
        self._taps = np.exp(-(steps**2) / (2 * sigma_px**2)).astype(np.float32)
        self._root = np.float32(1)
        sums = self._sum(np.ones(shape, dtype=np.float32))
        self._root = 1 / np.sqrt(np.maximum(sums, np.float32(1e-12)))

    def apply(self, values: FloatImage) -> FloatImage:
        return np.asarray(self._root * self._sum(values * self._root), dtype=np.float32)

    def _sum(self, values: FloatImage) -> FloatImage:
        filtered = cv2.sepFilter2D(values, cv2.CV_32F, self._taps, self._taps, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(filtered - values, dtype=np.float32)


def _overlap(
    shape: tuple[int, ...], offset: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the pixels with a neighbor at the offset, and these neighbors."""
    pairs = [_overlap_1d(side, step) for side, step in zip(shape, offset, strict=True)]
    return (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1])


def _overlap_1d(side: int, step: int) -> tuple[slice, slice]:
    if step >= 0:
        return slice(0, max(0, side - step)), slice(min(step, side), side)
    there, here = _overlap_1d(side, -step)
    return here, there


def _logit(probability: FloatImage) -> NDArray[np.float64]:
    clipped = np.clip(probability.astype(np.float64), *PROBABILITY_RANGE)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _sigmoid(belief: NDArray[np.floating]) -> FloatImage:
    return np.asarray((np.tanh(belief / 2) + 1) / 2, dtype=np.float32)
