"""Anti-aliased drawing: shapes are drawn larger, with hard edges, and then reduced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Color = tuple[float, float, float]
"""RGB, 0 to 255."""
FloatImage = NDArray[np.float32]

SUPERSAMPLING = 3
"""Drawn pixels per pixel, each way."""
_SHIFT = 4  # fractional bits of OpenCV's coordinates


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """An object in front of the backdrop: RGB and coverage in [0, 1], at (left, top) of the image.

    Layers are painted in the order of `ground_y`, the image row (in heights) where they stand.
    """

    rgb: FloatImage
    coverage: FloatImage
    left: int
    top: int
    ground_y: float


class Canvas:
    """A rectangle of the image, in pixels of the image; coordinates are image coordinates."""

    def __init__(self, left: int, top: int, width: int, height: int) -> None:
        self.left, self.top, self.width, self.height = left, top, width, height
        big = (height * SUPERSAMPLING, width * SUPERSAMPLING)
        self._rgb = np.zeros((*big, 3), dtype=np.uint8)
        self._coverage = np.zeros(big, dtype=np.uint8)

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """Fill a polygon; points in pixels."""
        corners = np.array([self._fixed(point) for point in points], dtype=np.int32)
        cv2.fillPoly(self._rgb, [corners], _whole(color), shift=_SHIFT)
        cv2.fillPoly(self._coverage, [corners], 255, shift=_SHIFT)

    def ellipse(self, center: Point, radii: Point, color: Color, *, degrees: float = 0.0) -> None:
        """Fill an ellipse; center and radii in pixels."""
        scale = SUPERSAMPLING * (1 << _SHIFT)
        axes = (max(1, round(radii[0] * scale)), max(1, round(radii[1] * scale)))
        for target, value in ((self._rgb, _whole(color)), (self._coverage, (255.0,))):
            cv2.ellipse(target, self._fixed(center), axes, degrees, 0, 360, value, -1, shift=_SHIFT)

    def capsule(self, start: Point, end: Point, radii: Point, color: Color) -> None:
        """Fill a limb: two circles and the area between them; radii at start and end in pixels."""
        self.ellipse(start, (radii[0], radii[0]), color)
        self.ellipse(end, (radii[1], radii[1]), color)
        along = np.subtract(end, start)
        length = float(np.hypot(*along))
        if length > 0:
            side = np.array([-along[1], along[0]]) / length
            ends = ((start, radii[0]), (end, radii[1]), (end, -radii[1]), (start, -radii[0]))
            corners = [np.add(point, side * radius).tolist() for point, radius in ends]
            self.polygon([(x, y) for x, y in corners], color)

    def to_layer(self, *, texture: FloatImage, ground_y: float) -> Layer:
        """Reduce to pixels; their coverage is the covered share of their drawn pixels.

        `texture`, HxW of the canvas in pixels with values around 1, multiplies the colors.
        """
        size = (self.width, self.height)
        coverage = cv2.resize(self._coverage, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        coverage /= np.float32(255)
        rgb = cv2.resize(self._rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        rgb *= (texture / np.maximum(coverage, 0.01))[..., None]
        np.minimum(rgb, 255, out=rgb)
        return Layer(rgb, coverage.astype(np.float32), self.left, self.top, ground_y)

    def _fixed(self, point: Point) -> tuple[int, int]:
        scale = SUPERSAMPLING * (1 << _SHIFT)
        return round((point[0] - self.left) * scale), round((point[1] - self.top) * scale)


def _whole(color: Color) -> tuple[int, int, int]:
    red, green, blue = (int(min(max(round(value), 0), 255)) for value in color)
    return red, green, blue


def shade(color: Color, factor: float) -> Color:
    return color[0] * factor, color[1] * factor, color[2] * factor


def value_noise(
    rng: np.random.Generator, size_hw: tuple[int, int], *, cell_px: float, octaves: int = 3
) -> FloatImage:
    """Return smooth noise of mean 0 and deviation of about 1, HxW, with blobs of `cell_px` pixels."""
    total = np.zeros(size_hw, dtype=np.float32)
    for octave in range(octaves):
        cell = max(1.0, cell_px / 2**octave)
        grid = [max(2, int(side / cell) + 2) for side in size_hw]
        small = rng.standard_normal(grid).astype(np.float32)
        total += cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_CUBIC) / 2**octave
    return np.asarray(total - total.mean(), dtype=np.float32)


def happens(rng: np.random.Generator, chance: float) -> bool:
    """Return True with the given probability."""
    return bool(rng.random() < chance)


def paint(image: FloatImage, layer: Layer) -> None:
    """Paint a layer over an HxWx3 image, in place."""
    inside, part = visible_part(layer, image.shape[:2])
    alpha = layer.coverage[part][..., None]
    image[inside] += alpha * (layer.rgb[part] - image[inside])


def visible_part(layer: Layer, size_hw: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the slices of the image and of the layer where they overlap."""
    height, width = layer.coverage.shape
    y0, x0 = max(0, layer.top), max(0, layer.left)
    y1, x1 = max(y0, min(size_hw[0], layer.top + height)), max(x0, min(size_hw[1], layer.left + width))
    inside = (slice(y0, y1), slice(x0, x1))
    return inside, (slice(y0 - layer.top, y1 - layer.top), slice(x0 - layer.left, x1 - layer.left))
