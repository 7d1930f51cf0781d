"""People who are found in other frames only."""

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.matting.missing_people import (
    MissingPerson,
    Sighting,
    find_change,
    find_missing,
    locate_missing,
)
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh, Mask, fill_box, iou_matrix

SIZE_HW = (80, 160)
COLOR = (220, 40, 30)


def boxes(*lefts: int) -> list[Instance]:
    return [person((left, 0, 10, 10), (10, 200)) for left in lefts]


def person(box: BoxXywh, size_hw: tuple[int, int] = SIZE_HW) -> Instance:
    mask = fill_box(box, size_hw)
    return Instance(mask, 0.9, mask.box_xywh)


def room() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).standard_normal((*SIZE_HW, 3)).astype(np.float32)
    return np.clip(120 + 90 * cv2.GaussianBlur(noise, (0, 0), 2), 0, 255).astype(np.uint8)


def show(*masks: Mask) -> NDArray[np.uint8]:
    image = room()
    for mask in masks:
        image[mask.to_array()] = COLOR
    return image


def locate(found: Instance, image: NDArray[np.uint8], others: Sequence[Instance] = ()) -> Instance:
    missing = [MissingPerson((Sighting(found, Fraction(2, 5)),))]
    (located,) = locate_missing(missing, image, room(), np.ones(SIZE_HW, bool), others)
    return located


@pytest.mark.parametrize(
    ("now", "others", "expected"),
    [
        ([0], [[100]], []),  # one person who moved fast, not two
        ([], [[100]], [100]),  # lost for a moment
        ([0], [[1, 100]], [100]),  # one of two is lost
        ([0, 50], [[100]], []),
        ([], [[], []], []),
        ([], [[100], [108]], [100]),  # the nearest frame counts
    ],
)
def test_a_person_of_another_frame_is_missing_only_if_that_frame_has_more_people(
    now: list[int], others: list[list[int]], expected: list[int]
) -> None:
    near = [(Fraction(i + 1, 25), boxes(*lefts)) for i, lefts in enumerate(others)]
    missing = find_missing(boxes(*now), near)
    assert [int(one.person.box_xywh[0]) for one in missing] == expected
    assert [one.sightings[0].dt_s for one in missing] == [Fraction(1, 25)] * len(expected)


@pytest.mark.parametrize("left", [-12, 10, 30, 49, 62])
def test_the_mask_moves_to_where_the_image_differs_from_the_plate(left: int) -> None:
    now = person((max(0, left), 20, min(20, left + 20), 50))
    located = locate(person((36, 18, 20, 50)), show(now.mask))
    assert iou_matrix([located.mask], [now.mask]).item() > 0.85
    assert located.box_xywh == located.mask.box_xywh


def test_all_sightings_of_a_single_missing_person_are_kept_and_those_of_several_are_not() -> None:
    near = [(Fraction(i, 25), boxes(*lefts)) for i, lefts in ((1, [100]), (2, [120]), (3, []))]
    assert [len(one.sightings) for one in find_missing([], near)] == [2]
    near = [(Fraction(i, 25), boxes(*lefts)) for i, lefts in ((1, [100]), (2, [100, 20]))]
    assert [len(one.sightings) for one in find_missing([], near)] == [1, 1]


def test_of_several_masks_the_one_that_agrees_best_is_taken() -> None:
    now = person((0, 20, 12, 50))
    legs, whole = person((0, 50, 16, 20)), person((20, 20, 20, 50))
    missing = MissingPerson((Sighting(legs, Fraction(1, 25)), Sighting(whole, Fraction(2, 5))))
    (located,) = locate_missing([missing], show(now.mask), room(), np.ones(SIZE_HW, bool), [])
    assert iou_matrix([located.mask], [now.mask]).item() > 0.85


def test_keypoints_move_with_the_mask() -> None:
    found = person((40, 20, 20, 50))
    found = Instance(found.mask, 0.9, found.box_xywh, keypoints=((45.0, 30.0, 0.8),) * 17)
    located = locate(found, show(person((60, 20, 20, 50)).mask))
    assert located.keypoints is not None
    assert located.keypoints[3] == pytest.approx((65.0, 30.0, 0.8), abs=2)


def test_a_mask_stays_where_nothing_within_reach_looks_like_it() -> None:
    found = person((0, 20, 10, 25))
    assert locate(found, room()) == found
    assert locate(found, show(person((120, 20, 10, 25)).mask)) == found  # 12 heights a second
    assert locate(found, show(person((0, 0, 160, 80)).mask)) == found


def test_a_mask_does_not_move_to_another_person() -> None:
    other = person((60, 20, 20, 50))
    found = person((36, 20, 20, 50))
    assert locate(found, show(other.mask), [other]) == found


def test_a_shadow_is_no_change() -> None:
    dark = (room() * 0.7).astype(np.uint8)
    assert not find_change(dark, room(), np.ones(SIZE_HW, bool)).any()
    assert find_change(show(person((20, 20, 20, 40)).mask), room(), np.ones(SIZE_HW, bool)).sum() > 700


@pytest.mark.slow
@pytest.mark.parametrize("size_hw", [(1, 1), (2, 300), (2160, 3840)])
def test_images_of_any_size(size_hw: tuple[int, int]) -> None:
    whole = person((0.0, 0.0, 1.0 * size_hw[1], 1.0 * size_hw[0]), size_hw)
    plate = np.zeros((*size_hw, 3), np.uint8)
    missing = [MissingPerson((Sighting(whole, Fraction(2, 5)),))]
    assert locate_missing(missing, plate, plate, np.ones(size_hw, bool), []) == [whole]
