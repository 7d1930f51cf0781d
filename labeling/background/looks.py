"""The looks of a static camera: by day, in infrared, with the lamps on, in another image size.

Each look has its own background. Two images have the same look if the one differs from the other, apart from one
factor of brightness, only where people could be. A change of light keeps the edges of the scene; a person who comes
near the camera covers them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.background.illumination import brightness_gain
from labeling.background.plate import FloatImage, color_distance
from labeling.structures.frames import RgbImage

THUMBNAIL_WH = (64, 36)
"""Width and height of the images that are compared."""
DIFFERENT = 25.0
"""Color distance, 0 to 441, from which a pixel of two thumbnails differs."""
FEW_CHANGES, MOST_CHANGES = 0.3, 0.75
"""Shares of differing pixels: below the first it is the same look; above the second another one; between them the
edges decide."""
NEW_EDGE_LEVELS = 12.0
"""A change of the local contrast by this many levels is another edge."""
MAX_NEW_EDGES = 0.2
"""Share of the differing pixels with other edges up to which only the light changed. A person has more."""
COLORED, COLORLESS = 12.0, 6.0
"""Difference of the highest and lowest of red, green and blue: from the first a pixel has color; infrared images have
less than the second everywhere, but for `NOISE_SHARE`."""
NOISE_SHARE = 0.01
GRID, COLORED_CELLS, COLORED_SHARE = 4, 12, 0.05
"""An image has color everywhere if in 12 of the 4 x 4 parts of it this share of the pixels has color. The loss of all
its colors is another look; one person in a colored coat is none."""
MIN_SAMPLES = 8
"""A background cannot be learned from fewer samples of a look, where another look has more."""


@dataclass(frozen=True, slots=True, eq=False)
class LookThumbnail:
    """A small copy of an image, by which looks are compared."""

    size_hw: tuple[int, int]
    """Of the image itself."""
    rgb: FloatImage
    """36x64x3, 0 to 255."""
    is_colored: bool
    """It has color everywhere."""
    is_colorless: bool
    """It has no color at all."""

    @classmethod
    def of(cls, rgb: RgbImage) -> "LookThumbnail":
        small = cv2.resize(rgb, THUMBNAIL_WH, interpolation=cv2.INTER_AREA).astype(np.float32)
        return cls._of_small((rgb.shape[0], rgb.shape[1]), small)

    @classmethod
    def median_of(cls, thumbnails: Sequence["LookThumbnail"]) -> "LookThumbnail":
        """Return the median of thumbnails of one size."""
        small = np.median(np.stack([one.rgb for one in thumbnails]), axis=0).astype(np.float32)
        return cls._of_small(thumbnails[0].size_hw, small)

    @classmethod
    def _of_small(cls, size_hw: tuple[int, int], small: FloatImage) -> "LookThumbnail":
        chroma = small.max(axis=2) - small.min(axis=2)
        is_colorless = bool((chroma > COLORLESS).mean() <= NOISE_SHARE)
        parts = (chroma > COLORED).reshape(GRID, THUMBNAIL_WH[1] // GRID, GRID, THUMBNAIL_WH[0] // GRID)
        is_colored = int((parts.mean(axis=(1, 3)) >= COLORED_SHARE).sum()) >= COLORED_CELLS
        return cls(size_hw, small, is_colored, is_colorless)


def difference_of_looks(first: LookThumbnail, second: LookThumbnail) -> float | None:
    """Return the share of pixels that differ, apart from the brightness; None: they are different looks."""
    if first.size_hw != second.size_hw or _loses_color(first, second) or _loses_color(second, first):
        return None
    gain = brightness_gain(second.rgb.astype(np.uint8), first.rgb)
    expected = np.minimum(first.rgb * gain, 255).astype(np.float32)
    differs = color_distance(second.rgb, expected) > DIFFERENT
    share = float(differs.mean())
    if share > MOST_CHANGES or (
        share > FEW_CHANGES and _new_edges(expected, second.rgb)[differs].mean() <= MAX_NEW_EDGES
    ):
        return None
    return share


def _loses_color(colored: LookThumbnail, other: LookThumbnail) -> bool:
    return colored.is_colored and other.is_colorless


def _new_edges(first: FloatImage, second: FloatImage) -> NDArray[np.bool_]:
    """Return where the local contrast differs, HxW."""
    contrasts = []
    for image in (first, second):
        gray = image.mean(axis=2)
        contrasts.append(gray - cv2.blur(gray, (7, 7)))
    return np.asarray(np.abs(contrasts[1] - contrasts[0]) > NEW_EDGE_LEVELS)


class LookFinder:
    """Numbers the looks of images that come in order of time; a look that comes back keeps its number."""

    def __init__(self) -> None:
        self._latest: list[LookThumbnail] = []
        """The latest image of each look, so that slow changes of the light make no new ones."""

    def find(self, thumbnail: LookThumbnail) -> int:
        found = closest_look(thumbnail, self._latest)
        if found is None:
            self._latest.append(thumbnail)
            return len(self._latest) - 1
        self._latest[found] = thumbnail
        return found


def closest_look(thumbnail: LookThumbnail, looks: Sequence[LookThumbnail]) -> int | None:
    """Return the position of the look that an image has; None: it has none of them."""
    shares = [difference_of_looks(look, thumbnail) for look in looks]
    known = [(share, position) for position, share in enumerate(shares) if share is not None]
    return min(known)[1] if known else None
