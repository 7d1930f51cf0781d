"""Values for pixels that no sample shows, function by function."""

import numpy as np
import pytest

from labeling.background.plate import masked_median
from labeling.background.unseen_pixels import ENOUGH_VALUES, fill_from_frames, fill_inpainted
from tests.labeling.background.planted import columns, texture

SIZE_HW = (96, 240)


def test_found_pixels_are_the_median_of_the_frames_that_show_them() -> None:
    rng = np.random.default_rng(0)
    unseen = rng.random(SIZE_HW) < 0.3
    images = rng.integers(0, 256, (7, *SIZE_HW, 3), dtype=np.uint8)
    seen = rng.random((7, *SIZE_HW)) < 0.2
    rgb = texture()
    filled = fill_from_frames(rgb, unseen, zip(images, seen, strict=True), masked_median)
    assert np.array_equal(filled, unseen & seen.any(axis=0))
    expected = np.where(filled[..., None], masked_median(images, seen), texture())
    assert np.array_equal(rgb, expected)


def test_no_more_frames_are_read_than_needed() -> None:
    unseen = columns(10, 20)
    frames = iter([(texture(), ~np.zeros(SIZE_HW, dtype=bool))] * 40)
    assert np.array_equal(fill_from_frames(texture(), unseen, frames, masked_median), unseen)
    assert len(list(frames)) == 40 - ENOUGH_VALUES


@pytest.mark.parametrize("size_hw", [(120, 400), (360, 1200)])
def test_a_hole_in_a_gradient_is_inpainted_with_it(size_hw: tuple[int, int]) -> None:
    ramp = np.linspace(20, 220, size_hw[0])[:, None, None]
    gradient = np.broadcast_to(ramp, (*size_hw, 3)).round().astype(np.uint8)
    hole = columns(200, 220, size_hw)
    rgb = np.where(hole[..., None], np.uint8(255), gradient)
    assert np.array_equal(fill_inpainted(rgb, hole), hole)
    assert np.array_equal(rgb[~hole], gradient[~hole])
    assert np.abs(rgb.astype(int) - gradient)[4:-4].max() <= 6
