"""A mask's pixels within its box, decoded once, and a sample of them that is moved to other frames."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import BoolArray, Mask

POINTS = 400
"""About how many pixels of a mask are moved."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskPoints:
    """A regular sample of a mask's pixels."""

    xy: NDArray[np.float32]
    """Nx2, pixels of the image; N is 0 for an empty mask."""
    area_px: int

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom; an empty box for no points."""
        if not len(self.xy):
            return 0.0, 0.0, -1.0, -1.0
        (left, top), (right, bottom) = self.xy.min(axis=0).tolist(), self.xy.max(axis=0).tolist()
        return left, top, right, bottom


@dataclass(frozen=True, slots=True, eq=False)
class MaskCrop:
    """The pixels of a mask within its box.

    >>> crop = MaskCrop.of(Mask.from_array(np.eye(4)))
    >>> crop.share_inside(MaskPoints(np.array([[0, 0], [1, 0]], dtype=np.float32), area_px=2))
    0.5
    """

    left: int
    top: int
    pixels: BoolArray
    area_px: int
    is_cut_off: bool = False
    """It touches the image's border."""

    @classmethod
    def of(cls, mask: Mask) -> Self:
        x, y, w, h = (int(side) for side in mask.box_xywh)
        pixels = mask.to_crop((x, y, w, h))
        height, width = mask.size_hw
        is_cut_off = x == 0 or y == 0 or x + w == width or y + h == height
        return cls(x, y, pixels, int(np.count_nonzero(pixels)), is_cut_off)

    def points(self) -> MaskPoints:
        """Return about `POINTS` of the pixels."""
        step = max(1, round((self.area_px / POINTS) ** 0.5))
        rows, columns = np.nonzero(self.pixels[::step, ::step])
        xy = np.column_stack([columns, rows]).astype(np.float32) * step + (self.left, self.top)
        return MaskPoints(np.asarray(xy, dtype=np.float32), self.area_px)

    def meets(self, corners: tuple[float, float, float, float]) -> bool:
        """Return whether the crop and a box have a pixel in common."""
        left, top, right, bottom = corners
        height, width = self.pixels.shape
        across = right >= self.left - 0.5 and left < self.left + width
        return across and bottom >= self.top - 0.5 and top < self.top + height

    def share_inside(self, points: MaskPoints) -> float:
        """Return the share of points that lie in the mask; 0 without points."""
        if not len(points.xy):
            return 0.0
        height, width = self.pixels.shape
        columns, rows = np.rint(points.xy - (self.left, self.top)).astype(np.int64).T
        known = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        return float(np.count_nonzero(self.pixels[rows[known], columns[known]]) / len(points.xy))
