"""Instances of a person map, and how sharp their masks are."""

import numpy as np
import pytest
from scipy import ndimage

from labeling.structures.instances import Instance
from labeling.structures.probability_maps import (
    FloatMap,
    instances_from_map,
    stability_share,
    stable_threshold,
)

STEP = np.array(
    [
        [0.1, 0.3, 0.1, 0.1],
        [0.6, 0.9, 0.1, 0.8],
        [0.7, 0.8, 0.1, 0.6],
        [0.4, 0.1, 0.1, 0.1],
    ],
    dtype=np.float32,
)


def seen(
    probability: FloatMap, *, mask_threshold: float = 0.5, connected_components: bool = False
) -> list[Instance]:
    return instances_from_map(
        probability, mask_threshold=mask_threshold, min_area=0.0, connected_components=connected_components
    )


def test_stability_is_the_share_of_pixels_far_above_the_threshold() -> None:
    (instance,) = seen(STEP)
    assert instance.stability == pytest.approx(3 / 6)
    assert sorted(one.stability or 0.0 for one in seen(STEP, connected_components=True)) == [0.5, 0.5]
    (low,) = seen(STEP, mask_threshold=0.25)  # sure from 0.5 on
    assert low.stability == pytest.approx(6 / 8)


def test_a_binary_map_is_stable_and_an_uncertain_one_is_not() -> None:
    assert seen((STEP > 0.5).astype(np.float32))[0].stability == 1.0
    assert seen(np.full((4, 4), 0.7, np.float32))[0].stability == 0.0


@pytest.mark.parametrize(("mask_threshold", "clear"), [(0.5, 0.75), (0.25, 0.5), (0.0, 0.0), (1.0, 1.0)])
def test_a_pixel_is_stable_at_three_times_the_odds_of_the_threshold(
    mask_threshold: float, clear: float
) -> None:
    assert stable_threshold(mask_threshold) == pytest.approx(clear)


@pytest.mark.parametrize("seed", range(3))
def test_stability_does_not_depend_on_the_size_of_image_or_person(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = ndimage.gaussian_filter(rng.random((40, 30)), 4).astype(np.float32)
    probability = (probability - probability.min()) / np.ptp(probability)
    (one,) = seen(probability)
    (larger,) = seen(probability.repeat(3, axis=0).repeat(3, axis=1))
    (smaller_part,) = seen(np.pad(probability, 50))
    assert one.stability == pytest.approx(larger.stability)
    assert one.stability == pytest.approx(smaller_part.stability)


def test_a_softer_outline_lowers_the_stability() -> None:
    disc = np.hypot(*np.mgrid[-50:50, -50:50]) < 30
    shares = [
        stability_share(soft[soft > 0.5], mask_threshold=0.5)
        for soft in (ndimage.gaussian_filter(disc.astype(np.float32), sigma) for sigma in (1, 3, 9))
    ]
    assert shares[0] > 0.9
    assert shares[0] > shares[1] > shares[2]
