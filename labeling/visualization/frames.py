"""Images of a frame's teacher and student masks for people: side by side, or as a tile.

Colors are Okabe and Ito's, which people with any common color blindness can distinguish
(https://jfly.uni-koeln.de/color/). The teacher is always blue and the student orange; in a tile the student's outline
is dashed too, for images without color, on paper for example.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import ModelOutputWrong
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask
from labeling.visualization.contact_sheet import BACKGROUND, encode_jpeg
from labeling.visualization.text import SMALLEST_TEXT_PX, Color, TextDrawer, shorten

TEACHER: Color = (86, 180, 233)
STUDENT: Color = (240, 150, 0)
BOTH: Color = (190, 194, 200)

SMALLEST_PANEL_PX = 256
"""Narrower images are enlarged in a comparison, so that its titles are legible."""

_LEGEND = (("teacher only", TEACHER), ("student only", STUDENT), ("both", BOTH))
_HALO: Color = (12, 14, 18)
_SHORTER_SIDE_PER_LINE_PX = 480
"""Lines get one pixel wider per this many pixels of the image's shorter side."""
_TILE_MARGIN = 0.2
"""Margin around the people of a tile, as a share of their box's size on each side."""


def draw_comparison(
    rgb: RgbImage,
    teacher: Sequence[Instance],
    student: Sequence[Instance],
    *,
    caption: str = "",
    panel_width: int | None = None,
) -> RgbImage:
    """Draw teacher, student and their difference side by side, with titles, a caption and a legend.

    Args:
        caption: one line below, cut off where it does not fit; see `caption_of`.
        panel_width: of each of the three panels in pixels; None: the image's own, at least
            SMALLEST_PANEL_PX. Three panels of a 4K image are 80 MB.
    """
    width = panel_width or max(rgb.shape[1], SMALLEST_PANEL_PX)
    size_hw = (max(1, round(rgb.shape[0] * width / rgb.shape[1])), width)
    background = _scale(rgb, size_hw)
    panels, unions = [], []
    for side, color in ((teacher, TEACHER), (student, STUDENT)):
        panel, union = background.copy(), np.zeros(size_hw, dtype=bool)
        for instance in side:
            pixels = _scale_mask(_mask_pixels(instance.mask, rgb), size_hw)
            blend_mask(panel, pixels, color, opacity=0.45)
            draw_contours(panel, pixels, color)
            union |= pixels
        panels.append(panel)
        unions.append(union)
    panels.append(_draw_difference(background, *unions))
    titles = (f"Teacher ({len(teacher)})", f"Student ({len(student)})", "Difference")
    return _lay_out(panels, titles, caption)


def tile_jpeg(
    rgb: RgbImage,
    teacher: Sequence[Instance],
    student: Sequence[Instance],
    *,
    width: int = 480,
    quality: int = 82,
) -> bytes:
    """Return `draw_tile` as a JPEG."""
    return encode_jpeg(draw_tile(rgb, teacher, student, width=width), quality=quality)


def draw_tile(
    rgb: RgbImage, teacher: Sequence[Instance], student: Sequence[Instance], *, width: int = 480
) -> RgbImage:
    """Draw a tile of a contact sheet: the part with the people, about 4:3, `width` pixels wide.

    The teacher's outlines are blue and solid, the student's orange and dashed; pixels of only one of the
    two are tinted.
    """
    x, y, w, h = focus_xywh(
        [instance.mask for instance in (*teacher, *student)], (rgb.shape[0], rgb.shape[1])
    )
    rows, columns = slice(y, y + h), slice(x, x + w)
    size_hw = (max(1, round(h * width / w)), width)
    drawn = _scale(rgb[rows, columns], size_hw)
    sides = [
        [_scale_mask(_mask_pixels(instance.mask, rgb)[rows, columns], size_hw) for instance in side]
        for side in (teacher, student)
    ]
    unions = [np.any([np.zeros(size_hw, dtype=bool), *side], axis=0) for side in sides]
    blend_mask(drawn, unions[0] & ~unions[1], TEACHER, opacity=0.3)
    blend_mask(drawn, unions[1] & ~unions[0], STUDENT, opacity=0.3)
    for side, color, dashed in zip(sides, (TEACHER, STUDENT), (False, True), strict=True):
        for pixels in side:
            draw_contours(drawn, pixels, color, dashed=dashed)
    return drawn


