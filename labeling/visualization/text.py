"""Text on images, in the font that Pillow brings along, at the size an image asks for."""

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
"""Below this, letters are smudges."""

_ELLIPSIS = "..."
_DARK_TEXT: Color = (16, 18, 22)
_LIGHT_TEXT: Color = (244, 245, 247)


class TextDrawer:
    """Writes on a copy of an RGB image; `finished` gives it back as an array."""

    def __init__(self, rgb: RgbImage) -> None:
        self._image = Image.fromarray(rgb)
        self._pen = ImageDraw.Draw(self._image)

    def write(self, text: str, at_xy: tuple[float, float], *, size_px: float, color: Color) -> None:
        """Write one line with its left end and vertical middle at `at_xy`."""
        self._pen.text(at_xy, text, fill=color, font=_font(round(size_px)), anchor="lm")

    def write_badge(self, text: str, corner_xy: tuple[float, float], *, size_px: float, color: Color) -> None:
        """Write on a filled plate whose top left corner is `corner_xy`, moved into the image."""
        padding = size_px * 0.3
        width, height = text_width(text, size_px) + 2 * padding, size_px * 1.3
        x = max(0.0, min(corner_xy[0], self._image.width - width))
        y = max(0.0, min(corner_xy[1], self._image.height - height))
        self._pen.rectangle((x, y, x + width, y + height), fill=color)
        self.write(text, (x + padding, y + height / 2), size_px=size_px, color=contrasting_color(color))

    def write_legend(
        self, entries: Sequence[tuple[str, Color]], at_xy: tuple[float, float], *, size_px: float
    ) -> None:
        """Write names, each after a square of its color, from left to right."""
        x, y = at_xy
        for name, color in entries:
            half = size_px * 0.36
            self._pen.rectangle((x, y - half, x + 2 * half, y + half), fill=color)
            x += size_px
            self.write(name, (x, y), size_px=size_px, color=_LIGHT_TEXT)
            x += text_width(name, size_px) + size_px

    def finished(self) -> RgbImage:
        return np.array(self._image)


def text_width(text: str, size_px: float) -> float:
    return _font(round(size_px)).getlength(text)


def shorten(text: str, width_px: float, *, size_px: float) -> str:
    """Cut the end off until it fits; the empty text always does."""
    if text_width(text, size_px) <= width_px:
        return text
    length = bisect_right(range(1, len(text)), width_px, key=lambda n: text_width(_cut(text, n), size_px))
    return _cut(text, length) if length else ""


def contrasting_color(color: Color) -> Color:
    """Dark or light text, whichever stands out (luma of ITU-R BT.601)."""
    red, green, blue = color
    return _DARK_TEXT if 0.299 * red + 0.587 * green + 0.114 * blue > 255 / 2 else _LIGHT_TEXT


def _cut(text: str, length: int) -> str:
    return text[:length].rstrip() + _ELLIPSIS


@lru_cache(maxsize=32)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size=size_px))
