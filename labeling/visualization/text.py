"""Text on images, in Pillow's built-in font."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from labeling.structures.frames import RgbImage

Color = tuple[int, int, int]
"""RGB, 0 to 255."""

SMALLEST_TEXT_PX = 12
"""Smaller letters are not legible."""
LIGHT_TEXT: Color = (244, 245, 247)

_ELLIPSIS = "..."


class TextDrawer:
    """Writes on a copy of an RGB image; `finished` returns it as an array."""

    def __init__(self, rgb: RgbImage) -> None:
        self._image = Image.fromarray(rgb)
        self._draw = ImageDraw.Draw(self._image)

    def write(self, text: str, at_xy: tuple[float, float], *, size_px: float) -> None:
        """Write one line with its left end and vertical middle at `at_xy`."""
        self._draw.text(at_xy, text, fill=LIGHT_TEXT, font=_font(round(size_px)), anchor="lm")

    def write_legend(
        self, entries: Sequence[tuple[str, Color]], at_xy: tuple[float, float], *, size_px: float
    ) -> None:
        """Write names from left to right, each after a square of its color."""
        x, y = at_xy
        for name, color in entries:
            half = size_px * 0.36
            self._draw.rectangle((x, y - half, x + 2 * half, y + half), fill=color)
            x += size_px
            self.write(name, (x, y), size_px=size_px)
            x += text_width(name, size_px) + size_px

    def finished(self) -> RgbImage:
        return np.array(self._image)


def text_width(text: str, size_px: float) -> float:
    return _font(round(size_px)).getlength(text)


def shorten(text: str, width_px: float, *, size_px: float) -> str:
    """Cut the end off until the text fits; empty if nothing fits."""
    if text_width(text, size_px) <= width_px:
        return text
    length = bisect_right(range(1, len(text)), width_px, key=lambda n: text_width(_cut(text, n), size_px))
    return _cut(text, length) if length else ""


def _cut(text: str, length: int) -> str:
    return text[:length].rstrip() + _ELLIPSIS


@lru_cache(maxsize=32)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size=size_px))
