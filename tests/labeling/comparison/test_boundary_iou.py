"""Boundary IoU against erosion of whole images, as the paper's code does it, by another library."""

import numpy as np
import pytest
from hypothesis import given

from labeling.comparison.boundary_iou import band_width_px, boundary_band, boundary_iou
from labeling.structures.masks import BoolArray, Mask
from tests.labeling.comparison.slow_comparison import slow_boundary_iou
from tests.labeling.strategies import blobs, draw, images, sides


def test_the_band_of_a_square_is_its_outline() -> None:
    square = draw(".....", ".###.", ".###.", ".###.", ".....")
    outline = draw(".....", ".###.", ".#.#.", ".###.", ".....")
    assert np.array_equal(boundary_band(square, 1), outline)
    assert np.array_equal(boundary_band(square, 2), square)


def test_the_images_border_counts_as_background() -> None:
    outline = draw("####", "#..#", "####")
    assert np.array_equal(boundary_band(np.ones((3, 4), dtype=np.bool_), 1), outline)


def test_a_hole_has_a_contour() -> None:
    holed = np.ones((7, 7), dtype=np.bool_)
    holed[3, 3] = False
    inner = boundary_band(holed, 1)[1:6, 1:6]
    assert np.array_equal(inner, draw(".....", ".###.", ".#.#.", ".###.", "....."))


@pytest.mark.parametrize(
    ("size_hw", "width_px"), [((4, 4), 1), ((720, 1280), 29), ((2160, 3840), 88), ((480, 360), 12)]
)
def test_the_band_is_two_per_cent_of_the_diagonal(size_hw: tuple[int, int], width_px: int) -> None:
    assert band_width_px(size_hw) == width_px


@given(images())
def test_a_mask_agrees_with_itself(image: BoolArray) -> None:
    mask = Mask.from_array(image)
    assert boundary_iou(mask, mask) == 1.0


@pytest.mark.slow
@given(sides(most=2))
def test_small_images_agree_with_erosion(both: tuple[list[BoolArray], list[BoolArray]]) -> None:
    for first in both[0]:
        for second in both[1]:
            masks = Mask.from_array(first), Mask.from_array(second)
            assert boundary_iou(*masks) == pytest.approx(slow_boundary_iou(first, second), abs=1e-12)
            assert boundary_iou(*masks) == boundary_iou(*masks[::-1])


@pytest.mark.parametrize("seed", range(6))
def test_smooth_shapes_agree_with_erosion(seed: int) -> None:
    first, second = blobs(seed, (240, 320))
    result = boundary_iou(Mask.from_array(first), Mask.from_array(second))
    assert 0.05 < result < 0.95
    assert result == pytest.approx(slow_boundary_iou(first, second), abs=1e-12)


def test_a_large_body_does_not_hide_a_shifted_outline() -> None:
    body = np.zeros((200, 200), dtype=np.bool_)
    body[20:180, 20:180] = True
    shifted = np.roll(body, 6, axis=1)
    masks = Mask.from_array(body), Mask.from_array(shifted)
    assert (body & shifted).sum() / (body | shifted).sum() > 0.92
    assert boundary_iou(*masks) == pytest.approx(slow_boundary_iou(body, shifted), abs=1e-12)
    assert boundary_iou(*masks) < 0.5


def test_two_empty_masks_agree_and_one_empty_does_not() -> None:
    empty, full = Mask.empty((4, 4)), Mask.from_array(np.ones((4, 4)))
    assert boundary_iou(empty, empty) == 1.0
    assert boundary_iou(empty, full) == boundary_iou(full, empty) == 0.0
