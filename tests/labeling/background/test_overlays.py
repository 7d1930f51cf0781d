"""Clocks, counters and spinners are overlays; people who walk, stand or sway are none."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.background.overlays import Overlays, find_overlays
from labeling.background.samples import read_samples
from labeling.structures.frames import Clip

SIZE_HW = (180, 320)
Draw = Callable[[NDArray[np.uint8], int], None]


def write(image: NDArray[np.uint8], text: str, at: tuple[int, int], *, scale: float = 0.6) -> None:
    for level, width in ((0, 4), (255, 2)):
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, level, width)


def clock(image: NDArray[np.uint8], number: int) -> None:
    write(image, f"12:{number // 30:02d}:{2 * number % 60:02d}", (190, 24))


def boxed_clock(image: NDArray[np.uint8], number: int) -> None:
    image[150:178, :120] = 0
    cv2.putText(image, f"08:59:{number % 60:02d}", (4, 172), cv2.FONT_HERSHEY_COMPLEX, 0.7, 255, 2)


def counter(image: NDArray[np.uint8], number: int) -> None:
    for place, digit in enumerate(f"{number * 7:06d}"):
        write(image, digit, (8 + 14 * place, 170))


def dot(image: NDArray[np.uint8], number: int) -> None:
    if number % 3:
        cv2.circle(image, (20, 20), 8, 250, -1)


def spinner(image: NDArray[np.uint8], number: int) -> None:
    cv2.ellipse(image, (300, 20), (7, 7), 45 * (number * 3 % 8), 0, 120, 255, 4)


def person(image: NDArray[np.uint8], left: float, *, top: int = 70, height: int = 100) -> None:
    cv2.rectangle(image, (round(left), top), (round(left) + height // 3, top + height), 30, -1)


def standing(image: NDArray[np.uint8], number: int) -> None:
    if number > 8:
        person(image, 140)


def swaying(image: NDArray[np.uint8], number: int) -> None:
    person(image, 140 + 9 * np.sin(number * 1.1))


def swaying_far_away(image: NDArray[np.uint8], number: int) -> None:
    person(image, 140 + 6 * np.sin(number * 1.1), top=4, height=20)


def walking(image: NDArray[np.uint8], number: int) -> None:
    person(image, number * 5)


def passing_a_lamp(image: NDArray[np.uint8], number: int) -> None:
    """In a room as bright as the person, only the lamp shows that someone passes, and stops there."""
    image[:] = 120
    if number not in {10, 50, *range(34, 44)}:
        image[8:26, 100:112] = 200


def nothing(image: NDArray[np.uint8], number: int) -> None:
    """An empty room."""


def images_of(*things: Draw, count: int = 60) -> NDArray[np.uint8]:
    rng = np.random.default_rng(3)
    room = rng.integers(60, 190, (18, 32)).astype(np.uint8).repeat(10, axis=0).repeat(10, axis=1)
    images = []
    for number in range(count):
        image = room.copy()
        for draw in things:
            draw(image, number)
        images.append(np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8))
    return np.array(images)


@pytest.mark.slow
@pytest.mark.parametrize("draw", [clock, boxed_clock, counter, dot, spinner])
@pytest.mark.parametrize("beside", [nothing, standing, walking])
def test_what_changes_in_few_shapes_all_the_time_is_an_overlay(draw: Draw, beside: Draw) -> None:
    found = find_overlays(images_of(draw, beside))
    assert len(found.boxes) == 1
    changed = np.ptp(images_of(draw)[:, ::].astype(int), axis=0) > 60
    assert (found.mask & changed).sum() >= 0.7 * changed[found.mask].sum()
    assert found.mask.mean() < 0.05


@pytest.mark.parametrize(
    "draw",
    [
        nothing,
        standing,
        swaying,
        swaying_far_away,
        walking,
        passing_a_lamp,
    ],
)
def test_people_are_no_overlays(draw: Draw) -> None:
    assert not find_overlays(images_of(draw))


def test_legs_that_pass_once_are_no_overlay() -> None:
    shapes = [*[0] * 15, 1, 2, 2, 3, 4, 2, 2, 2, 5, *[0] * 6]
    hidden = [np.zeros((3, 2), dtype=bool), *(np.random.default_rng(3).random((5, 3, 2)) < 0.7)]

    def legs(image: NDArray[np.uint8], number: int) -> None:
        image[:] = 120
        lamp = np.where(hidden[shapes[number]], 120, 200).astype(np.uint8)
        image[8:26, 100:112] = lamp.repeat(6, axis=0).repeat(6, axis=1)

    assert not find_overlays(images_of(legs, count=len(shapes)))


def test_a_clock_in_a_short_video_shows_each_digit_once() -> None:
    def seconds(image: NDArray[np.uint8], number: int) -> None:
        write(image, f"12:00:1{number // 6}", (190, 24))

    assert find_overlays(images_of(seconds))
    assert not find_overlays(images_of(seconds)[:10])


def test_a_person_behind_the_text_is_whole_and_text_in_the_line_is_no_person() -> None:
    found = find_overlays(images_of(clock))
    (x, y, w, h), *_ = found.boxes
    person_pixels = np.zeros(SIZE_HW, dtype=bool)
    person_pixels[:, int(x) - 20 : int(x + w) + 20] = True
    assert np.array_equal(found.restore(found.remove(person_pixels)), person_pixels)
    beside = np.zeros(SIZE_HW, dtype=bool)
    beside[int(y) : int(y + h), 20:80] = True
    assert found.is_text(beside)
    assert not found.is_text(person_pixels)
    assert not Overlays(np.zeros(SIZE_HW, dtype=bool)).is_text(beside)


def lumas_of(path: Path) -> NDArray[np.uint8]:
    images = read_samples(Clip("v", path), 60)
    return np.array([cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in images], dtype=np.uint8)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "overlays"),
    [
        ("cases/33-timestamp-overlay/empty.mp4", 1),
        ("cases/33-timestamp-overlay/walk.mp4", 1),
        ("data/pets2009_s2l1/vtest.avi", 0),
        ("data/clips/intel_one-by-one-person-detection.mp4", 0),
        ("data/clips/sam2_bedroom.mp4", 0),
    ],
)
def test_overlays_of_videos(shared: Path, name: str, overlays: int) -> None:
    assert len(find_overlays(lumas_of(shared / name)).boxes) == overlays
