"""Images of instances for people to look at: one model's, two models' compared, tiles of a page."""

from collections.abc import Iterator, Sequence
from itertools import cycle

import cv2
import numpy as np

from labeling.errors import ModelOutputWrong
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask
from labeling.visualization.encode import encode_jpeg
from labeling.visualization.overlays import (
    BOTH,
    PALETTE,
    STUDENT,
    TEACHER,
    blend_mask,
    draw_contours,
    draw_skeleton,
)
from labeling.visualization.text import SMALLEST_TEXT_PX, Color, TextDrawer, shorten

SMALLEST_PANEL_PX = 256
"""Narrower images are enlarged in a comparison, so that its titles can be read."""

_BACKGROUND: Color = (24, 26, 31)
_TEXT: Color = (244, 245, 247)
_LEGEND = (("teacher only", TEACHER), ("student only", STUDENT), ("both", BOTH))
_TILE_MARGIN = 0.2
"""Free room round the people of a tile, as a share of their box's size on each side."""


def draw_instances(
    rgb: RgbImage,
    instances: Sequence[Instance],
    *,
    colors: Sequence[Color] = PALETTE,
    keypoints: bool = True,
    scores: bool = True,
) -> RgbImage:
    """Draw people on a copy of an image: tinted masks, crisp outlines, skeletons, scores.

    `colors` are taken in turn, one per instance.

    Raises:
        ModelOutputWrong: a mask has another size than the image.
    """
    drawn = draw_masks(rgb, [one.mask for one in instances], colors=colors)
    if keypoints:
        for instance in instances:
            if instance.keypoints is not None:
                draw_skeleton(drawn, instance.keypoints)
    return _with_scores(drawn, instances, colors) if scores and instances else drawn


def draw_masks(
    rgb: RgbImage, masks: Sequence[Mask], *, colors: Sequence[Color] = PALETTE, fill: float = 0.4
) -> RgbImage:
    """Tint and outline masks on a copy of an image; `fill` is the tint's opacity, 0 for outlines only.

    Raises:
        ModelOutputWrong: a mask has another size than the image.
    """
    drawn = rgb.copy()
    for mask, color in zip(masks, cycle(colors), strict=False):
        pixels = _fitting_pixels(mask, rgb)
        blend_mask(drawn, pixels, color, opacity=fill)
        draw_contours(drawn, pixels, color)
    return drawn


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

    Raises:
        ModelOutputWrong: a mask has another size than the image.
    """
    width = panel_width or max(rgb.shape[1], SMALLEST_PANEL_PX)
    size_hw = (max(1, round(rgb.shape[0] * width / rgb.shape[1])), width)
    background = _scaled(rgb, size_hw)
    panels, unions = [], []
    for side, color in ((teacher, TEACHER), (student, STUDENT)):
        panel, union = background.copy(), np.zeros(size_hw, dtype=bool)
        for pixels in _scaled_masks(side, rgb, size_hw):
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
    """`draw_tile` as a JPEG."""
    return encode_jpeg(draw_tile(rgb, teacher, student, width=width), quality=quality)


def draw_tile(
    rgb: RgbImage, teacher: Sequence[Instance], student: Sequence[Instance], *, width: int = 480
) -> RgbImage:
    """Make a tile of a contact sheet: the part with the people, about 4:3, `width` pixels wide.

    The teacher's outlines are blue and whole, the student's orange and dashed; where only one of the
    two sees somebody is tinted.

    Raises:
        ModelOutputWrong: a mask has another size than the image.
    """
    x, y, w, h = focus_xywh([one.mask for one in (*teacher, *student)], (rgb.shape[0], rgb.shape[1]))
    rows, columns = slice(y, y + h), slice(x, x + w)
    size_hw = (max(1, round(h * width / w)), width)
    drawn = _scaled(rgb[rows, columns], size_hw)
    sides = [
        [_scaled_pixels(_fitting_pixels(one.mask, rgb)[rows, columns], size_hw) for one in side]
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
    """Part of the image that shows all masks with room round them, 4:3 where the image allows it
    and at least a third of its width; the whole image without masks."""
    height, width = size_hw
    boxes = [mask.box_xywh for mask in masks if mask]
    if not boxes:
        return (0, 0, width, height)
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    people_w = max(box[0] + box[2] for box in boxes) - left
    people_h = max(box[1] + box[3] for box in boxes) - top
    room = 1 + 2 * _TILE_MARGIN
    w = min(float(width), max(people_w * room, people_h * room * 4 / 3, width / 3))
    h = min(float(height), max(w * 3 / 4, people_h * room))
    x = min(max(0.0, left + people_w / 2 - w / 2), width - w)
    y = min(max(0.0, top + people_h / 2 - h / 2), height - h)
    return (int(x), int(y), max(1, int(w)), max(1, int(h)))


def _fitting_pixels(mask: Mask, rgb: RgbImage) -> BoolArray:
    if mask.size_hw != rgb.shape[:2]:
        raise ModelOutputWrong(
            f"a mask of {mask.size_hw} (height, width) does not belong on an image of {rgb.shape[:2]}; "
            "label this frame again"
        )
    return mask.to_array()


def _with_scores(rgb: RgbImage, instances: Sequence[Instance], colors: Sequence[Color]) -> RgbImage:
    letters = TextDrawer(rgb)
    size_px = max(SMALLEST_TEXT_PX, min(rgb.shape[:2]) / 36)
    for instance, color in zip(instances, cycle(colors), strict=False):
        x, y, _, _ = instance.mask.box_xywh
        letters.write_badge(f"{instance.score:.2f}", (x, y - size_px * 1.3), size_px=size_px, color=color)
    return letters.finished()


def _scaled(rgb: RgbImage, size_hw: tuple[int, int]) -> RgbImage:
    shrinks = size_hw[1] < rgb.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, size_hw[::-1], interpolation=way), dtype=np.uint8)


def _scaled_pixels(pixels: BoolArray, size_hw: tuple[int, int]) -> BoolArray:
    """A pixel belongs to the scaled mask when at least half of what it shows does."""
    way = cv2.INTER_AREA if size_hw[1] < pixels.shape[1] else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels.astype(np.uint8) * 255, size_hw[::-1], interpolation=way)
    return np.asarray(scaled) > 255 // 2


def _scaled_masks(
    instances: Sequence[Instance], rgb: RgbImage, size_hw: tuple[int, int]
) -> Iterator[BoolArray]:
    return (_scaled_pixels(_fitting_pixels(one.mask, rgb), size_hw) for one in instances)


def _draw_difference(rgb: RgbImage, teacher: BoolArray, student: BoolArray) -> RgbImage:
    """Both, teacher only, student only, on the image in dark gray."""
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
    sheet = np.full((3 * band + height + gap, total, 3), _BACKGROUND, dtype=np.uint8)
    lefts = [gap + place * (width + gap) for place in range(len(panels))]
    for left, panel in zip(lefts, panels, strict=True):
        sheet[band : band + height, left : left + width] = panel
    letters = TextDrawer(sheet)
    for left, title in zip(lefts, titles, strict=True):
        fitting = shorten(title, width, size_px=size_px)
        letters.write(fitting, (left, band / 2), size_px=size_px, color=_TEXT)
    line_y = band + height + band * 0.6
    fitting = shorten(caption, total - 2 * gap, size_px=size_px)
    letters.write(fitting, (gap, line_y), size_px=size_px, color=_TEXT)
    letters.write_legend(_LEGEND, (gap, line_y + band * 0.9), size_px=size_px)
    return letters.finished()
