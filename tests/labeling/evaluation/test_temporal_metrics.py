"""Errors over time: their properties, and pixels whose ground truth is not known."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from labeling.evaluation.temporal_metrics import (
    Error,
    Motion,
    TemporalErrors,
    TemporalMeter,
    mean_errors,
)
from tests.labeling import strategies  # noqa: F401  # the profile that repeats its examples
from tests.labeling.evaluation.slow_matte_metrics import slow_dtssd, slow_messddt

SIZE_HW = (16, 32)
errors_of_clips = st_numpy.arrays(np.int8, st.tuples(st.integers(2, 4), st.integers(2, 6), st.integers(2, 6)))


def moved(size_hw: tuple[int, int], dx: int, dy: int) -> Motion:
    height, width = size_hw
    x, y = (axis.astype(np.float32) for axis in np.meshgrid(np.arange(width) + dx, np.arange(height) + dy))
    return np.dstack([x, y]), (x >= 0) & (x < width) & (y >= 0) & (y < height)


def square(x: int, level: float = 1.0) -> NDArray[np.float32]:
    alpha = np.zeros(SIZE_HW, np.float32)
    alpha[4:12, x : x + 8] = level
    return alpha


def test_a_matte_that_moves_with_its_person_changes_at_each_pixel_but_not_along_the_motion() -> None:
    meter = TemporalMeter()
    found = [meter.update(square(x, 0.75) - square(x), motion=moved(SIZE_HW, 2, 0)) for x in range(4, 20, 2)]
    metrics = mean_errors(found)
    assert metrics is not None
    assert (metrics.pairs, metrics.messddt) == (7, 0)
    assert metrics.ssda == pytest.approx(8 * 0.25)
    assert metrics.dtssd == pytest.approx(math.sqrt(2 * 2 * 8 * 0.25**2 / (16 * 32)))


@settings(max_examples=40)
@given(errors_of_clips, st.integers(-1, 1), st.integers(-1, 1))
def test_sums_over_pixels_as_in_the_paper_follow_from_the_means(
    values: NDArray[np.int8], dx: int, dy: int
) -> None:
    clip: NDArray[np.float32] = values.astype(np.float32) / np.float32(128)
    size_hw, zero = (clip.shape[1], clip.shape[2]), np.zeros(clip.shape[1:], np.float32)
    meter = TemporalMeter()
    found = mean_errors([meter.update(frame, motion=moved(size_hw, dx, dy)) for frame in clip])
    assert found is not None
    assert found.messddt is not None
    pixels = size_hw[0] * size_hw[1]
    sums = [math.sqrt(np.square(after - before).sum()) for before, after in pairwise(clip)]
    assert math.sqrt(pixels) * found.dtssd == pytest.approx(np.mean(sums), rel=1e-4, abs=1e-6)
    truths = [zero] * len(clip)
    assert found.dtssd == pytest.approx(slow_dtssd([*clip], truths), rel=1e-4, abs=1e-6)
    assert found.messddt == pytest.approx(slow_messddt([*clip], truths, (dx, dy)), rel=1e-4, abs=1e-6)


@settings(max_examples=40)
@given(errors_of_clips)
def test_no_error_gives_zeros_and_unknown_pixels_do_not_count(values: NDArray[np.int8]) -> None:
    errors: NDArray[np.float32] = values.astype(np.float32) / np.float32(128)
    known = np.ones(errors.shape[1:], np.bool_)
    known[0, 0] = False
    motion = moved((known.shape[0], known.shape[1]), 1, 0)

    def measure(clip: NDArray[np.float32]) -> list[TemporalErrors]:
        meter = TemporalMeter()
        return [meter.update(frame, known=known, motion=motion) for frame in clip]

    other = errors.copy()
    other[:, 0, 0] += 1
    assert measure(other) == measure(errors)
    assert set(measure(np.zeros_like(errors))) <= {TemporalErrors(0.0), TemporalErrors(0.0, 0.0, 0.0)}


def test_frames_that_do_not_follow_each_other_or_differ_in_size_are_no_pair() -> None:
    meter, zero = TemporalMeter(), np.zeros(SIZE_HW, np.float32)
    found = [
        meter.update(zero),
        meter.update(zero, is_successor=False),
        meter.update(np.zeros((2, 2), np.float32)),
    ]
    assert mean_errors(found) is None
    assert mean_errors([]) is None


def test_without_a_known_pixel_in_both_frames_there_is_no_pair() -> None:
    meter, error = TemporalMeter(), square(4)
    left: NDArray[np.bool_] = np.indices(SIZE_HW)[1] < 16
    meter.update(error, known=left)
    change = meter.update(error, known=~left, motion=moved(SIZE_HW, 0, 0))
    assert (change.dtssd, change.messddt) == (None, None)


def test_pixels_move_out_of_the_unknown_part_with_the_motion() -> None:
    meter: TemporalMeter = TemporalMeter()
    error: Error = square(4)
    hidden = np.ones(SIZE_HW, np.bool_)
    hidden[:, 12:] = False
    meter.update(error)
    change = meter.update(square(6), known=hidden, motion=moved(SIZE_HW, 2, 0))
    assert change.messddt == 0
