"""Brightness of one image relative to another, on planted changes."""

import numpy as np
import pytest

from labeling.background.illumination import GAIN_LIMITS, brightness_gain, fit_gain_bias, relight
from labeling.structures.frames import RgbImage
from tests.labeling.background.planted import add_noise, columns, texture

SIZE_HW = (96, 240)


def painted(rgb: RgbImage, share: float) -> RgbImage:
    """Return a copy whose left part is another scene."""
    copy = rgb.copy()
    width = round(share * rgb.shape[1])
    copy[:, :width] = texture(seed=9)[:, :width] // 4 + 150
    return copy


def test_the_gain_is_right_though_a_third_of_the_image_changed() -> None:
    lit = texture() * np.array([1.2, 1.1, 1.0])
    brighter = add_noise(np.where(columns(0, 80)[..., None], (255, 0, 0), lit), 2, 1)
    assert brightness_gain(brighter, texture()) == pytest.approx([1.2, 1.1, 1.0], abs=0.02)


def test_the_gain_of_a_black_image_is_one() -> None:
    black = np.zeros((*SIZE_HW, 3), dtype=np.uint8)
    assert brightness_gain(black, black).tolist() == [1.0, 1.0, 1.0]
    gain, bias = fit_gain_bias(black, black)
    assert (gain.tolist(), bias.tolist()) == ([1.0] * 3, [0.0] * 3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.0, 0.2, 0.4])
def test_gain_and_bias_are_recovered_with_40_percent_of_outliers(share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gain, bias = rng.uniform(0.75, 1.3, 3), rng.uniform(-15, 15, 3)
    plate = texture(seed)
    changed = painted(add_noise(plate * gain + bias, 2, 100 + seed), share)
    found_gain, found_bias = fit_gain_bias(changed, plate)
    assert found_gain == pytest.approx(gain, abs=0.02)
    assert found_bias == pytest.approx(bias, abs=2)


def test_an_unchanged_image_has_exactly_the_light_of_the_plate() -> None:
    plate = texture()
    gain, bias = fit_gain_bias(painted(plate, 0.3), plate)
    assert np.array_equal(relight(plate, gain, bias), plate)


def test_excluded_pixels_do_not_count() -> None:
    plate = texture()
    changed = painted(add_noise(plate * 0.9 + 10, 1, 0), 0.8)
    gain, bias = fit_gain_bias(changed, plate, columns(0, 192))
    assert gain == pytest.approx([0.9] * 3, abs=0.03)
    assert bias == pytest.approx([10] * 3, abs=3)
    gain, bias = fit_gain_bias(changed, plate, np.ones(SIZE_HW, dtype=bool))
    assert (gain.tolist(), bias.tolist()) == ([1.0] * 3, [0.0] * 3)


def test_a_relit_plate_has_the_light_of_the_image() -> None:
    plate = texture()
    changed = np.clip(plate * 0.8 + 20 + 0.5, 0, 255).astype(np.uint8)
    assert np.abs(relight(plate, *fit_gain_bias(changed, plate)).astype(int) - changed).max() <= 1


def test_an_image_of_one_color_is_relit_to_that_color() -> None:
    plate, changed = (np.full((*SIZE_HW, 3), level, dtype=np.uint8) for level in (100, 130))
    assert np.array_equal(relight(plate, *fit_gain_bias(changed, plate)), changed)


@pytest.mark.parametrize(("factor", "limit"), [(0.3, GAIN_LIMITS[0]), (2.6, GAIN_LIMITS[1])])
def test_the_gain_is_limited(factor: float, limit: float) -> None:
    plate = (texture() // 3 + 20).astype(np.uint8)
    changed = np.clip(plate * factor + 5, 0, 255).astype(np.uint8)
    gain, _ = fit_gain_bias(changed, plate)
    assert gain == pytest.approx([limit] * 3)


def test_relit_levels_are_rounded_and_limited() -> None:
    rgb = np.array([[[0, 100, 255]]], dtype=np.uint8)
    relit = relight(rgb, np.full(3, 1.506, dtype=np.float32), np.full(3, -10, dtype=np.float32))
    assert relit.tolist() == [[[0, 141, 255]]]
