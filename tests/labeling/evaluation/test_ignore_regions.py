"""Which masks can be judged, and their IoU."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labeling.evaluation.evaluate import iou_with_ground_truth
from labeling.evaluation.frames import LabeledImage
from labeling.evaluation.ignore_regions import find_known, judge_masks, leave_out_unlabeled
from labeling.structures.masks import Mask
from tests.labeling.strategies import draw

DANCER = Mask.from_array(draw("##....", "##....", "##....", "##...."))
SLIM = Mask.from_array(draw("#.....", "#.....", "#.....", "#....."))
AUDIENCE = Mask.from_array(draw("....##", "....##", "....##", "....##"))
NOTHING = Mask.empty((4, 6))


def image(*people: Mask, ignored: Mask = NOTHING, is_partial: bool = False) -> LabeledImage:
    return LabeledImage(Path("a.png"), (4, 6), people, ignored, is_partial)


def test_a_mask_is_as_good_as_its_best_overlap_with_a_person() -> None:
    assert judge_masks([DANCER, SLIM], image(DANCER, AUDIENCE)) == [1.0, 0.5]
    assert judge_masks([DANCER], image()) == [0.0]
    assert judge_masks([], image(DANCER)) == []


def test_ignored_pixels_are_part_of_neither_mask() -> None:
    border = Mask.from_array(draw(".#....", ".#....", ".#....", ".#...."))
    assert judge_masks([SLIM], image(DANCER, ignored=border)) == [1.0]


def test_a_mask_mostly_in_ignored_regions_cannot_be_judged() -> None:
    three_quarters = Mask.from_array(draw("##....", "##....", "##....", "......"))
    half = Mask.from_array(draw("##....", "##....", "......", "......"))
    assert judge_masks([DANCER], image(SLIM, ignored=three_quarters)) == [None]
    assert find_known([DANCER], image(SLIM, ignored=half)) == [True]


def test_with_partial_ground_truth_a_mask_apart_from_labeled_people_cannot_be_judged() -> None:
    assert judge_masks([DANCER, AUDIENCE], image(DANCER)) == [1.0, 0.0]
    assert judge_masks([DANCER, AUDIENCE], image(DANCER, is_partial=True)) == [1.0, None]


def test_joined_ground_truth_judges_a_mask_only_if_no_other_lies_on_it() -> None:
    both = Mask.from_array(DANCER.to_array() | AUDIENCE.to_array())
    joined = replace(image(both), is_joined=True)
    elsewhere = Mask.from_array(draw("..##..", "......", "......", "......"))
    assert judge_masks([DANCER, AUDIENCE, elsewhere], joined) == [None, None, 0.0]
    assert judge_masks([both, elsewhere], joined) == [1.0, 0.0]
    assert judge_masks([both], replace(image(), is_joined=True)) == [0.0]


def test_with_partial_ground_truth_people_found_only_by_the_teacher_are_ignored() -> None:
    partial, whole = (image(DANCER, is_partial=is_partial) for is_partial in (True, False))
    seen = [SLIM, AUDIENCE]
    assert iou_with_ground_truth(seen, whole) == pytest.approx(4 / 16)
    assert iou_with_ground_truth(seen, leave_out_unlabeled(partial, seen)) == pytest.approx(0.5)
    assert leave_out_unlabeled(whole, seen) is whole


def test_a_labeled_person_is_never_ignored() -> None:
    everything = Mask.from_array(np.ones((4, 6)))
    truth = leave_out_unlabeled(image(DANCER, is_partial=True), [everything])
    assert iou_with_ground_truth([], truth) == pytest.approx(0.0, abs=1e-6)
    assert iou_with_ground_truth([DANCER], truth) == pytest.approx(1.0)
