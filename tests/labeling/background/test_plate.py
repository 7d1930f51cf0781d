"""The empty scene and what differs from it, on images that are drawn here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from labeling.background.plate import Plate, learn_plate, masked_mean, masked_median
from labeling.background.subtraction import Change, clean_mask, find_shadow, score_component, subtract_plate
from labeling.structures.masks import BoolArray
from labeling.structures.probability_maps import find_components

SIZE_HW = (72, 96)


def textured(seed: int = 0) -> NDArray[np.float32]:
    """A background from 60 to 180, HxWx3."""
    coarse = np.random.default_rng(seed).uniform(60, 180, (9, 12, 3))
    return np.kron(coarse, np.ones((8, 8, 1))).astype(np.float32)


def exposed(image: NDArray[np.float32], seed: int, *, gain: float = 1.0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, 2, image.shape)
    return np.clip(image * gain + noise, 0, 255).astype(np.uint8)


def with_box(
    image: NDArray[np.float32], box: tuple[slice, slice], color: tuple[int, int, int]
) -> NDArray[np.float32]:
    painted = image.copy()
    painted[box] = color
    return painted


def slow_masked_median(stack: NDArray[np.uint8], seen: BoolArray) -> NDArray[np.uint8]:
    """Sort what is seen and take the lower middle, pixel by pixel."""
    out = np.full(stack.shape[1:], 255, dtype=np.uint8)
    for row, column, channel in np.ndindex(*stack.shape[1:]):
        values = sorted(stack[seen[:, row, column], row, column, channel].tolist())
        if values:
            out[row, column, channel] = values[(len(values) - 1) // 2]
    return out


@pytest.mark.parametrize("count", [1, 2, 7, 8])
@pytest.mark.parametrize("highest", [1, 3, 255])
def test_the_median_of_seen_samples_is_that_of_a_sort(count: int, highest: int) -> None:
    rng = np.random.default_rng([count, highest])
    stack = rng.integers(0, highest, (count, 37, 5, 3), dtype=np.uint8, endpoint=True)
    seen = rng.random((count, 37, 5)) < 0.6
    assert np.array_equal(masked_median(stack, seen), slow_masked_median(stack, seen))
    everything = np.ones_like(seen)
    assert np.array_equal(masked_median(stack), slow_masked_median(stack, everything))


@pytest.mark.slow
@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 2**32 - 1), st.sampled_from([2, 40, 255]))
def test_median_and_mean_of_seen_samples_are_those_of_numpy(
    count: int, rows: int, seed: int, highest: int
) -> None:
    rng = np.random.default_rng(seed)
    stack = rng.integers(0, highest, (count, rows, 4, 3), dtype=np.uint8, endpoint=True)
    seen = rng.random((count, rows, 4)) < rng.random()
    values = np.where(seen[..., None], stack.astype(float), np.nan)
    never = ~seen.any(axis=0)
    values[:, never] = 255
    lower_median = np.nanpercentile(values, 50, axis=0, method="lower")
    assert np.array_equal(masked_median(stack, seen), lower_median)
    assert np.array_equal(masked_mean(stack, seen), np.floor(np.nanmean(values, axis=0) + 0.5))


def test_a_person_in_45_percent_of_the_samples_is_not_in_the_plate() -> None:
    scene = textured()
    person = with_box(scene, np.s_[20:60, 30:50], (20, 20, 200))
    samples = np.stack([exposed(person if i % 20 < 9 else scene, i) for i in range(60)])
    plate = learn_plate(samples, min_difference=30, close_px=2)
    assert np.abs(plate.rgb - scene)[20:60, 30:50].max() < 2.5
    plain_median = np.median(samples, axis=0)
    assert (
        np.abs(plate.rgb - scene)[20:60, 30:50].mean() < np.abs(plain_median - scene)[20:60, 30:50].mean() / 2
    )


def test_light_that_drifts_over_the_samples_leaves_a_plate_without_noise() -> None:
    scene = textured()
    samples = np.stack([exposed(scene, i, gain=0.8 + 0.4 * i / 39) for i in range(40)])
    plate = learn_plate(samples, min_difference=30, close_px=2)
    assert np.abs(plate.rgb / scene - 1).max() < 0.05
    assert plate.noise.mean() < 8


def test_a_pixel_that_flickers_in_the_samples_is_no_foreground_when_it_flickers_again() -> None:
    scene = textured()
    rng = np.random.default_rng(0)
    images = []
    for i in range(61):
        flicker = scene.copy()
        flicker[:10] += np.repeat(rng.normal(0, 25, (10, 12, 1)), 8, axis=1)
        images.append(exposed(flicker, i))
    plate = learn_plate(np.stack(images[:60]), min_difference=30, close_px=2)
    change = subtract_plate(images[60], plate, min_difference=30)
    assert change.foreground[:9].mean() < 0.02
    quiet = Plate(plate.rgb, np.zeros_like(plate.noise))
    assert subtract_plate(images[60], quiet, min_difference=30).foreground[:9].mean() > 0.05


@pytest.mark.parametrize("gain", [0.75, 1.0, 1.3])
def test_the_foreground_is_the_painted_box_under_any_light(gain: float) -> None:
    scene = textured()
    box = np.s_[20:60, 30:50]
    plate = Plate(scene, np.zeros(SIZE_HW, dtype=np.float32))
    shown = exposed(with_box(scene, box, (230, 20, 30)), 3, gain=gain)
    painted = np.zeros(SIZE_HW, dtype=bool)
    painted[box] = True
    found = subtract_plate(shown, plate, min_difference=30).foreground
    assert (found & painted).sum() / (found | painted).sum() > 0.85  # 1 px of smoothed rim


def test_darker_pixels_are_shadow_and_pixels_of_another_color_are_not() -> None:
    scene = textured()
    darker, tinted, black = scene * 0.6, scene * 0.6 + [0, 0, 60], scene * 0.2
    assert find_shadow(darker.astype(np.float32), scene).all()
    assert not find_shadow(tinted.astype(np.float32), scene).any()
    assert not find_shadow(black.astype(np.float32), scene).any()
    assert not find_shadow(scene, scene).any()


def ring(ratio_inside: float) -> Change:
    """A frame 6 wide around a hole of 12 x 12."""
    foreground = np.zeros((60, 60), dtype=bool)
    foreground[18:42, 18:42] = True
    foreground[24:36, 24:36] = False
    ratio = np.where(foreground, 3.0, 0.0).astype(np.float32)
    ratio[24:36, 24:36] = ratio_inside
    return Change(foreground, ratio)


def test_a_hole_through_which_the_background_is_seen_stays() -> None:
    assert not clean_mask(ring(0.1), close_px=3)[26:34, 26:34].any()


def test_a_hole_that_the_shadow_rule_cut_is_filled() -> None:
    assert clean_mask(ring(1.5), close_px=3)[19:41, 19:41].all()


def test_background_enclosed_by_the_image_edge_is_no_hole() -> None:
    foreground = np.zeros((60, 60), dtype=bool)
    foreground[:, 20:26] = foreground[:, 40:46] = True
    change = Change(foreground, np.full((60, 60), 2.0, dtype=np.float32))
    assert np.array_equal(clean_mask(change, close_px=3), foreground)


def test_gaps_are_closed_up_to_their_width_and_specks_vanish() -> None:
    foreground = np.zeros((60, 60), dtype=bool)
    foreground[10:50, 10:20] = foreground[10:50, 23:33] = True
    foreground[5, 50] = True
    change = Change(foreground, np.where(foreground, 2.0, 0.0).astype(np.float32))
    assert clean_mask(change, close_px=5)[15:45, 20:23].all()
    assert not clean_mask(change, close_px=1)[15:45, 21].any()
    assert not clean_mask(change, close_px=5)[:8].any()


def test_components_are_large_and_tall_enough_and_the_largest_comes_first() -> None:
    mask = np.zeros((100, 100), dtype=bool)
    mask[10:30, 5:15] = mask[50:90, 40:60] = mask[95:98, 2:90] = True
    everything = find_components(mask, min_area=0, min_aspect_ratio=0)
    assert [int(part.sum()) for part in everything] == [800, 264, 200]
    assert [int(p.sum()) for p in find_components(mask, min_area=0.021, min_aspect_ratio=0)] == [800, 264]
    assert [int(p.sum()) for p in find_components(mask, min_area=0, min_aspect_ratio=1)] == [800, 200]


def test_scores_rise_with_the_distance_and_stay_within_0_and_1() -> None:
    part = np.ones((4, 4), dtype=bool)
    scores = [score_component(part, np.full((4, 4), m, dtype=np.float32)) for m in (0.5, 1, 2, 3, 1000)]
    assert scores == pytest.approx([0, 0, 1 - np.exp(-1), 1 - np.exp(-2), 1 - np.exp(-9)])
