"""Values for the pixels of a plate that no sample shows.

Each function writes the values into the plate (HxWx3) and returns which of the `unseen` pixels it filled.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.background.labgen import motion_scores
from labeling.background.plate import Stack
from labeling.background.sample_store import SampleStore
from labeling.structures.frames import RgbImage
from labeling.structures.images import resize_image
from labeling.structures.masks import BoolArray
from labeling.structures.probability_maps import resize_map

Combine = Callable[[Stack, BoolArray], Stack]
"""Combines the seen samples of each pixel: NxHxWx3 and NxHxW to HxWx3."""

ENOUGH_VALUES = 15
"""Values of a pixel that are combined; the search ends when all pixels have as many."""
COMBINED_PIXELS = 1 << 16
"""Pixels combined at once: bounds temporary memory."""
STILL_RATIO = 1.5
"""A region is still if its pixels change from sample to sample by at most this multiple of the change of visible
background. Measured on a real office: 2.9 to 4.4 for a person who stands at a shelf."""
STILL_LEVELS = 0.5
"""The same in gray levels, for images without noise."""
INPAINT_RADIUS_PX = 3
INPAINT_SIDE_PX = 960
"""Larger images are inpainted at this longer side: the result is smooth, and 1080p would take four times as long."""


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


def fill_least_motion(rgb: RgbImage, unseen: BoolArray, samples: SampleStore) -> BoolArray:
    """Fill every pixel from the sample with the least motion around it (the score of LaBGen-P).

    Returned as filled are the regions that are as still as visible background: what is always covered and
    never moves is probably a wrong mask. The values of other regions probably show a person.
    """
    least = np.full(unseen.shape, np.iinfo(np.int32).max, dtype=np.int32)
    for image, score in zip(samples.images, motion_scores(samples.images), strict=True):
        less = score < least
        least[less] = score[less]
        rgb[less & unseen] = image[less & unseen]
    return _still_regions(unseen, samples)


def _still_regions(unseen: BoolArray, samples: SampleStore) -> BoolArray:
    """Return the connected regions of unseen pixels whose typical change is that of visible background."""
    count, labels = cv2.connectedComponents(unseen.astype(np.uint8), connectivity=8)
    if len(samples) < 2:  # noqa: PLR2004 - no change is known
        return np.zeros_like(unseen)
    changes = np.stack(list(_changes(labels.ravel(), count, samples)))
    typical = np.median(changes, axis=0)
    is_still = typical <= max(STILL_LEVELS, STILL_RATIO * typical[0])
    is_still[0] = False
    still: BoolArray = is_still[labels]
    return still


def _changes(labels: NDArray[Any], count: int, samples: SampleStore) -> Iterator[NDArray[np.float64]]:
    """Yield the mean gray change of each region since the previous sample; index 0 is the visible background."""
    areas = np.maximum(np.bincount(labels, minlength=count), 1)
    image, seen_before = samples.get(0)
    gray_before = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    for index in range(1, len(samples)):
        image, seen = samples.get(index)
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        change = cv2.absdiff(gray, gray_before)
        means = np.bincount(labels, weights=change.ravel(), minlength=count) / areas
        visible = seen & seen_before
        means[0] = change[visible].mean() if visible.any() else 0.0
        yield means
        gray_before, seen_before = gray, seen


def fill_inpainted(rgb: RgbImage, unseen: BoolArray) -> BoolArray:
    """Fill pixels from those around them; without any around, their values stay."""
    if unseen.all():
        return unseen
    height, width = unseen.shape
    scale = min(1.0, INPAINT_SIDE_PX / max(height, width))
    small_hw = round(height * scale), round(width * scale)
    small_unseen = resize_map(unseen.astype(np.float32), small_hw) > 0
    small = cv2.inpaint(
        resize_image(rgb, small_hw), small_unseen.astype(np.uint8), INPAINT_RADIUS_PX, cv2.INPAINT_TELEA
    )
    rgb[unseen] = resize_image(small.astype(np.uint8), (height, width))[unseen]
    return unseen
