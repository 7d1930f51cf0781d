"""Shift and homography of images from a moved camera, on planted views."""

import math

import cv2
import numpy as np
import pytest

from labeling.background.camera_motion import (
    Homography,
    choose_reference,
    estimate_homography,
    match_image,
    measure_shift,
    warp_to_reference,
)
from labeling.structures.frames import RgbImage
from labeling.structures.images import resize_image, thumbnail
from tests.labeling.background.planted import add_noise, columns, shake, texture, view

MARGIN = 40
SIZE_HW = (240, 320)
WIDE = texture(size_hw=(SIZE_HW[0] + 2 * MARGIN, SIZE_HW[1] + 2 * MARGIN))
REFERENCE = view(WIDE, np.eye(3), MARGIN)
NO_MASK = np.zeros(SIZE_HW, dtype=bool)


def shifted(x: float, y: float) -> RgbImage:
    return view(WIDE, np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=float), MARGIN)


def corner_error(found: Homography, planted: Homography, size_hw: tuple[int, int] = SIZE_HW) -> float:
    height, width = size_hw
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], dtype=float)
    moved = [cv2.perspectiveTransform(corners, homography) for homography in (found, planted)]
    return float(np.linalg.norm(moved[0] - moved[1], axis=2).max())


@pytest.mark.parametrize("largest_px", [0.5, 2, 6, 25])
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_homography_is_found(largest_px: float, seed: int) -> None:
    planted = shake(REFERENCE, seed, largest_px=largest_px)
    image = add_noise(view(WIDE, planted, MARGIN), 2, seed)
    found = estimate_homography(image, REFERENCE)
    assert found is not None
    assert corner_error(found, planted) < 0.5


def test_it_maps_the_reference_to_the_image() -> None:
    found = estimate_homography(shifted(5, -3), REFERENCE)
    assert found is not None
    assert (found @ [100, 100, 1])[:2] == pytest.approx([105, 97], abs=0.1)
    back, seen = warp_to_reference(shifted(5, -3), ~NO_MASK, found)
    inner = np.s_[10:-10, 10:-10]
    assert np.abs(back[inner].astype(int) - REFERENCE[inner]).mean() < 1
    assert not seen[:, -4:].any()
    assert seen[inner].all()


def test_large_images_are_measured_in_their_own_pixels() -> None:
    size_hw = (1080, 1440)
    wide = resize_image(texture(size_hw=(290, 380)), (1160, 1520))
    planted = shake(np.zeros((*size_hw, 3), np.uint8), 0, largest_px=12)
    found = estimate_homography(view(wide, planted, MARGIN), view(wide, np.eye(3), MARGIN))
    assert found is not None
    assert corner_error(found, planted, size_hw) < 1


def test_other_light_does_not_matter() -> None:
    darker = np.clip(shifted(4, 2) * 0.6 + 10, 0, 255).astype(np.uint8)
    found = estimate_homography(darker, REFERENCE)
    assert found is not None
    assert found[:2, 2] == pytest.approx([4, 2], abs=0.2)


def test_people_in_the_masks_do_not_matter() -> None:
    """The larger part of the image moves by 8 pixels, as a person might; the rest stands still."""
    person = columns(0, 200, SIZE_HW)
    image = np.where(person[..., None], shifted(8, 0), REFERENCE)
    found = estimate_homography(image, REFERENCE, columns(0, 210, SIZE_HW))
    assert found is not None
    assert corner_error(found, np.eye(3)) < 0.5
    assert match_image(image, REFERENCE, None).shift_px > 5


def test_images_of_two_places_have_no_homography() -> None:
    match = match_image(texture(5, SIZE_HW), REFERENCE, None)
    assert match.homography is None
    assert match.shift_px == math.inf


def test_images_without_texture_have_no_known_shift() -> None:
    blank = np.full((*SIZE_HW, 3), 120, dtype=np.uint8)
    for image in (blank, add_noise(blank, 3, 1)):
        match = match_image(image, add_noise(blank, 3, 0), None)
        assert match.homography is None
        assert math.isnan(match.shift_px)
    assert math.isnan(match_image(REFERENCE, REFERENCE, ~NO_MASK).shift_px)


def test_bad_compression_is_no_motion() -> None:
    image = REFERENCE
    for seed in range(2):
        coded = cv2.imencode(".jpg", add_noise(image, 6, seed), [cv2.IMWRITE_JPEG_QUALITY, 5])[1]
        decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
        assert not match_image(decoded, REFERENCE, None).shift_px > 1


@pytest.mark.slow
def test_the_shift_is_the_median_over_the_samples() -> None:
    samples = [shifted(x, 0) for x in (0, 0, 0, 3, -3, 4, -4)]
    assert measure_shift(samples, [NO_MASK] * 7) == pytest.approx(3, abs=0.2)
    assert measure_shift([REFERENCE] * 4, [NO_MASK] * 4) < 0.1
    others = [texture(seed, SIZE_HW) for seed in range(20, 24)]
    assert measure_shift([REFERENCE, *others], [NO_MASK] * 5) == math.inf
    assert measure_shift([REFERENCE], [NO_MASK]) == 0


def test_the_reference_is_a_typical_image() -> None:
    images = [texture(1), texture() // 2, texture(), texture(), add_noise(texture() * 1.1, 0, 0)]
    assert choose_reference([thumbnail(image) for image in images]) in (2, 3)
