"""Instances from a map of person probabilities, and the connected components of a mask."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask

FloatMap = NDArray[np.float32]
"""HxW."""
CLEAR_ODDS = 3
"""A pixel is stable where the odds of a person are this many times the odds at the mask threshold."""


def resize_map(values: FloatMap, size_hw: tuple[int, int], *, nearest: bool = False) -> FloatMap:
    """Scale a map to a frame's size."""
    interpolation = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    resized = cv2.resize(values, (size_hw[1], size_hw[0]), interpolation=interpolation)
    return np.asarray(resized, dtype=np.float32)


def instances_from_map(
    probability: FloatMap, *, mask_threshold: float, min_area: float, connected_components: bool = False
) -> list[Instance]:
    """Make one instance of all pixels above `mask_threshold`, or one per connected component.

    `probability` is HxW in the frame's size. Instances below `min_area`, a share of the image, are
    dropped. The score is the mean probability within the mask.
    """
    foreground = probability > mask_threshold
    if connected_components:
        parts = find_components(foreground, min_area=min_area, min_aspect_ratio=0.0)
    else:
        parts = [foreground] if foreground.mean() >= min_area else []
    return [
        make_instance(part, probability[part], mask_threshold=mask_threshold) for part in parts if part.any()
    ]


def find_components(foreground: BoolArray, *, min_area: float, min_aspect_ratio: float) -> list[BoolArray]:
    """Split a mask into 8-connected parts, as HxW masks, largest first.

    Parts below `min_area` (share of the image) or `min_aspect_ratio` (height over width) are dropped.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground.astype(np.uint8), connectivity=8)
    big = stats[:, cv2.CC_STAT_AREA] >= min_area * foreground.size
    tall = stats[:, cv2.CC_STAT_HEIGHT] >= min_aspect_ratio * stats[:, cv2.CC_STAT_WIDTH]
    kept = [label for label in range(1, count) if big[label] and tall[label]]
    kept.sort(key=lambda label: -int(stats[label, cv2.CC_STAT_AREA]))
    return [labels == label for label in kept]


def make_instance(pixels: BoolArray, within: NDArray[np.floating[Any]], *, mask_threshold: float) -> Instance:
    """Make an instance of HxW `pixels`, not empty, whose probabilities are `within`."""
    mask = Mask.from_array(pixels)
    return Instance(
        mask,
        score=float(np.clip(within.mean(), 0.0, 1.0)),
        box_xywh=mask.box_xywh,
        stability=stability_share(within, mask_threshold=mask_threshold),
    )


def stability_share(within: NDArray[np.floating[Any]], *, mask_threshold: float) -> float:
    """Return the share of a mask's pixels that a stricter threshold would keep, in [0, 1].

    `within` are the probabilities of its pixels, at least one. This is the inner half of Segment
    Anything's stability score (Kirillov et al., 2023: IoU of the masks at two thresholds around the
    usual one), as a share of the mask's area. It does not depend on the size of image or person while
    the network sees each person at the same resolution; otherwise small people are less stable.

    >>> stability_share(np.array([0.6, 0.8, 0.9, 0.99]), mask_threshold=0.5)
    0.75
    """
    return float((within > stable_threshold(mask_threshold)).mean())


def stable_threshold(mask_threshold: float) -> float:
    """Return the probability above which a pixel is stable: 0.75 for a mask threshold of 0.5."""
    return CLEAR_ODDS * mask_threshold / (1 + (CLEAR_ODDS - 1) * mask_threshold)
