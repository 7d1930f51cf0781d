"""Metrics of a background plate against the true background: those of the SBMnet benchmark.

Jodoin, Maddalena, Petrosino, Wang: Extensive Benchmark and Survey of Modeling Methods for Scene Background Initialization,
IEEE TIP 2017. Images are HxWx3 uint8 RGB of equal size.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray

ERROR_LEVELS = 20
"""A pixel that differs by more gray levels is an error."""
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, full size first (Wang, Simoncelli, Bovik 2003)."""
_WINDOW_PX, _WINDOW_SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SMALLEST_SIDE_PX = _WINDOW_PX * 2 ** (len(MS_SSIM_WEIGHTS) - 1)
"""The smallest scale must hold one window."""
CQM_WEIGHTS = (0.9449, 0.0551)
"""Luma and color: the shares of rods and cones in the eye (Yalman and Erturk 2013)."""
_PEAK = 255.0

Gray = NDArray[np.float32]
"""HxW, 0 to 255."""


@dataclass(frozen=True, slots=True)
class PlateMetrics:
    """Differences of a plate from the true background. Gray is BT.601 luma of 8 bits."""

    age: float
    """Average gray-level error: mean absolute difference, 0 to 255."""
    peps: float
    """Share of error pixels: those that differ by more than `ERROR_LEVELS`."""
    pceps: float
    """Share of clustered error pixels: error pixels whose 4 neighbors in the image are all error pixels."""
    psnr_db: float | None
    """Peak signal-to-noise ratio of gray; None: no pixel differs."""
    ms_ssim: float | None
    """Multi-scale structural similarity of gray, at most 1; None: a side is shorter than `SMALLEST_SIDE_PX`."""
    cqm_db: float | None
    """Color image quality; None: luma or a color channel does not differ, so its PSNR is infinite."""


def plate_metrics(plate: RgbImage, background: RgbImage) -> PlateMetrics:
    """Compare a plate with the true background.

    >>> background = np.full((8, 8, 3), 100, np.uint8)
    >>> plate = background.copy()
    >>> plate[:3, :3] += 30  # of 9 error pixels, 4 have only error pixels around them
    >>> metrics = plate_metrics(plate, background)
    >>> metrics.age, metrics.peps, metrics.pceps
    (4.21875, 0.140625, 0.0625)
    """
    first, second = (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) for rgb in (plate, background))
    difference = np.abs(first - second)
    is_error = difference > ERROR_LEVELS
    return PlateMetrics(
        age=float(difference.mean(dtype=np.float64)),
        peps=float(is_error.mean()),
        pceps=float(_clustered(is_error).mean()),
        psnr_db=psnr_db(first, second),
        ms_ssim=ms_ssim(first, second),
        cqm_db=cqm_db(plate, background),
    )


def _clustered(is_error: BoolArray) -> BoolArray:
    """Erode by a cross; outside the image counts as error, as in MATLAB's `imerode`."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    eroded: BoolArray = cv2.erode(is_error.view(np.uint8), cross).astype(np.bool_)
    return eroded


def psnr_db(first: NDArray[np.float32], second: NDArray[np.float32]) -> float | None:
    """Return 10 log10(255^2 / MSE) of two arrays of levels; None if they are equal.

    >>> psnr_db(np.zeros((2, 2), np.float32), np.full((2, 2), 25.5, np.float32))
    20.0
    """
    mse = float(np.square(first - second, dtype=np.float64).mean())
    return 10 * math.log10(_PEAK**2 / mse) if mse else None


def cqm_db(plate: RgbImage, background: RgbImage) -> float | None:
    """Return .9449 PSNR(Y) + .0551 (PSNR(U) + PSNR(V)) / 2; None if one of them is infinite.

    The channels are those of the reversible color transform: Y = floor((R + 2 G + B) / 4), U = B - G, V = R - G
    (Yalman and Erturk, A new color image quality measure based on YUV transformation and PSNR for human vision
    system, 2013).
    """
    luma, *color = (psnr_db(*sides) for sides in zip(_to_yuv(plate), _to_yuv(background), strict=True))
    if luma is None or color[0] is None or color[1] is None:
        return None
    return CQM_WEIGHTS[0] * luma + CQM_WEIGHTS[1] * (color[0] + color[1]) / 2


def _to_yuv(rgb: RgbImage) -> tuple[Gray, Gray, Gray]:
    red, green, blue = (rgb[..., channel].astype(np.int16) for channel in range(3))
    luma, u, v = (red + 2 * green + blue) // 4, blue - green, red - green
    return luma.astype(np.float32), u.astype(np.float32), v.astype(np.float32)


def ms_ssim(first: Gray, second: Gray) -> float | None:
    """Return the multi-scale structural similarity of two gray images, at most 1.

    Wang, Simoncelli, Bovik: Multi-scale Structural Similarity for Image Quality Assessment, Asilomar 2003. Five scales,
    each the mean of 2x2 pixels of the one before; contrast and structure of all, luminance of the last; windows that
    lie within the image only; a negative mean counts as 0. None for images with a side below `SMALLEST_SIDE_PX`.
    """
    if min(first.shape) < SMALLEST_SIDE_PX:
        return None
    product = 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS, start=1):
        luminance, contrast = _similarity(first, second)
        similarity = luminance * contrast if scale == len(MS_SSIM_WEIGHTS) else contrast
        product *= max(0.0, float(similarity.mean())) ** weight
        first, second = _halve(first), _halve(second)
    return product


def _similarity(first: Gray, second: Gray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the luminance term, and the product of the contrast and structure terms, of each window."""
    one, other = first.astype(np.float64), second.astype(np.float64)
    mean_1, mean_2, square_1, square_2, both = (
        _window_means(image) for image in (one, other, one * one, other * other, one * other)
    )
    variance_1, variance_2, covariance = square_1 - mean_1**2, square_2 - mean_2**2, both - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + _C1) / (mean_1**2 + mean_2**2 + _C1)
    return luminance, (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)


def _window_means(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Gaussian means of the windows that lie within the image."""
    means = cv2.GaussianBlur(image, (_WINDOW_PX, _WINDOW_PX), _WINDOW_SIGMA)
    inside = slice(_WINDOW_PX // 2, -(_WINDOW_PX // 2))
    return np.asarray(means[inside, inside], dtype=np.float64)


def _halve(image: Gray) -> Gray:
    """Return the means of 2x2 pixels; an odd last row or column is left out."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)
