"""Keypoint maps against loops over pixels."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from labeling.matting.keypoint_maps import (
    HEAT_CUT,
    KEYPOINT_CHANNELS,
    LIMB_HALF_WIDTH,
    LIMBS,
    SIGMA,
    draw_keypoint_maps,
)
from labeling.structures.instances import Keypoints

SIDE = 32


def random_person(seed: int) -> Keypoints:
    rng = np.random.default_rng(seed)
    return tuple((float(x), float(y), 1.0) for x, y in rng.uniform(-2, SIDE + 2, (17, 2)))


def draw_by_loops(people: list[Keypoints]) -> NDArray[np.float64]:
    maps = np.zeros((KEYPOINT_CHANNELS, SIDE, SIDE))
    sigma, half_width = SIGMA * SIDE, max(1.0, LIMB_HALF_WIDTH * SIDE)
    for row in range(SIDE):
        for column in range(SIDE):
            x, y = column + 0.5, row + 0.5
            for joint in range(17):
                values = []
                for person in people:
                    exponent = ((x - person[joint][0]) ** 2 + (y - person[joint][1]) ** 2) / (2 * sigma**2)
                    values.append(math.exp(-exponent) if exponent <= HEAT_CUT else 0.0)
                maps[joint, row, column] = max(values)
            for limb, (a, b) in enumerate(LIMBS):
                vectors = []
                for person in people:
                    (ax, ay, _), (bx, by, _) = person[a], person[b]
                    length = math.hypot(bx - ax, by - ay)
                    ux, uy = (bx - ax) / length, (by - ay) / length
                    along = (x - ax) * ux + (y - ay) * uy
                    across = abs((x - ax) * uy - (y - ay) * ux)
                    if 0 <= along <= length and across <= half_width:
                        vectors.append((ux, uy))
                if vectors:
                    maps[17 + 2 * limb : 19 + 2 * limb, row, column] = np.mean(vectors, axis=0)
    return maps


@pytest.mark.parametrize("seeds", [(1,), (2, 3)])
def test_maps_are_those_of_loops_over_pixels(seeds: tuple[int, ...]) -> None:
    people = [random_person(seed) for seed in seeds]
    np.testing.assert_allclose(draw_keypoint_maps(people, SIDE), draw_by_loops(people), atol=1e-4)


def test_a_missing_keypoint_and_its_limbs_are_zero() -> None:
    whole = random_person(1)
    lost = 9
    person = tuple((x, y, 0.0 if joint == lost else 1.0) for joint, (x, y, _) in enumerate(whole))
    maps = draw_keypoint_maps([person], SIDE)
    assert not maps[lost].any()
    touched = [limb for limb, pair in enumerate(LIMBS) if lost in pair]
    assert touched
    for limb in touched:
        assert not maps[17 + 2 * limb : 19 + 2 * limb].any()
    others = [joint for joint in range(17) if joint != lost]
    np.testing.assert_array_equal(maps[others], draw_keypoint_maps([whole], SIDE)[others])


def test_no_person_gives_zeros() -> None:
    assert not draw_keypoint_maps([], SIDE).any()
