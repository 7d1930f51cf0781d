"""Values for the pixels of a plate that no sample shows.

Each function writes the values into the plate (HxWx3) and returns which of the `unseen` pixels it filled.
"""

from collections.abc import Callable, Iterable

import cv2
import numpy as np

from labeling.background.disk_stack import DiskStack
from labeling.background.labgen import box_side, motion_scores
from labeling.background.plate import Stack
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray

Combine = Callable[[Stack, BoolArray], Stack]
"""Combines the seen samples of each pixel: NxHxWx3 and NxHxW to HxWx3."""

ENOUGH_VALUES = 15
"""Values of a pixel that are combined; the search ends when all pixels have as many."""
COMBINED_PIXELS = 1 << 16
"""Pixels combined at once: bounds temporary memory."""
STILL_LEVELS = 1.0
"""Mean motion in the box, in gray levels, up to which a sample shows a still pixel."""
STILL_RATIO = 2.0
"""The same as a multiple of the least motion of the pixels that are seen, which is the camera's noise."""
INPAINT_RADIUS_PX = 5


def fill_from_frames(
    rgb: RgbImage, unseen: BoolArray, frames: Iterable[tuple[RgbImage, BoolArray]], combine: Combine
) -> BoolArray:
    """Fill pixels that further frames show: images with their background pixels."""
    values = np.zeros((ENOUGH_VALUES, int(unseen.sum()), 3), dtype=np.uint8)
    counts = np.zeros(values.shape[1], dtype=np.intp)
    for image, seen in frames:
        now = np.flatnonzero(seen[unseen] & (counts < ENOUGH_VALUES))
        values[counts[now], now] = image[unseen][now]
        counts[now] += 1
        if (counts == ENOUGH_VALUES).all():
            break
    has_value = np.arange(ENOUGH_VALUES)[:, None] < counts
    filled = unseen.copy()
    filled[unseen] = counts > 0
    combined = rgb[unseen]
    for start in range(0, len(counts), COMBINED_PIXELS):
        part = slice(start, start + COMBINED_PIXELS)
        combined[part] = combine(values[:, None, part], has_value[:, None, part])[0]
    rgb[filled] = combined[counts > 0]
    return filled


def fill_least_motion(rgb: RgbImage, unseen: BoolArray, images: DiskStack | Stack) -> BoolArray:
    """Fill every pixel from the image with the least motion around it (the score of LaBGen-P).

    Returned as filled are the pixels that are still there, as still as those that are seen. What is always
    covered but does not move is probably a wrong mask; the others probably show a person.
    """
    least = np.full(unseen.shape, np.iinfo(np.int32).max, dtype=np.int32)
    for image, score in zip(images, motion_scores(images), strict=True):
        less = score < least
        least[less] = score[less]
        rgb[less & unseen] = image[less & unseen]
    motion = least / np.float32(box_side(unseen.shape) ** 2)
    noise = float(np.median(motion[~unseen])) if not unseen.all() else 0.0
    still: BoolArray = unseen & (motion <= max(STILL_LEVELS, STILL_RATIO * noise))
    return still


def fill_inpainted(rgb: RgbImage, unseen: BoolArray) -> BoolArray:
    """Fill pixels from those around them; without any around, their values stay."""
    if not unseen.all():
        filled = cv2.inpaint(rgb, unseen.astype(np.uint8), INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)
        rgb[unseen] = filled[unseen]
    return unseen