def focus_xywh(masks: Sequence[Mask], size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part of the image that shows all masks with a margin, or the whole image without masks.

    It is 4:3 where the image allows it, and at least a third of the image's width.
    """
    height, width = size_hw
    boxes = [mask.box_xywh for mask in masks if mask]
    if not boxes:
        return (0, 0, width, height)
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    people_w = max(box[0] + box[2] for box in boxes) - left
    people_h = max(box[1] + box[3] for box in boxes) - top
    with_margin = 1 + 2 * _TILE_MARGIN
    w = min(float(width), max(people_w * with_margin, people_h * with_margin * 4 / 3, width / 3))
    h = min(float(height), max(w * 3 / 4, people_h * with_margin))
    x = min(max(0.0, left + people_w / 2 - w / 2), width - w)
    y = min(max(0.0, top + people_h / 2 - h / 2), height - h)
    return (int(x), int(y), max(1, int(w)), max(1, int(h)))


def blend_mask(drawn: RgbImage, pixels: BoolArray, color: Color, *, opacity: float) -> None:
    """Blend a color into the pixels of a mask, in place."""
    if opacity <= 0 or not pixels.any():
        return
    old = drawn[pixels].astype(np.float32)
    drawn[pixels] = np.round(old + (np.array(color, dtype=np.float32) - old) * opacity).astype(np.uint8)


def draw_contours(drawn: RgbImage, pixels: BoolArray, color: Color, *, dashed: bool = False) -> None:
    """Draw the contours of a mask, those of holes included, in place: the color on a dark halo."""
    found = cv2.findContours(pixels.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
    lines = [np.asarray(contour, dtype=np.int32) for contour in found]
    width = max(2, round(min(drawn.shape[:2]) / _SHORTER_SIDE_PER_LINE_PX))
    dash = 6 * width if dashed else 0
    for line_color, thickness in ((_HALO, width + 2), (color, width)):
        for line in lines:
            _draw_closed(drawn, line, line_color, thickness=thickness, dash=dash)


def _draw_closed(
    drawn: RgbImage, line: NDArray[np.int32], color: Color, *, thickness: int, dash: int
) -> None:
    """Draw a closed line, solid or in dashes and gaps of `dash` points."""
    if not dash or len(line) < 2 * dash:
        cv2.polylines(drawn, [line], True, color, thickness, cv2.LINE_AA)
        return
    for start in range(0, len(line), 2 * dash):
        cv2.polylines(drawn, [line[start : start + dash]], False, color, thickness, cv2.LINE_AA)


def _mask_pixels(mask: Mask, rgb: RgbImage) -> BoolArray:
    if mask.size_hw != rgb.shape[:2]:
        raise ModelOutputWrong(
            f"the mask's size {mask.size_hw} (height, width) differs from the image's {rgb.shape[:2]}; "
            "label this frame again"
        )
    return mask.to_array()


def _scale(rgb: RgbImage, size_hw: tuple[int, int]) -> RgbImage:
    interpolation = cv2.INTER_AREA if size_hw[1] < rgb.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, size_hw[::-1], interpolation=interpolation), dtype=np.uint8)


def _scale_mask(pixels: BoolArray, size_hw: tuple[int, int]) -> BoolArray:
    """Return the pixels of which at least half belongs to the mask."""
    interpolation = cv2.INTER_AREA if size_hw[1] < pixels.shape[1] else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels.astype(np.uint8) * 255, size_hw[::-1], interpolation=interpolation)
    return np.asarray(scaled) > 255 // 2


def _draw_difference(rgb: RgbImage, teacher: BoolArray, student: BoolArray) -> RgbImage:
    """Tint pixels of both, of the teacher only and of the student only, on the darkened gray image."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) * 0.4
    drawn = np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)
    blend_mask(drawn, teacher & student, BOTH, opacity=0.55)
    blend_mask(drawn, teacher & ~student, TEACHER, opacity=0.85)
    blend_mask(drawn, student & ~teacher, STUDENT, opacity=0.85)
    return drawn


def _lay_out(panels: Sequence[RgbImage], titles: Sequence[str], caption: str) -> RgbImage:
    height, width = panels[0].shape[:2]
    size_px = max(SMALLEST_TEXT_PX, width / 32)
    gap, band = max(2, width // 100), round(2 * size_px)
    total = len(panels) * (width + gap) + gap
    sheet = np.full((3 * band + height + gap, total, 3), BACKGROUND, dtype=np.uint8)
    lefts = [gap + number * (width + gap) for number in range(len(panels))]
    for left, panel in zip(lefts, panels, strict=True):
        sheet[band : band + height, left : left + width] = panel
    text = TextDrawer(sheet)
    for left, title in zip(lefts, titles, strict=True):
        text.write(shorten(title, width, size_px=size_px), (left, band / 2), size_px=size_px)
    line_y = band + height + band * 0.6
    text.write(shorten(caption, total - 2 * gap, size_px=size_px), (gap, line_y), size_px=size_px)
    text.write_legend(_LEGEND, (gap, line_y + band * 0.9), size_px=size_px)
    return text.finished()
