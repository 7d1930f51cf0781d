"""Whether a mask's outline lies on edges of the image: evidence that no network gives.

The outline of a person is also one of the image, so the mean gradient along it is larger than along the same outline moved a
little. For a label that was moved, or belongs to another image, some other place is as good or better.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage
from labeling.structures.masks import Mask

STRONG_EDGE = 95
"""Percentile of the gradient at which it is cut: one strong edge must not decide."""
TOLERANCE_PX = 3
"""Side of the square in which the strongest gradient counts: outlines are drawn by hand."""
MOVE = 0.15
"""Length of the moves, as a share of the square root of the mask's area; at least `MIN_MOVE_PX`."""
MIN_MOVE_PX = 4.0
FEWEST_POINTS = 10
_DIRECTIONS = 8
_BORDER_PX = 2
"""Outlines nearer to the image's border are cut by it, and not compared."""


@dataclass(frozen=True, slots=True, eq=False)
class EdgeMap:
    """The strength of the edges at each pixel of an image."""

    strength: NDArray[np.float32]

    @classmethod
    def of(cls, rgb: RgbImage) -> Self:
        """Return the gradient of an HxWx3 image in CIELAB, cut at `STRONG_EDGE`."""
        lab = cv2.cvtColor(cv2.GaussianBlur(rgb, (3, 3), 0), cv2.COLOR_RGB2LAB).astype(np.float32)
        squares = [(cv2.Sobel(lab, cv2.CV_32F, *axes) ** 2).sum(axis=2) for axes in ((1, 0), (0, 1))]
        gradient = np.sqrt(squares[0] + squares[1])
        gradient = np.minimum(gradient, np.percentile(gradient, STRONG_EDGE)).astype(np.float32)
        nearby = cv2.dilate(gradient, np.ones((TOLERANCE_PX, TOLERANCE_PX), np.uint8))
        return cls(np.asarray(nearby, dtype=np.float32))

    def fit(self, mask: Mask) -> float | None:
        """Return the mean edge strength along the outline, relative to the best of 8 places around it.

        None: the outline has too few points within the image, or there are no edges at all.
        """
        points = self._outline(mask)
        if len(points) < FEWEST_POINTS:
            return None
        reach = max(MIN_MOVE_PX, MOVE * mask.area_px**0.5)
        angles = np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS)
        moves = np.round(reach * np.column_stack([np.cos(angles), np.sin(angles)])).astype(np.int64)
        others = [self._mean_along(points + move) for move in moves]
        best = max((other for other in others if other is not None), default=0.0)
        here = self._mean_along(points)
        return None if here is None or not best else here / best

    def _outline(self, mask: Mask) -> NDArray[np.int64]:
        """Return the points of the outline away from the image's border, Nx2 as x, y."""
        if not mask:
            return np.zeros((0, 2), dtype=np.int64)
        x, y, w, h = (int(side) for side in mask.box_xywh)
        crop = np.ascontiguousarray(mask.to_crop((x, y, w, h))).view(np.uint8)
        found = cv2.findContours(crop, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
        points = np.concatenate([np.asarray(one, dtype=np.int64).reshape(-1, 2) for one in found])
        points += (x, y)
        height, width = self.strength.shape
        is_inside = (points > _BORDER_PX) & (points < np.array([width, height]) - 1 - _BORDER_PX)
        return points[is_inside.all(axis=1)]

    def _mean_along(self, points: NDArray[np.int64]) -> float | None:
        height, width = self.strength.shape
        inside = points[((points >= 0) & (points < np.array([width, height]))).all(axis=1)]
        if len(inside) < FEWEST_POINTS:
            return None
        return float(self.strength[inside[:, 1], inside[:, 0]].mean())
