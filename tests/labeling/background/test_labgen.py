"""The plate of least motion against a plain implementation, and on planted people."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labeling.background.labgen import labgen_p, motion_scores
from tests.labeling.background.planted import texture, walk


def slow_labgen_p(samples: NDArray[np.uint8], kept: int) -> NDArray[np.uint8]:
    """Sum differences box by box and sort the samples of each pixel by their score."""
    weights = np.array([0.299, 0.587, 0.114])
    gray = np.rint(samples @ weights).astype(int)
    count, height, width = gray.shape
    half = ((min(height, width) // 3) | 1) // 2
    out = np.empty(samples.shape[1:], dtype=np.uint8)
    for row, column in np.ndindex(height, width):
        box = np.s_[max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1]
        scores = [int(np.abs(gray[t][box] - gray[t - 1][box]).sum()) for t in range(1, count)]
        scores.insert(0, scores[0])
        highest = sorted(scores)[min(kept, count) - 1]
        chosen = [samples[t, row, column] for t in range(count) if scores[t] <= highest]
        out[row, column] = np.sort(np.stack(chosen), axis=0)[(len(chosen) - 1) // 2]
    return out


@settings(max_examples=25)
@given(st.integers(2, 7), st.integers(1, 5), st.integers(3, 12), st.integers(0, 2**32 - 1))
def test_it_is_the_median_of_the_samples_with_the_least_motion(
    count: int, kept: int, height: int, seed: int
) -> None:
    samples = np.random.default_rng(seed).integers(0, 256, (count, height, 10, 3), dtype=np.uint8)
    gray = (samples // 64 * 64)[..., :1].repeat(3, axis=-1)  # gray levels do not depend on rounding
    assert np.array_equal(labgen_p(gray, kept=kept), slow_labgen_p(gray, kept))


def test_people_who_walk_are_not_in_the_plate() -> None:
    background = texture()
    images, _ = walk(background, 40)
    assert np.array_equal(labgen_p(np.stack(images)), background)


def test_a_single_sample_is_its_plate() -> None:
    background = texture()
    assert np.array_equal(labgen_p(background[None]), background)
    assert [score.max() for score in motion_scores([background])] == [0]


@pytest.mark.parametrize("count", [2, 5])
def test_each_sample_has_a_score_and_the_first_that_of_the_second(count: int) -> None:
    images = [texture(seed) for seed in range(count)]
    scores = list(motion_scores(images))
    assert len(scores) == count
    assert np.array_equal(scores[0], scores[1])
