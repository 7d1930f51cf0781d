"""The difference of a frame from the background plate of a static camera."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.background.illumination import brightness_gain
from labeling.background.plate import FloatImage, Plate, color_distance, disc_kernel, open_mask
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray

NOISE_SIGMAS = 5.0
"""A pixel is foreground from this many standard deviations of its own noise, or `min_difference`."""
SHADOW_BRIGHTNESS = (0.4, 0.95)
"""A cast shadow keeps this share of the background's brightness (Horprasert 1999, alpha)."""
SHADOW_CHROMA = 12.0
"""Largest distance from the darkened background color (Horprasert 1999, CD), 0 to 441."""
FILL_SHARE = 0.5
"""A hole is filled if more than this share of it differs from the background: the shadow rule cut it."""
MAX_RATIO = 10.0
"""Color distances are capped at this many thresholds in a score."""


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Difference of one image from the background."""

    foreground: BoolArray
    """HxW."""
    ratio: FloatImage
    """HxW: color distance over the threshold of the pixel."""


def subtract_plate(rgb: RgbImage, plate: Plate, *, min_difference: float) -> Change:
    """Compare an HxWx3 image with a plate of the same size; shadows are removed."""
    smooth = _smooth(rgb)
    # saturated like a sensor
    background = _smooth(np.minimum(plate.rgb * brightness_gain(rgb, plate.rgb), 255))
    ratio = color_distance(smooth, background) / np.maximum(min_difference, NOISE_SIGMAS * plate.noise)
    shadow = find_shadow(smooth, background)
    return Change((ratio > 1) & ~shadow, ratio)


def _smooth(rgb: NDArray[Any]) -> FloatImage:
    return cv2.GaussianBlur(rgb, (3, 3), 0).astype(np.float32)


def find_shadow(rgb: FloatImage, background: FloatImage) -> BoolArray:
    """Return the pixels that are darkened background (Horprasert, Harwood, Davis 1999, eq. 5 and 6).

    alpha = <I, E> / <E, E> is the remaining brightness, CD = |I - alpha E| the change of color.
    """
    energy = np.einsum("hwc,hwc->hw", background, background)
    alpha = np.einsum("hwc,hwc->hw", rgb, background) / np.maximum(energy, 1.0)
    chroma = color_distance(rgb, alpha[..., None] * background)
    low, high = SHADOW_BRIGHTNESS
    shadow: BoolArray = (alpha > low) & (alpha < high) & (chroma < SHADOW_CHROMA)
    return shadow


def clean_mask(change: Change, *, close_px: int) -> BoolArray:
    """Remove specks, close gaps up to `close_px` wide and fill false holes.

    A hole that shows the background (between arm and body) stays. A hole that mostly differs from the
    background (cut by the shadow rule), or is smaller than the closed gaps, is filled.
    """
    closed = cv2.morphologyEx(open_mask(change.foreground), cv2.MORPH_CLOSE, disc_kernel(close_px | 1))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - closed, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    changed = np.bincount(labels.ravel(), weights=(change.ratio > 1).ravel(), minlength=count)
    fill = (changed > FILL_SHARE * areas) | (areas < close_px**2)
    fill[np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))] = False
    cleaned: BoolArray = (closed > 0) | fill[labels]
    return cleaned


def score_component(component: BoolArray, ratio: FloatImage) -> float:
    """Return max(0, 1 - exp(1 - m)), with m the mean ratio of color distance to threshold.

    0.63 at twice the threshold, 0.86 at three times: a spot of light scores low, a person high.
    """
    above = float(np.minimum(ratio[component], MAX_RATIO).mean())
    return max(0.0, 1.0 - float(np.exp(1.0 - above)))
