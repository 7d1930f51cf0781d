"""Matte metrics of hand-drawn mattes, against plain loops, and their properties."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from labeling.evaluation.matte_metrics import (
    Alpha,
    MatteMeter,
    MatteMetrics,
    connectivity_error,
    frame_errors,
    gradient_error,
)
from labeling.structures.masks import BoolArray
from labeling.video.optical_flow import Flow
from tests.labeling import strategies  # noqa: F401  # the profile that repeats its examples
from tests.labeling.evaluation.slow_matte_metrics import (
    slow_connectivity_error,
    slow_dtssd,
    slow_gradient_error,
    slow_messddt,
)

EMPTY = np.zeros((4, 4), np.float32)


def matte(*rows: str) -> Alpha:
    """Draw tenths: `.` is 0, `#` is 1."""
    values = {".": 0, "#": 10}
    return np.array([[values.get(sign, sign) for sign in row] for row in rows], np.float32) / np.float32(10)


def random_matte(random: np.random.Generator, size_hw: tuple[int, int]) -> Alpha:
    """Soft blobs with hard spots of 0 and 1, in 8-bit levels."""
    noise = cv2.GaussianBlur(random.random(size_hw), (0, 0), 1.5)
    stretched = np.clip((noise - noise.mean()) * 6 + 0.5, 0, 1)
    return np.asarray(np.rint(stretched * 255) / 255, dtype=np.float32)


def measure(alphas: Sequence[Alpha], truths: Sequence[Alpha]) -> MatteMetrics:
    meter = MatteMeter()
    for alpha, truth in zip(alphas, truths, strict=True):
        meter.update(alpha, truth)
    metrics = meter.compute()
    assert metrics is not None
    return metrics


def shifted(size_hw: tuple[int, int], dx: int, dy: int) -> tuple[Flow, BoolArray]:
    height, width = size_hw
    x, y = (axis.astype(np.float32) for axis in np.meshgrid(np.arange(width) + dx, np.arange(height) + dy))
    return np.dstack([x, y]), (x >= 0) & (x < width) & (y >= 0) & (y < height)


def test_errors_of_a_hand_drawn_matte() -> None:
    truth = matte("....", ".##.", ".##.", "....")
    alpha = matte("....", ".##.", ".#5.", "...2")
    errors = frame_errors(alpha, truth)
    assert errors.mad == pytest.approx(0.7 / 16)
    assert errors.sad == pytest.approx(0.7 / 1000)
    assert errors.mse == pytest.approx((0.25 + 0.04) / 16)
    assert errors.ssda == pytest.approx(math.sqrt(0.29))


def test_a_separate_spot_is_less_connected_than_one_that_touches_the_person() -> None:
    truth = matte("##..", "##..", "....", "....")
    apart = matte("##..", "##..", "...9", "....")
    # Both mattes must reach a level, so neither spot is in a source region: each counts in full.
    touching = matte("##9.", "##..", "....", "....")
    assert connectivity_error(apart, truth) == pytest.approx(0.9e-3)
    assert connectivity_error(touching, truth) == pytest.approx(0.9e-3)
    # A second person in both mattes is not connected in either, and counts by its difference.
    two, fainter = matte("##..", "##..", "...#", "...#"), matte("##..", "##..", "...5", "...#")
    assert connectivity_error(fainter, two) == pytest.approx(0.5e-3)
    # In the source region up to .5: above that level are .5 and 0.
    assert connectivity_error(matte("##..", "#5..", "....", "...."), truth) == pytest.approx(0.5e-3)


def test_differences_below_theta_above_the_connected_level_are_connected() -> None:
    truth = np.full((4, 4), 0.5, np.float32)
    assert connectivity_error(truth + np.float32(0.14), truth) == 0
    assert connectivity_error(truth + np.float32(0.16), truth) == pytest.approx(16 * 0.16 / 1000)


def test_the_gradient_of_a_hard_vertical_edge_is_that_of_the_analytic_filter() -> None:
    edge = np.zeros((9, 40), np.float32)
    edge[:, 20:] = 1
    x = np.arange(-4, 5)
    gauss = np.exp(-(x**2) / (2 * 1.4**2))
    norm = np.linalg.norm(np.outer(gauss, x * gauss))
    # Per row, the filter summed over the part beyond the edge, at each of the 8 columns near it.
    lengths = [abs((x[start:] * gauss[start:]).sum()) * gauss.sum() / norm for start in range(1, 9)]
    expected = 9 * sum(length**2 for length in lengths) / 1000
    assert gradient_error(edge, np.zeros_like(edge)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_random_mattes_agree_with_plain_loops(seed: int) -> None:
    random = np.random.default_rng(seed)
    size_hw = (int(random.integers(4, 14)), int(random.integers(4, 14)))
    alphas, truths = ([random_matte(random, size_hw) for _ in range(3)] for _ in range(2))
    assert gradient_error(alphas[0], truths[0]) == pytest.approx(
        slow_gradient_error(alphas[0], truths[0]), rel=1e-4
    )
    assert connectivity_error(alphas[0], truths[0]) == pytest.approx(
        slow_connectivity_error(alphas[0], truths[0]), abs=1e-7
    )
    shift = (int(random.integers(-2, 3)), int(random.integers(-2, 3)))
    meter = MatteMeter()
    for alpha, truth in zip(alphas, truths, strict=True):
        meter.update(alpha, truth, motion=shifted(size_hw, *shift))
    metrics = meter.compute()
    assert metrics is not None
    assert metrics.dtssd == pytest.approx(slow_dtssd(alphas, truths), rel=1e-5)
    assert metrics.messddt == pytest.approx(slow_messddt(alphas, truths, shift), rel=1e-4)
    means = [np.mean([np.abs(a - g).mean() for a, g in zip(alphas, truths, strict=True)])]
    assert [metrics.mad] == pytest.approx(means, rel=1e-5)


pairs = st_numpy.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8).flatmap(
    lambda shape: st.tuples(*[st_numpy.arrays(np.uint8, shape)] * 2)
)


@given(pairs)
def test_no_error_means_equal_and_all_errors_are_symmetric(sides: tuple[NDArray[np.uint8], ...]) -> None:
    alpha, truth = (side.astype(np.float32) / np.float32(255) for side in sides)
    same, one, other = frame_errors(truth, truth), frame_errors(alpha, truth), frame_errors(truth, alpha)
    assert (same.mad, same.mse, same.sad, same.grad, same.conn, same.ssda) == (0, 0, 0, 0, 0, 0)
    assert one == other
    assert (one.mad == 0) == bool((alpha == truth).all())
    assert 0 <= one.mse <= one.mad <= 1
    assert one.ssda**2 == pytest.approx(one.mse * truth.size)
    assert one.sad * 1000 == pytest.approx(one.mad * truth.size)


def test_a_constant_error_has_no_error_over_time() -> None:
    truths = [EMPTY, EMPTY + np.float32(0.25), EMPTY]
    metrics = measure([truth + np.float32(0.5) for truth in truths], truths)
    assert (metrics.mad, metrics.dtssd) == (0.5, 0)


def test_an_error_that_moves_with_the_person_flickers_at_each_pixel_but_not_along_the_motion() -> None:
    size_hw, meter = (16, 32), MatteMeter()
    for x in range(4, 20, 2):
        truth = np.zeros(size_hw, np.float32)
        truth[4:12, x : x + 8] = 1
        meter.update(truth * np.float32(0.75), truth, motion=shifted(size_hw, 2, 0))
    metrics = meter.compute()
    assert metrics is not None
    assert metrics.dtssd == pytest.approx(math.sqrt(2 * 2 * 8 * 0.25**2 / (16 * 32)))
    assert metrics.messddt == 0


def test_frames_that_are_not_successive_are_no_pair() -> None:
    meter = MatteMeter()
    for number in range(4):
        meter.update(EMPTY + np.float32(number % 2), EMPTY, is_successor=number == 2)
    metrics = meter.compute()
    assert metrics is not None
    assert (metrics.frames, metrics.dtssd, metrics.messddt) == (4, 1, None)


def test_without_frames_there_are_no_metrics_and_with_one_none_over_time() -> None:
    assert MatteMeter().compute() is None
    metrics = measure([EMPTY], [EMPTY])
    assert (metrics.frames, metrics.mad, metrics.dtssd) == (1, 0, None)
