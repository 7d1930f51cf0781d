"""Changes of brightness between two images of one static scene."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage

PerChannel = NDArray[np.float32]
"""Shape (3,), red, green and blue."""

USABLE_RANGE = (16, 245)
"""Levels used to compare brightness: lower ones are noise, higher ones saturated."""
GAIN_LIMITS = (0.5, 2.0)
"""A larger change of brightness is another scene."""
FIT_PIXELS = 4096
"""Pixels of a fit, spread over the image: their noise then changes the gain by less than 0.001."""
MIN_FIT_PIXELS = 16
"""Fewer usable pixels give no fit."""
CANDIDATES = 200
"""Lines through two random pixels. With 40 % outliers, 72 of them are expected to pass through two inliers."""
SCORED_PIXELS = 1024
"""Pixels on which each candidate is scored."""
MIN_LEVELS_APART = 8
"""Two pixels closer than this in brightness do not define a line."""
INLIER_SIGMAS = 2.5
MIN_INLIER_LEVELS = 1.5
"""Rounding to levels alone gives residuals up to this."""
SIGMA_OF_MEDIAN = 1.4826
"""Standard deviation of a normal distribution over the median of its absolute values."""


def brightness_gain(rgb: RgbImage, reference: NDArray[Any]) -> PerChannel:
    """Return per channel the factor by which the image is brighter than the reference.

    This is the median ratio over pixels that are neither black nor saturated, correct while people and
    other changes cover less than half of the image, limited to `GAIN_LIMITS`.
    """
    image, base = (p[::4, ::4].astype(np.float32).reshape(-1, 3) for p in (rgb, reference))
    dark, bright = USABLE_RANGE
    usable = ((base > dark) & (base < bright) & (image > dark / 2) & (image < bright)).all(axis=1)
    if not usable.any():
        return np.ones(3, dtype=np.float32)
    gain = np.median(image[usable] / base[usable], axis=0)
    return np.asarray(np.clip(gain, *GAIN_LIMITS), dtype=np.float32)


def fit_gain_bias(
    rgb: RgbImage, plate_rgb: RgbImage, exclude: NDArray[np.bool_] | None = None
) -> tuple[PerChannel, PerChannel]:
    """Fit `rgb = gain * plate_rgb + bias` per channel, over the pixels outside `exclude` (HxW).

    The line with the least median of absolute residuals is found first (Rousseeuw and Leroy 1987), then
    least squares over its inliers; it is correct while less than half of the pixels show something else.
    The gain is limited to `GAIN_LIMITS`. Too few usable pixels give gain 1 and bias 0.

    >>> plate = np.tile(np.arange(20, 100, dtype=np.uint8)[:, None, None], (1, 80, 3))
    >>> gain, bias = fit_gain_bias(2 * plate + 6, plate)
    >>> gain.round(3).tolist(), bias.round(2).tolist()
    ([2.0, 2.0, 2.0], [6.0, 6.0, 6.0])
    """
    image, base = _spread_pixels(rgb, plate_rgb, exclude)
    fits = [_fit_channel(base[:, channel], image[:, channel]) for channel in range(3)]
    gain, bias = np.array(fits, dtype=np.float32).T
    return gain, bias


def relight(plate_rgb: RgbImage, gain: PerChannel, bias: PerChannel | float = 0.0) -> RgbImage:
    """Return `gain * plate_rgb + bias`, rounded and limited to 0 to 255."""
    levels = np.clip(np.arange(256)[:, None] * gain + bias + 0.5, 0, 255).astype(np.uint8)
    return cv2.LUT(plate_rgb, levels[None]).astype(np.uint8)


def _spread_pixels(
    rgb: RgbImage, plate_rgb: RgbImage, exclude: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return up to four times `FIT_PIXELS` pixels of both images, Nx3, spread over what is not excluded."""
    step = max(1, int(np.sqrt(rgb.shape[0] * rgb.shape[1] / (4 * FIT_PIXELS))))
    image, base = (p[::step, ::step].reshape(-1, 3).astype(np.float64) for p in (rgb, plate_rgb))
    if exclude is None:
        return image, base
    kept = ~exclude[::step, ::step].ravel()
    return image[kept], base[kept]


def _fit_channel(base: NDArray[np.float64], image: NDArray[np.float64]) -> tuple[float, float]:
    dark, bright = USABLE_RANGE
    usable = np.flatnonzero((base > dark) & (base < bright) & (image > dark / 2) & (image < bright))
    if len(usable) < MIN_FIT_PIXELS:
        return 1.0, 0.0
    chosen = usable[np.linspace(0, len(usable) - 1, min(FIT_PIXELS, len(usable))).astype(int)]
    x, y = base[chosen], image[chosen]
    gain, bias = _least_median_line(x, y)
    for _ in range(3):
        residual = np.abs(y - gain * x - bias)
        inlier = residual <= max(
            MIN_INLIER_LEVELS, INLIER_SIGMAS * SIGMA_OF_MEDIAN * float(np.median(residual))
        )
        gain, bias = _least_squares_line(x[inlier], y[inlier], gain)
    return gain, bias


def _least_median_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return the candidate line with the least median of absolute residuals; no change is the first one."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, len(x), (2, CANDIDATES))
    apart = np.abs(x[second] - x[first]) >= MIN_LEVELS_APART
    first, second = first[apart], second[apart]
    gains = (y[second] - y[first]) / (x[second] - x[first])
    within = (gains >= GAIN_LIMITS[0]) & (gains <= GAIN_LIMITS[1])
    gains, first = gains[within], first[within]
    ratio = float(np.clip(np.median(y / x), *GAIN_LIMITS))
    lines = np.column_stack([gains, y[first] - gains * x[first]])
    lines = np.vstack([[1.0, 0.0], [ratio, 0.0], lines])
    scored = np.linspace(0, len(x) - 1, min(SCORED_PIXELS, len(x))).astype(int)
    residuals = np.abs(y[scored] - lines[:, :1] * x[scored] - lines[:, 1:])
    gain, bias = lines[int(np.argmin(np.median(residuals, axis=1)))]
    return float(gain), float(bias)


def _least_squares_line(x: NDArray[np.float64], y: NDArray[np.float64], gain: float) -> tuple[float, float]:
    """Fit a line; pixels of one brightness define only its bias, at the `gain` given."""
    apart = x - x.mean()
    spread = float(apart @ apart)
    if spread > len(x):  # a standard deviation of one level
        gain = float(np.clip(apart @ y / spread, *GAIN_LIMITS))
    return gain, float(y.mean() - gain * x.mean())
