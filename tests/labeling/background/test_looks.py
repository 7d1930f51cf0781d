"""Day, infrared and lamps are looks; people, noise and a brighter image are none."""

from collections.abc import Callable

import numpy as np
import pytest

from labeling.background.looks import LookFinder, LookThumbnail
from labeling.structures.frames import RgbImage


def room(seed: int = 0) -> RgbImage:
    rng = np.random.default_rng(seed)
    small = rng.integers(30, 220, (9, 16, 3)).astype(np.uint8)
    return np.asarray(small.repeat(20, axis=0).repeat(20, axis=1), dtype=np.uint8)


def infrared(image: RgbImage) -> RgbImage:
    gray = image.mean(axis=2, keepdims=True) * 0.7 + 40
    return np.asarray(gray.astype(np.uint8).repeat(3, axis=2), dtype=np.uint8)


def with_person(image: RgbImage, *, width: int = 60, color: int = 230) -> RgbImage:
    shown = image.copy()
    shown[20:, 100 : 100 + width] = (color, 20, 20)
    return shown


def lit_from_the_left(image: RgbImage) -> RgbImage:
    light = np.linspace(2.2, 0.8, image.shape[1])[None, :, None]
    return np.clip(image * light, 0, 255).astype(np.uint8)


def noisy(image: RgbImage) -> RgbImage:
    noise = np.random.default_rng(1).normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def looks_of(*images: RgbImage) -> list[int]:
    finder = LookFinder()
    return [finder.find(LookThumbnail.of(image)) for image in images]


@pytest.mark.parametrize("change", [with_person, noisy, lambda image: (image * 0.8).astype(np.uint8)])
def test_people_noise_and_brightness_are_the_same_look(change: Callable[[RgbImage], RgbImage]) -> None:
    assert looks_of(room(), change(room()), infrared(room()), change(infrared(room()))) == [0, 0, 1, 1]


def test_a_person_near_the_camera_is_no_look() -> None:
    assert looks_of(room(), with_person(room(), width=130)) == [0, 0]


@pytest.mark.parametrize(
    "change", [infrared, lit_from_the_left, lambda _: room(1), lambda image: image[::2, ::2]]
)
def test_a_look_that_comes_back_keeps_its_number(change: Callable[[RgbImage], RgbImage]) -> None:
    assert looks_of(room(), change(room()), change(room()), room(), with_person(room())) == [0, 1, 1, 0, 0]


def test_a_colored_person_who_leaves_a_gray_room_is_no_look() -> None:
    gray = infrared(room())
    assert looks_of(with_person(gray, width=90), gray) == [0, 0]
