"""How tall people appear in each row of the image, from matched detections: the box around a point."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes

from labeling.structures.masks import BoxXywh
from labeling.tracking.anchors import Anchor
from labeling.tracking.trajectories import FloatArray

DEFAULT_SHARE = 0.2
"""Height of a person over the image's height, if no person was detected."""
DEFAULT_WIDTH = 0.4
"""Width of a person over the height."""
MIN_PAIRS = 8
"""Pairs from which a slope over the rows is fitted."""
HEIGHT_RANGE = (0.3, 3.0)
"""Heights stay in this range around the median: a line is not extrapolated far."""
_ABOVE: dict[str, float] = {"top": 0.0, "center": 0.5, "bottom": 1.0}


@dataclass(frozen=True, slots=True)
class BodySize:
    """Height and width of the box of a person at a point.

    >>> BodySize(30.0, 0.1, 0.4, (0.0, 0.0), "bottom", 50.0).box(np.array([100.0, 200.0]))
    (90.0, 150.0, 20.0, 50.0)
    """

    height_px: float
    """Height at row 0."""
    per_row: float
    """Pixels of height per row."""
    width: float
    """Width over height."""
    offset: tuple[float, float]
    """From the annotated point to the detections' anchor, right and down, in heights."""
    anchor: Anchor
    median_px: float

    def height(self, row: float) -> float:
        low, high = (share * self.median_px for share in HEIGHT_RANGE)
        return float(np.clip(self.height_px + self.per_row * row, low, high))

    def box(self, point: FloatArray) -> BoxXywh:
        """Return the box of a person annotated at a pixel."""
        height = self.height(float(point[1]))
        x, y = (float(point[axis]) + self.offset[axis] * height for axis in (0, 1))
        width = self.width * height
        return (x - width / 2, y - _ABOVE[self.anchor] * height, width, height)


def fit_body_size(
    points: Sequence[FloatArray], boxes: Sequence[BoxXywh], *, anchor: Anchor, size_hw: tuple[int, int]
) -> BodySize:
    """Fit a line of height over row to annotated points and the boxes matched to them (Theil and Sen)."""
    if not len(points):
        height = DEFAULT_SHARE * size_hw[0]
        return BodySize(height, 0.0, DEFAULT_WIDTH, (0.0, 0.0), anchor, height)
    at, sizes = np.asarray(points), np.asarray(boxes, dtype=np.float64)
    heights = sizes[:, 3]
    median = float(np.median(heights))
    slope, intercept = 0.0, median
    if len(points) >= MIN_PAIRS and np.ptp(at[:, 1]) > 0:
        fitted = theilslopes(heights, at[:, 1])
        slope, intercept = float(fitted.slope), float(fitted.intercept)
    anchors = np.column_stack([sizes[:, 0] + sizes[:, 2] / 2, sizes[:, 1] + _ABOVE[anchor] * heights])
    shift = np.median((anchors - at) / heights[:, None], axis=0)
    return BodySize(
        height_px=intercept,
        per_row=slope,
        width=float(np.median(sizes[:, 2] / heights)),
        offset=(float(shift[0]), float(shift[1])),
        anchor=anchor,
        median_px=median,
    )
