"""Background from the samples with the least motion around each pixel.

The idea is LaBGen-P's (Laugraud, Pierard, Van Droogenbroeck, "LaBGen-P: A pixel-level stationary background
generation method based on LaBGen", ICPR 2016): a pixel shows background when little moves near it.
"""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.background.plate import Stack, masked_median
from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoolArray

MotionScores = NDArray[np.int32]
"""HxW or NxHxW: sum of absolute gray differences in a box around each pixel."""

KEPT_SAMPLES = 19
"""Samples of least motion whose median is taken (S of the paper)."""
BOX_SHARE = 3
"""The box is this part of the shorter side of the image (N of the paper)."""


def labgen_p(samples: Stack, *, kept: int = KEPT_SAMPLES) -> RgbImage:
    """Return the median, HxWx3, of the `kept` samples of least motion per pixel, from NxHxWx3 in order of time.

    Samples whose score equals the highest score kept are kept too.
    """
    scores = np.stack(list(motion_scores(samples)))
    return masked_median(samples, least_motion(scores, kept))


def motion_scores(images: Iterable[RgbImage]) -> Iterator[MotionScores]:
    """Yield for each image the motion since the previous one; the first gets that of the second.

    A single image gets 0.
    """
    before: NDArray[np.uint8] | None = None
    count = 0
    for count, image in enumerate(images, start=1):
        gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        if before is not None:
            score = _box_sum(cv2.absdiff(gray, before).astype(np.uint8))
            if count == 2:  # noqa: PLR2004 - the first image, too
                yield score
            yield score
        before = gray
    if count == 1 and before is not None:
        yield np.zeros(before.shape, dtype=np.int32)


def _box_sum(difference: NDArray[np.uint8]) -> MotionScores:
    """Sum over the box; outside the image nothing moves."""
    side = (min(difference.shape) // BOX_SHARE) | 1  # odd
    total = cv2.boxFilter(
        difference, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(total, dtype=np.int32)


def least_motion(scores: MotionScores, kept: int) -> BoolArray:
    """Return which samples, NxHxW, are among the `kept` lowest scores of a pixel, or equal to the highest of them."""
    last = min(kept, len(scores)) - 1
    lowest: BoolArray = scores <= np.partition(scores, last, axis=0)[last]
    return lowest
