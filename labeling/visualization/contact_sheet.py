"""Contact sheets: several images with two lines of text each, as one small JPEG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from labeling.structures.frames import RgbImage
from labeling.visualization.text import Color, TextDrawer, shorten

CELL_HW = (225, 300)
"""4:3, as tiles are."""

BACKGROUND: Color = (24, 26, 31)
_TEXT_PX = 13
_LINE_PX = 18
_GAP_PX = 8
_QUALITIES = (80, 65, 50, 35)


@dataclass(frozen=True, slots=True)
class SheetTile:
    """An image and the text below it."""

    rgb: RgbImage
    lines: tuple[str, str]


def contact_sheet(tiles: Sequence[SheetTile], *, columns: int = 3, max_bytes: int = 150_000) -> bytes:
    """Lay tiles out from left to right; return a JPEG of at most `max_bytes`, or else of the lowest quality."""
    if not tiles:
        raise ValueError("a contact sheet requires at least one tile")
    sheet = _lay_out(tiles, min(columns, len(tiles)))
    jpeg = b""
    for quality in _QUALITIES:
        jpeg = encode_jpeg(sheet, quality=quality)
        if len(jpeg) <= max_bytes:
            break
    return jpeg


def _lay_out(tiles: Sequence[SheetTile], columns: int) -> RgbImage:
    height, width = CELL_HW[0] + 2 * _LINE_PX + _GAP_PX, CELL_HW[1] + _GAP_PX
    rows = math.ceil(len(tiles) / columns)
    size = (rows * height + _GAP_PX, columns * width + _GAP_PX, 3)
    sheet = np.full(size, BACKGROUND, dtype=np.uint8)
    corners = [
        (_GAP_PX + number // columns * height, _GAP_PX + number % columns * width)
        for number in range(len(tiles))
    ]
    for tile, (top, left) in zip(tiles, corners, strict=True):
        _fit(sheet[top : top + CELL_HW[0], left : left + CELL_HW[1]], tile.rgb)
    text = TextDrawer(sheet)
    for tile, (top, left) in zip(tiles, corners, strict=True):
        for number, line in enumerate(tile.lines):
            y = top + CELL_HW[0] + (number + 0.6) * _LINE_PX
            text.write(shorten(line, CELL_HW[1], size_px=_TEXT_PX), (left, y), size_px=_TEXT_PX)
    return text.finished()


def _fit(cell: RgbImage, rgb: RgbImage) -> None:
    """Draw the whole image in the middle of its cell."""
    scale = min(cell.shape[0] / rgb.shape[0], cell.shape[1] / rgb.shape[1])
    height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    top, left = (cell.shape[0] - height) // 2, (cell.shape[1] - width) // 2
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cell[top : top + height, left : left + width] = cv2.resize(
        rgb, (width, height), interpolation=interpolation
    )


def encode_jpeg(rgb: RgbImage, *, quality: int) -> bytes:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
