"""Masks above thresholds: hand-drawn counts, and each threshold against a count of its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from labeling.comparison.boundary_iou import boundary_iou
from labeling.evaluation.mask_sweep import SWEEP, MaskMeter
from labeling.structures.masks import BoolArray, Mask
from tests.labeling.strategies import draw

PERSON = draw(".##.", ".##.", ".##.", "....")
NOBODY = np.zeros((4, 4), np.bool_)


def test_counts_by_hand_with_unknown_pixels() -> None:
    meter = MaskMeter()
    alpha = np.where(draw(".#..", ".##.", ".###", "...#"), 0.8, 0.12).astype(np.float32)
    known = ~draw("....", "....", "...#", "....")
    # Known: 6 of people, of which 5 in the mask, and 1 pixel of background in the mask.
    assert meter.update(alpha, PERSON, known) == pytest.approx(5 / 7)
    metrics = meter.compute()
    assert (metrics.precision, metrics.recall, metrics.f) == pytest.approx((5 / 6, 5 / 6, 5 / 6))
    assert metrics.iou == pytest.approx(5 / 7)
    assert metrics.best_f == pytest.approx(5 / 6)
    assert metrics.best_threshold == 0.15


def test_the_best_threshold_is_between_people_and_background() -> None:
    meter = MaskMeter()
    meter.update(np.where(PERSON, 0.4, 0.3).astype(np.float32), PERSON)
    metrics = meter.compute()
    assert (metrics.f, metrics.best_f, metrics.best_threshold) == (0, 1, 0.3)


def test_frames_without_a_pixel_of_mask_or_person_have_no_iou() -> None:
    meter = MaskMeter()
    empty, full = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    assert meter.update(empty, NOBODY) is None
    assert meter.update(full, PERSON, NOBODY) is None
    assert meter.compute().iou is None
    assert meter.compute().f is None
    assert meter.update(full, NOBODY) == 0
    score = meter.score(0.5)
    assert (score.precision, score.recall, score.f) == (0, None, 0)


def test_a_level_at_the_threshold_is_not_in_the_mask() -> None:
    meter = MaskMeter()
    levels = np.array([[51, 52, 102, 103]], np.float32) / np.float32(255)  # .2 and .4 are 51 and 102
    meter.update(levels, np.ones((1, 4), np.bool_))
    assert [meter.score(threshold).recall for threshold in (0.2, 0.4)] == [0.75, 0.25]


frames = st.lists(
    st.tuples(
        st_numpy.arrays(np.uint8, (5, 6)),
        st_numpy.arrays(np.bool_, (5, 6)),
        st_numpy.arrays(np.bool_, (5, 6)),
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.slow
@given(frames)
def test_every_threshold_agrees_with_masks_made_for_it(
    video: list[tuple[NDArray[np.uint8], BoolArray, BoolArray]],
) -> None:
    meter = MaskMeter()
    for levels, person, known in video:
        meter.update(levels.astype(np.float32) / np.float32(255), person, known)
    for score, threshold in zip(meter.sweep(), SWEEP, strict=True):
        masks = [levels.astype(np.float64) > 255 * threshold + 1e-9 for levels, *_ in video]
        true, false, missed = 0, 0, 0
        for mask, (_, person, known) in zip(masks, video, strict=True):
            true += (mask & person & known).sum()
            false += (mask & ~person & known).sum()
            missed += (~mask & person & known).sum()
        assert score.precision == (true / (true + false) if true + false else None)
        assert score.recall == (true / (true + missed) if true + missed else None)
        if score.precision and score.recall:
            harmonic = 2 * score.precision * score.recall / (score.precision + score.recall)
            assert score.f == pytest.approx(harmonic)
        else:
            assert score.f == (0 if true + false + missed else None)


def test_boundary_iou_is_the_mean_over_frames() -> None:
    meter, person = MaskMeter(), np.zeros((60, 80), np.bool_)
    person[10:50, 20:50] = True
    masks = [np.roll(person, shift, axis=1) for shift in (0, 3)]
    for mask in masks:
        meter.update(mask.astype(np.float32), person)
    expected = [boundary_iou(Mask.from_array(mask), Mask.from_array(person)) for mask in masks]
    assert meter.compute().boundary_iou == pytest.approx(np.mean(expected))
    assert expected[1] < 0.7
