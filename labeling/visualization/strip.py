"""One person's strip: crops of the same person over time, with the outlines of both models."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from labeling.structures.frames import RgbImage
from labeling.structures.masks import BoxXywh, Mask
from labeling.visualization.contact_sheet import BACKGROUND
from labeling.visualization.frames import STUDENT, TEACHER, draw_contours
from labeling.visualization.text import Color, TextDrawer, shorten

CELL_HW = (216, 132)
"""Pixels of a crop: people stand."""
MARGIN = 0.15
"""Margin around the person's box, as a share of its sides."""
WORST: Color = (213, 94, 0)
"""Okabe and Ito's vermilion."""
_GAP_PX, _TEXT_PX, _LINE_PX, _FRAME_PX = 6, 12, 17, 3


@dataclass(frozen=True, slots=True, eq=False)
class StripCell:
    """One moment of a person: see `crop_person`."""

    rgb: RgbImage
    time: str
    iou: float | None
    """Agreement of both models on this person; None: not compared."""


def crop_person(rgb: RgbImage, mask: Mask, student: Sequence[Mask]) -> RgbImage:
    """Return the part of an image around a person, `CELL_HW` pixels, with both models' outlines.

    What the crop needs beyond the image's border is black.
    """
    x, y, _, h = _crop_box(mask)
    height, width = CELL_HW
    scale = height / h
    to_cell = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]])
    drawn = np.asarray(cv2.warpAffine(rgb, to_cell, (width, height), flags=cv2.INTER_LINEAR), dtype=np.uint8)
    for one, color, dashed in [*((s, STUDENT, True) for s in student), (mask, TEACHER, False)]:
        pixels = cv2.warpAffine(one.to_array().astype(np.uint8), to_cell, (width, height)) > 0
        draw_contours(drawn, pixels, color, dashed=dashed)
    return drawn


def _crop_box(mask: Mask) -> BoxXywh:
    """Return the box of a mask with a margin, in the shape of a cell; it may reach beyond the image."""
    x, y, w, h = mask.box_xywh
    shape = CELL_HW[1] / CELL_HW[0]
    tall = max(h, w / shape, 16.0) * (1 + 2 * MARGIN)
    return x + w / 2 - tall * shape / 2, y + h / 2 - tall / 2, tall * shape, tall


def draw_strip(cells: Sequence[StripCell], *, columns: int = 12) -> RgbImage:
    """Draw the cells from left to right, each with its time and IoU; the lowest IoU below 1 has a frame.

    Raises:
        ValueError: there is no cell.
    """
    if not cells:
        raise ValueError("a strip requires at least one cell")
    height, width = CELL_HW[0] + 2 * _LINE_PX + 2 * _GAP_PX, CELL_HW[1] + _GAP_PX
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    sheet = np.full((rows * height + _GAP_PX, columns * width + _GAP_PX, 3), BACKGROUND, dtype=np.uint8)
    corners = [
        (_GAP_PX + number // columns * height, _GAP_PX + number % columns * width)
        for number in range(len(cells))
    ]
    worst = find_worst(cells)
    for number, (cell, (top, left)) in enumerate(zip(cells, corners, strict=True)):
        if number == worst:
            edge = _FRAME_PX
            sheet[top - edge : top + CELL_HW[0] + edge, left - edge : left + CELL_HW[1] + edge] = WORST
        sheet[top : top + CELL_HW[0], left : left + CELL_HW[1]] = cell.rgb
    text = TextDrawer(sheet)
    for number, (cell, (top, left)) in enumerate(zip(cells, corners, strict=True)):
        for line, words in enumerate((cell.time, _describe(cell, is_worst=number == worst))):
            y = top + CELL_HW[0] + _GAP_PX + (line + 0.5) * _LINE_PX
            text.write(shorten(words, CELL_HW[1], size_px=_TEXT_PX), (left, y), size_px=_TEXT_PX)
    return text.finished()


def find_worst(cells: Sequence[StripCell]) -> int | None:
    """Return the position of the cell with the lowest IoU; None if all agree fully, or none was compared."""
    compared = [(cell.iou, number) for number, cell in enumerate(cells) if cell.iou is not None]
    iou, number = min(compared, default=(1.0, 0))
    return number if iou < 1 else None


def _describe(cell: StripCell, *, is_worst: bool) -> str:
    if cell.iou is None:
        return ""
    return f"IoU {cell.iou:.2f}" + (" (worst)" if is_worst else "")
