"""A still scene with noise, in which one person walks, one sways and a coat hangs."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.structures.frames import Frame
from labeling.structures.masks import BoxXywh, Mask
from labeling.trust.static_regions import REMEMBERED, StaticRegionDetector

SIZE_HW = (120, 160)
COAT, SWAYING = (10, 20, 20, 60), (120, 20, 20, 60)
WALKER_XS = range(0, 144, 18)
"""Position of the walker in each of the first frames."""


def box(x: int, y: int, w: int, h: int, size_hw: tuple[int, int] = SIZE_HW) -> Mask:
    pixels = np.zeros(size_hw, np.bool_)
    pixels[y : y + h, x : x + w] = True
    return Mask.from_array(pixels)


def observed(
    *, seconds: int = 60, shot: int = 0, scale: int = 1, passes_by: bool = False
) -> StaticRegionDetector:
    """Observe two frames a second. A person walks from left to right in the first four
    seconds; with `passes_by`, another covers the coat for one second."""
    rng, static_regions = np.random.default_rng(0), StaticRegionDetector()
    for number in range(2 * seconds):
        image = np.full((*SIZE_HW, 3), 120, np.uint8)
        image[20:80, 10:30] = 30
        sway = 4 * (number % 3)
        image[20:80, 120 + sway : 132 + sway] = 230
        if passes_by and number in (40, 41):
            image[10:90, 0:50] = 220
        if number < len(WALKER_XS):
            image[85:115, WALKER_XS[number] : WALKER_XS[number] + 16] = 250
        noisy = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
        rgb = noisy.repeat(scale, axis=0).repeat(scale, axis=1)
        frame = Frame("v", shot + 500 * number, rgb, shot=shot)
        static_regions.observe(frame)
    return static_regions


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1, 3])
def test_a_coat_does_not_move_and_a_swaying_person_does(scale: int) -> None:
    static_regions = observed(scale=scale)
    size_hw = (SIZE_HW[0] * scale, SIZE_HW[1] * scale)
    coat, swaying = (
        box(x * scale, y * scale, w * scale, h * scale, size_hw) for x, y, w, h in (COAT, SWAYING)
    )
    assert static_regions.moving_fraction(coat, 0) == 0.0
    share = static_regions.moving_fraction(swaying, 0)
    assert share is not None
    assert share > 0.5


def test_a_walker_moves_though_no_pixel_changes_for_long() -> None:
    static_regions = observed()
    shares = [
        static_regions.moving_fraction(box(x, 85, 16, 30), 500 * number) for number, x in enumerate(WALKER_XS)
    ]
    assert all(share is not None and share > 0.9 for share in shares)
    assert static_regions.moving_fraction(box(0, 85, 16, 30), 20_000) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1, 3])
def test_a_walker_without_a_mask_is_found(scale: int) -> None:
    static_regions = observed(scale=scale)
    size_hw = (SIZE_HW[0] * scale, SIZE_HW[1] * scale)
    x, y, w, h = SWAYING
    swaying = box(x * scale, y * scale, w * scale, h * scale, size_hw)
    found = static_regions.find_missed([swaying], 1000, min_share=0.3)
    assert found == pytest.approx((36 * scale, 85 * scale, 16 * scale, 30 * scale), abs=2 * scale)
    walker = box(36 * scale, 85 * scale, 16 * scale, 30 * scale, size_hw)
    assert static_regions.find_missed([swaying, walker], 1000, min_share=0.3) is None
    assert static_regions.find_missed([swaying], 20_000, min_share=0.3) is None


def test_a_passer_by_does_not_move_a_coat() -> None:
    assert observed(passes_by=True).moving_fraction(box(*COAT), 0) == 0.0


@pytest.mark.parametrize("seconds", [5, 10, 15, 16])
def test_where_a_recorder_cuts_its_files_does_not_matter(seconds: int) -> None:
    """A coat is doubted in a short file too; whoever moves is not."""
    static_regions = observed(seconds=seconds)
    assert static_regions.moving_fraction(box(*COAT), 0) == 0.0
    assert (static_regions.moving_fraction(box(*SWAYING), 0) or 0) > 0.2


def test_in_a_short_shot_missed_people_are_not_searched() -> None:
    assert observed(seconds=15).find_missed([box(*SWAYING)], 1000, min_share=0.3) is None
    assert observed(seconds=16).find_missed([box(*SWAYING)], 1000, min_share=0.3) is not None


def test_a_moving_camera_misses_no_person() -> None:
    """A person crosses a room once, in front of a static camera and of one that pans."""
    rng = np.random.default_rng(0)
    wall = rng.integers(0, 200, (30, 80, 3), np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    found = [_cross(wall, step) for step in (0, 2)]
    assert found[0] == pytest.approx((80, 40, 16, 60), abs=2)
    assert found[1] is None


def _cross(wall: NDArray[np.uint8], pan_px: int) -> BoxXywh | None:
    """Return what is found in the only frame of sixty with a person, in the middle of the image."""
    static_regions = StaticRegionDetector()
    for number in range(60):
        rgb = wall[:, pan_px * number : pan_px * number + 160].copy()
        if number == 20:
            rgb[40:100, 80:96] = 255
        frame = Frame("v", 500 * number, rgb)
        static_regions.observe(frame)
    return static_regions.find_missed([box(10, 10, 12, 40)], 10_000, min_share=0.5)


def test_a_short_shot_of_a_moving_camera_gives_no_result() -> None:
    wall = (
        np.random.default_rng(0).integers(0, 200, (30, 80, 3), np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    )
    static_regions = StaticRegionDetector()
    for number in range(10):
        frame = Frame("v", 500 * number, wall[:, 4 * number : 4 * number + 160].copy())
        static_regions.observe(frame)
    assert static_regions.moving_fraction(box(10, 10, 12, 40), 0) is None


def test_each_shot_is_judged_by_itself() -> None:
    static_regions = observed(seconds=30)
    other = Frame("v", 30_000, np.zeros((*SIZE_HW, 3), np.uint8), shot=30_000)
    static_regions.observe(other)
    assert static_regions.moving_fraction(box(*COAT), 0) == 0.0
    assert static_regions.moving_fraction(box(*COAT), 30_000) is None


@pytest.mark.slow
def test_a_mask_smaller_than_a_compared_pixel_is_not_judged() -> None:
    static_regions = observed(scale=8)
    size_hw = (SIZE_HW[0] * 8, SIZE_HW[1] * 8)
    assert static_regions.moving_fraction(box(81, 161, 1, 1, size_hw), 0) is None
    assert static_regions.moving_fraction(Mask.empty(size_hw), 0) is None


@pytest.mark.slow
def test_a_long_shot_takes_no_more_memory_than_a_short_one() -> None:
    static_regions = observed(seconds=1000)
    (recorder,) = static_regions._current.values()
    assert len(recorder.images) == len(recorder.sharp) <= REMEMBERED
    assert static_regions.moving_fraction(box(*COAT), 0) == 0.0


def show_clock(image: NDArray[np.uint8], second: int) -> None:
    cv2.putText(image, f"{second % 60:02d}", (118, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)


@pytest.mark.slow
def test_a_clock_neither_moves_nor_is_missed() -> None:
    rng, static_regions = np.random.default_rng(0), StaticRegionDetector()
    for number in range(120):
        image = np.full((240, 320, 3), 120, np.uint8)
        image[60:160, 20 + number : 44 + number] = 30
        show_clock(image, number // 2)
        noisy = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
        frame = Frame("v", 500 * number, noisy)
        static_regions.observe(frame)
    clock, walker = box(118, 8, 30, 18, (240, 320)), box(80, 60, 24, 100, (240, 320))
    assert static_regions.moving_fraction(clock, 30_000) == pytest.approx(0, abs=0.1)
    assert static_regions.find_missed([walker], 30_000, min_share=0.02) is None
    (place,) = static_regions.most_overlays()
    assert place.endswith(")")
    assert static_regions.most_looks() == 1


def test_day_and_infrared_have_their_own_statistics() -> None:
    rng, static_regions = np.random.default_rng(0), StaticRegionDetector()
    day = rng.integers(0, 255, (15, 20, 3)).astype(np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    infrared = (day.mean(axis=2, keepdims=True) * 0.6 + 60).astype(np.uint8).repeat(3, axis=2)
    for number in range(120):
        frame = Frame("v", 500 * number, day if number < 60 else infrared)
        static_regions.observe(frame)
    coat = box(40, 60, 40, 100, (240, 320))
    assert [static_regions.moving_fraction(coat, 500 * number) for number in (10, 59, 60, 110)] == [0.0] * 4
    assert static_regions.most_looks() == 2
