"""A contact sheet: every tile in its position, whole, and small enough for a database."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from labeling.visualization.contact_sheet import CELL_HW, SheetTile, contact_sheet

RED, GREEN, BLUE, WHITE = (220, 20, 20), (20, 200, 20), (20, 20, 220), (250, 250, 250)


def tile(color: tuple[int, int, int], size_hw: tuple[int, int] = (90, 120)) -> SheetTile:
    return SheetTile(np.full((*size_hw, 3), color, np.uint8), ("a line", "another"))


def opened(jpeg: bytes) -> NDArray[np.int_]:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


def test_tiles_lie_from_left_to_right_and_then_below() -> None:
    sheet = opened(contact_sheet([tile(RED), tile(GREEN), tile(BLUE), tile(WHITE)], columns=3))
    height, width = CELL_HW
    middles = [(height // 2, width // 2 + column * (width + 8)) for column in range(3)]
    below = (sheet.shape[0] - height // 2 - 50, width // 2)
    for (y, x), color in zip([*middles, below], [RED, GREEN, BLUE, WHITE], strict=True):
        assert np.abs(sheet[y, x] - color).max() < 12, (y, x)


def test_an_upright_image_is_shown_whole_in_the_middle_of_its_cell() -> None:
    rgb = np.full((400, 100, 3), GREEN, np.uint8)
    rgb[:20], rgb[-20:] = RED, BLUE
    sheet = opened(contact_sheet([SheetTile(rgb, ("", ""))]))
    middle = 8 + CELL_HW[1] // 2
    assert np.abs(sheet[8 + 4, middle] - RED).max() < 30
    assert np.abs(sheet[8 + CELL_HW[0] - 5, middle] - BLUE).max() < 30
    assert sheet[8 + CELL_HW[0] // 2, middle - 60].max() < 60  # beside it is background


def test_noise_is_coarsened_until_it_fits() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (225, 300, 3), np.uint8)
    tiles = [SheetTile(noise, ("", ""))] * 9
    fine, coarse = contact_sheet(tiles, max_bytes=10**7), contact_sheet(tiles, max_bytes=400_000)
    assert len(fine) > 400_000 >= len(coarse)
    assert opened(fine).shape == opened(coarse).shape


def test_a_sheet_without_tiles_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one tile"):
        contact_sheet([])
