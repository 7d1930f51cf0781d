"""Connected components of a binary mask."""

import cv2
import numpy as np

from labeling.structures.masks import BoolArray


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
