"""Small scenes with boxes drawn on a plain background in some of the images."""

import numpy as np
import pytest

from labeling.structures.masks import BoolArray
from labeling.trust.missed_people import find_missed, is_steady

SIZE_HW = (60, 80)
COUNT = 40
NOW = 20
SEEN = (4, 10, 6, 20)
"""A person with a mask, x, y, w, h."""
PASSES = (40, 20, 6, 18)

Box = tuple[int, int, int, int]


def area(x: int, y: int, w: int, h: int) -> BoolArray:
    pixels = np.zeros(SIZE_HW, np.bool_)
    pixels[y : y + h, x : x + w] = True
    return pixels


def find(*things: tuple[Box, range], min_share: float = 0.5, now: int = NOW) -> object:
    """Return what is found in one image of forty; each box is in some of them, and `SEEN` has a mask."""
    images = np.zeros((COUNT, *SIZE_HW), np.int64)
    for level, (box, times) in enumerate(things, start=1):
        images[times.start : times.stop, area(*box)] = level
    beside = [place for place in (now - 1, now + 1) if 0 <= place < COUNT]
    return find_missed(images == images[now], beside, [area(*SEEN)], min_share=min_share)


def test_a_passer_by_outside_all_masks_is_found() -> None:
    assert find((PASSES, range(NOW, NOW + 1))) == PASSES


def test_a_frame_without_the_passer_by_has_no_find() -> None:
    assert find((PASSES, range(NOW + 1, NOW + 2))) is None


def test_a_person_with_a_mask_and_what_they_carry_is_not_missed() -> None:
    bag = (SEEN[0] + 6, SEEN[1] + 8, 4, 12)
    assert find((SEEN, range(NOW, NOW + 1)), (bag, range(NOW, NOW + 1)), min_share=0.01) is None


def test_an_object_that_comes_and_stays_is_no_person() -> None:
    assert find((PASSES, range(NOW - 1, COUNT))) is None
    assert find((PASSES, range(NOW, COUNT))) is None


def test_the_wall_behind_a_person_who_left_is_no_person() -> None:
    """The person stood there until the shot's last images."""
    assert find((PASSES, range(COUNT - 2)), now=COUNT - 2) is None
    assert find((PASSES, range(COUNT - 2)), now=COUNT - 1) is None


def test_a_person_in_only_the_first_or_last_image_is_found() -> None:
    assert find((PASSES, range(1)), now=0) == PASSES
    assert find((PASSES, range(COUNT - 1, COUNT)), now=COUNT - 1) == PASSES


@pytest.mark.parametrize(("returns", "found"), [(7, PASSES), (8, None)])
def test_a_region_that_looks_the_same_in_more_than_a_fifth_of_the_images_is_no_person(
    returns: int, found: Box | None
) -> None:
    images = np.zeros((COUNT, *SIZE_HW), np.int64)
    for time in [NOW, *range(0, returns)]:
        images[time, area(*PASSES)] = 1
    alike = images == images[NOW]
    assert find_missed(alike, [NOW - 1, NOW + 1], [area(*SEEN)], min_share=0.5) == found


def test_a_part_wider_than_tall_is_no_person() -> None:
    assert find(((40, 20, 18, 18), range(NOW, NOW + 1))) == (40, 20, 18, 18)
    assert find(((40, 20, 19, 18), range(NOW, NOW + 1))) is None


def test_a_part_smaller_than_half_the_smallest_mask_is_no_person() -> None:
    half = SEEN[2] * SEEN[3] // 2
    assert find(((40, 20, 5, half // 5), range(NOW, NOW + 1))) == (40, 20, 5, half // 5)
    assert find(((40, 20, 5, half // 5 - 1), range(NOW, NOW + 1))) is None


def test_thin_lines_are_no_person() -> None:
    threads = [((x, 5, 2, 50), range(NOW, NOW + 1)) for x in range(30, 70, 4)]
    assert find(*threads, min_share=0.01) is None


def test_the_largest_of_several_is_named() -> None:
    assert find((PASSES, range(NOW, NOW + 1)), ((60, 10, 8, 30), range(NOW, NOW + 1))) == (60, 10, 8, 30)


def test_a_change_of_a_large_part_of_the_image_is_no_person() -> None:
    assert find(((30, 0, 20, 60), range(NOW, NOW + 1))) == (30, 0, 20, 60)
    assert find(((30, 0, 21, 60), range(NOW, NOW + 1))) is None


def test_without_a_mask_there_is_no_result() -> None:
    images = np.zeros((COUNT, *SIZE_HW), np.int64)
    images[NOW, area(*PASSES)] = 1
    assert find_missed(images == images[NOW], [NOW - 1, NOW + 1], [], min_share=0.5) is None


def test_a_camera_is_steady_where_most_edges_keep_their_level() -> None:
    rng = np.random.default_rng(0)
    usual = rng.uniform(0, 255, SIZE_HW).astype(np.float32)
    usual[:, 40:] = 100
    still = np.ones(SIZE_HW, np.bool_)
    only_plain = still.copy()
    only_plain[:, :42] = False
    assert is_steady(usual, still)
    assert not is_steady(usual, only_plain)
    assert is_steady(np.full(SIZE_HW, 100, np.float32), still)
