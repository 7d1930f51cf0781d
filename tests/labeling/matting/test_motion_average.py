"""Averages of person probabilities along the motion."""

import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.matting.motion_average import DECAY_S, REACH, Step, Way, average_around, find_step
from labeling.video.optical_flow import SMALLEST_PX

SIDE = 96
Image = NDArray[np.uint8]


def texture(seed: int) -> Image:
    noise = np.random.default_rng(seed).integers(0, 256, (SIDE, 2 * SIDE), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), dtype=np.uint8)


def shifted(image: Image, by_px: int) -> Image:
    return np.ascontiguousarray(image[:, by_px : by_px + SIDE])


def still(weight: float) -> Step:
    rows, columns = np.indices((2, 2), dtype=np.float32)
    way = Way(np.dstack([columns, rows]), np.full((2, 2), weight, np.float32))
    return Step(way, way)


def test_weights_are_the_products_of_the_steps() -> None:
    maps = [np.full((2, 2), value, np.float32) for value in (1, 0, 0.5, 0, 1)]
    steps = [still(weight) for weight in (0.5, 0.4, 0.8, 0.5)]
    weights = np.array([0.5 * 0.4, 0.4, 1, 0.8, 0.8 * 0.5])
    expected = (weights * [1, 0, 0.5, 0, 1]).sum() / weights.sum()
    assert average_around(maps, steps, 2) == pytest.approx(np.full((2, 2), expected))


def test_frames_out_of_reach_do_not_count() -> None:
    maps = [np.full((2, 2), float(abs(k) > REACH), np.float32) for k in range(-REACH - 1, REACH + 2)]
    assert average_around(maps, [still(1)] * (len(maps) - 1), REACH + 1).max() == 0


def test_frames_beyond_a_missing_step_do_not_count() -> None:
    maps = [np.full((2, 2), value, np.float32) for value in (0, 1, 1)]
    assert average_around(maps, [None, still(1)], 1).tolist() == [[1, 1], [1, 1]]


def test_a_map_follows_the_motion() -> None:
    """A moving object is averaged with itself, not with the places beside it."""
    image, speed = texture(1), 5
    frames = [shifted(image, (4 - k) * speed) for k in range(5)]
    steps = [find_step(a, b, dt_s=1 / 24) for a, b in pairwise(frames)]
    maps = [np.zeros((SIDE, SIDE), np.float32) for _ in frames]
    for k, one in enumerate(maps):
        one[30:70, 30 + k * speed : 60 + k * speed] = 1
    average = average_around(maps, steps, 2)
    assert np.abs(average - maps[2]).mean() < 0.01
    assert np.abs(np.mean(maps, axis=0) - maps[2]).mean() > 0.05


def test_time_and_a_change_of_the_image_lower_the_weight() -> None:
    image = shifted(texture(2), 0)
    same = find_step(image, image, dt_s=DECAY_S)
    assert same is not None
    assert np.median(same.ahead.weights) == pytest.approx(math.exp(-1))
    assert np.median(same.back.weights) == pytest.approx(math.exp(-1))
    other = find_step(image, shifted(texture(3), 0), dt_s=DECAY_S)
    assert other is not None
    assert other.ahead.weights.mean() < 0.1


def test_small_images_have_no_flow() -> None:
    strip = np.zeros((SMALLEST_PX - 1, SIDE), np.uint8)
    assert find_step(strip, strip, dt_s=0.04) is None
