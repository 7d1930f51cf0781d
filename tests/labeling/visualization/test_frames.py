import io
from itertools import combinations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from configs.errors import ModelOutputWrong
from labeling.structures.frames import RgbImage
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask
from labeling.text.figures import caption_of, clock
from labeling.visualization.frames import (
    BOTH,
    SMALLEST_PANEL_PX,
    STUDENT,
    TEACHER,
    blend_mask,
    draw_comparison,
    draw_contours,
    draw_tile,
    focus_xywh,
    tile_jpeg,
)
from labeling.visualization.text import SMALLEST_TEXT_PX, shorten, text_width

MACHADO = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""Machado, Oliveira and Fernandes 2009, table 1, severity 1, on linear RGB."""


def _gray(height: int, width: int, shade: int = 100) -> RgbImage:
    return np.full((height, width, 3), shade, dtype=np.uint8)


def _box_mask(size_hw: tuple[int, int], x: int, y: int, w: int, h: int) -> Mask:
    pixels = np.zeros(size_hw, dtype=bool)
    pixels[y : y + h, x : x + w] = True
    return Mask.from_array(pixels)


def _person(size_hw: tuple[int, int], x: int, y: int, w: int, h: int) -> Instance:
    mask = _box_mask(size_hw, x, y, w, h)
    return Instance(mask, 0.93, mask.box_xywh)


def _near(pixel: NDArray[np.uint8], color: tuple[int, int, int], *, within: float) -> bool:
    return bool(np.abs(pixel.astype(float) - color).max() <= within)


def test_a_mask_is_blended_inside_and_nothing_changes_outside() -> None:
    drawn, pixels = _gray(60, 80), _box_mask((60, 80), 20, 20, 30, 20).to_array()
    blend_mask(drawn, pixels, (200, 0, 100), opacity=0.5)
    assert drawn[30, 35].tolist() == [150, 50, 100]
    assert (drawn[~pixels] == 100).all()


@pytest.mark.parametrize("dashed", [False, True])
def test_a_contour_is_crisp_and_stays_near_the_edge(dashed: bool) -> None:
    drawn, pixels = _gray(60, 80), _box_mask((60, 80), 20, 20, 30, 20).to_array()
    draw_contours(drawn, pixels, (200, 0, 100), dashed=dashed)
    assert (drawn[20, 20:50] == (200, 0, 100)).all(axis=1).all() != dashed
    assert (drawn[20, 20:50] == (200, 0, 100)).all(axis=1).any()
    assert drawn[30, 35].tolist() == [100, 100, 100]
    outside = np.ones((60, 80), dtype=bool)
    outside[14:46, 14:56] = False
    assert (drawn[outside] == 100).all()


def test_the_edge_of_a_hole_is_outlined_too() -> None:
    ring, drawn = _box_mask((60, 80), 10, 10, 40, 40).to_array(), _gray(60, 80)
    ring[20:40, 20:40] = False
    draw_contours(drawn, ring, (200, 0, 100))
    assert drawn[30, 19].tolist() == [200, 0, 100]
    assert drawn[30, 30].tolist() == [100, 100, 100]


def test_an_empty_mask_draws_nothing() -> None:
    drawn, empty = _gray(9, 9), np.zeros((9, 9), dtype=bool)
    blend_mask(drawn, empty, (200, 0, 100), opacity=0.5)
    draw_contours(drawn, empty, (200, 0, 100))
    np.testing.assert_array_equal(drawn, _gray(9, 9))


def test_a_mask_of_another_size_is_refused_and_the_image_is_not_changed() -> None:
    rgb = _gray(60, 80)
    for draw in (draw_comparison, draw_tile):
        with pytest.raises(ModelOutputWrong, match=r"\(80, 60\).*\(60, 80\)"):
            draw(rgb, [_person((80, 60), 1, 1, 5, 5)], [])
        draw(rgb, [_person((60, 80), 1, 1, 5, 5)], [])
    assert (rgb == 100).all()


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(48, 64), (360, 480), (1080, 1920), (2160, 3840), (640, 360)])
def test_a_comparison_has_three_panels_with_legible_titles(height: int, width: int) -> None:
    size_hw = (height, width)
    teacher = [_person(size_hw, width // 8, height // 8, width // 2, height // 2)]
    drawn = draw_comparison(_gray(height, width), teacher, [], caption="review")
    panel = max(width, SMALLEST_PANEL_PX)
    assert drawn.shape[1] >= 3 * panel
    text_px = max(SMALLEST_TEXT_PX, panel / 32)
    for number in range(3):
        left = round(number * drawn.shape[1] / 3)
        title = drawn[: round(2 * text_px), left : left + panel // 2].min(axis=2) > 150
        rows = np.flatnonzero(title.any(axis=1))
        assert np.ptp(rows) + 1 >= 0.6 * text_px, f"title {number} is too small to read"
        assert rows[0] > 0, "and not cut off"
        assert rows[-1] < round(2 * text_px) - 1


def test_the_difference_shows_whose_each_pixel_is() -> None:
    size_hw = (200, 400)
    teacher, student = [_person(size_hw, 50, 50, 150, 100)], [_person(size_hw, 150, 50, 150, 100)]
    drawn = draw_comparison(_gray(*size_hw), teacher, student)
    left = drawn.shape[1] - 400 - 4
    top = 25
    assert _near(drawn[top + 100, left + 100], TEACHER, within=45)
    assert _near(drawn[top + 100, left + 250], STUDENT, within=45)
    assert np.ptp(drawn[top + 100, left + 175].astype(int)) < 12, "both is gray"
    assert drawn[top + 100, left + 350].tolist() == [40, 40, 40], "neither: the darkened image"


def test_a_panel_width_decides_the_size() -> None:
    drawn = draw_comparison(_gray(1080, 1920), [], [], panel_width=320)
    assert 3 * 320 < drawn.shape[1] < 3 * 330
    assert drawn.shape[0] < 180 + 100


def test_a_caption_that_is_too_long_is_cut_off_with_dots() -> None:
    long = "boundary, " * 200
    fitting = shorten(long, 500, size_px=12)
    assert fitting.endswith("...")
    assert 450 < text_width(fitting, 12) <= 500
    assert shorten(long, 1, size_px=12) == ""
    assert draw_comparison(_gray(48, 64), [], [], caption=long).shape[1] == 776


def test_a_caption_counts_causes_in_order_of_first_use() -> None:
    assert (
        caption_of("review", 0.314, ["miss", "boundary", "miss"]) == "review · IoU 0.31 · 2 x miss, boundary"
    )
    assert caption_of("accepted", None) == "accepted"


@pytest.mark.parametrize(
    ("pts_ms", "text"),
    [(0, "00:00.000"), (83_040, "01:23.040"), (3_599_999, "59:59.999"), (3_600_000, "1:00:00.000")],
)
def test_a_clock_shows_milliseconds_and_hours_only_when_needed(pts_ms: int, text: str) -> None:
    assert clock(pts_ms) == text


@pytest.mark.parametrize("kind", [None, *MACHADO])
def test_the_colors_differ_with_any_color_vision(kind: str | None) -> None:
    seen = [_lab(color, kind) for color in (TEACHER, STUDENT, BOTH)]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2)) > 20


def _lab(color: tuple[int, int, int], kind: str | None) -> NDArray[np.float64]:
    linear = ((np.array(color) / 255 + 0.055) / 1.055) ** 2.4
    if kind:
        linear = np.clip(np.array(MACHADO[kind]) @ linear, 0, 1)
    coded = (1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)
    return np.asarray(cv2.cvtColor(coded.reshape(1, 1, 3), cv2.COLOR_RGB2LAB)[0, 0], dtype=np.float64)


@pytest.mark.parametrize("size_hw", [(1080, 1920), (640, 360), (48, 64)])
@pytest.mark.parametrize("seed", range(5))
def test_a_tile_shows_all_people_whole(size_hw: tuple[int, int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    height, width = size_hw
    people = []
    for _ in range(generator.integers(1, 4)):
        x, y = int(generator.integers(width - 9)), int(generator.integers(height - 9))
        w, h = int(generator.integers(1, width - x)), int(generator.integers(1, height - y))
        people.append((x, y, w, h))
    x, y, w, h = focus_xywh([_box_mask(size_hw, *person) for person in people], size_hw)
    assert x >= 0
    assert y >= 0
    assert x + w <= width
    assert y + h <= height
    assert x <= min(p[0] for p in people)
    assert y <= min(p[1] for p in people)
    assert x + w >= max(p[0] + p[2] for p in people) - 1
    assert y + h >= max(p[1] + p[3] for p in people) - 1


def test_a_small_person_in_a_big_image_is_enlarged_but_not_beyond_a_third() -> None:
    assert focus_xywh([_box_mask((1080, 1920), 900, 500, 10, 20)], (1080, 1920)) == (585, 270, 640, 480)


def test_an_image_without_people_is_shown_whole() -> None:
    assert focus_xywh([], (1080, 1920)) == (0, 0, 1920, 1080)


def test_a_tile_is_a_jpeg_of_the_requested_width() -> None:
    size_hw = (360, 480)
    teacher, student = [_person(size_hw, 100, 100, 120, 160)], [_person(size_hw, 260, 100, 120, 160)]
    with Image.open(io.BytesIO(tile_jpeg(_gray(*size_hw), teacher, student, width=240))) as tile:
        assert tile.format == "JPEG"
        assert tile.size == (240, 180)
        pixels = np.asarray(tile.convert("RGB"))
    left, right = pixels[90, 80].astype(int), pixels[90, 160].astype(int)
    assert left[2] - left[0] > 20, "teacher only: bluish"
    assert right[0] - right[2] > 20, "student only: reddish"
    with pytest.raises(ModelOutputWrong):
        tile_jpeg(_gray(100, 100), teacher, student)
