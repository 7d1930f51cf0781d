"""A verifier's result for people drawn as boxes in an image of 60 x 80 pixels."""

import math
from dataclasses import replace

import numpy as np
import pytest

from configs.load import validate_config
from labeling.structures.instances import COCO_KEYPOINTS, Instance, Keypoints, ModelCard
from labeling.structures.masks import Mask
from labeling.trust.evidence import SecondOpinion
from labeling.trust.second_opinion import SecondOpinionComparer

SIZE_HW = (60, 80)
COMPARER = SecondOpinionComparer(
    gives_masks=True, both_give_instances=True, min_score=0.7, match_iou=0.5, min_keypoint_score=0.5
)
Box = tuple[int, int, int, int]
LEFT, RIGHT = (5, 10, 10, 30), (50, 10, 10, 30)


def person(box: Box, *, score: float = 0.9, keypoints: Keypoints | None = None) -> Instance:
    x, y, w, h = box
    pixels = np.zeros(SIZE_HW, np.bool_)
    pixels[y : y + h, x : x + w] = True
    return Instance(Mask.from_array(pixels), score, box, keypoints)


def pose(box: Box, *, score: float = 0.9, inside: int = 17) -> Instance:
    """Return a person without a mask; `inside` of the 17 keypoints lie in the box, the others far below."""
    x, y, w, h = box
    keypoints = [(x + w / 2, y + h / 2 + (0 if n < inside else 25), 0.9) for n in range(len(COCO_KEYPOINTS))]
    return Instance(Mask.empty(SIZE_HW), score, box, tuple(keypoints))


def compare(
    teacher: list[Instance], verifier: list[Instance], comparer: SecondOpinionComparer = COMPARER
) -> SecondOpinion:
    return comparer.compare(teacher, verifier, SIZE_HW)


def test_two_models_with_the_same_people_agree() -> None:
    assert compare([person(LEFT), person(RIGHT)], [person(RIGHT), person(LEFT)]) == SecondOpinion(iou=1.0)
    assert compare([], []) == SecondOpinion(iou=1.0)


def test_a_small_missed_person_is_counted_though_the_masks_overlap_well() -> None:
    far = (40, 10, 3, 8)
    opinion = compare([person(LEFT)], [person(LEFT), person(far)])
    assert opinion.missed == 1
    assert opinion.iou == pytest.approx(300 / 324)
    assert opinion.unseen == 0


def test_a_missed_person_counts_from_the_score_at_which_the_verifier_is_sure() -> None:
    for score, missed in ((0.7, 1), (math.nextafter(0.7, 0), 0), (math.nan, 0)):
        assert compare([person(LEFT)], [person(LEFT), person(RIGHT, score=score)]).missed == missed


def test_a_low_score_of_the_verifier_suffices_to_confirm_a_person() -> None:
    assert compare([person(LEFT), person(RIGHT)], [person(LEFT), person(RIGHT, score=0.1)]).unseen == 0
    assert compare([person(LEFT), person(RIGHT)], [person(LEFT)]).unseen == 1
    blind = compare([person(LEFT)], [])
    assert blind.unseen == 1
    assert blind.iou == pytest.approx(0, abs=1e-6)


def test_an_unsure_person_takes_no_match_from_a_sure_one() -> None:
    """The unsure box fits better, but the sure person must have been found."""
    shifted = (LEFT[0] + 2, *LEFT[1:])
    opinion = compare([person(LEFT)], [person(LEFT, score=0.2), person(shifted)])
    assert (opinion.missed, opinion.unseen) == (0, 0)


def test_one_mask_for_two_people_misses_one() -> None:
    nearly = (LEFT[0] + 1, *LEFT[1:])
    assert compare([person(LEFT)], [person(LEFT), person(nearly)]).missed == 1


@pytest.mark.parametrize(("shift", "same"), [(3, True), (4, False)])
def test_boxes_that_overlap_by_half_are_the_same_person(shift: int, same: bool) -> None:
    """IoU 7 / 13 and 6 / 14."""
    opinion = compare([person(LEFT)], [person((LEFT[0] + shift, *LEFT[1:]))])
    assert (opinion.missed, opinion.unseen) == ((0, 0) if same else (1, 1))


def test_a_verifier_without_masks_has_no_union_iou() -> None:
    assert compare([person(LEFT)], [pose(LEFT)]) == SecondOpinion(keypoints_inside=1.0)
    filled = replace(COMPARER, gives_masks=False)
    assert compare([person(LEFT)], [person((4, 8, 12, 34))], filled).iou is None
    assert compare([person(LEFT)], [], filled).unseen == 1


def test_a_person_without_a_mask_can_be_missed() -> None:
    opinion = compare([person(LEFT)], [pose(LEFT), pose(RIGHT), pose(RIGHT, score=0.3)])
    assert (opinion.missed, opinion.iou) == (1, None)


def test_an_empty_mask_without_keypoints_is_no_person() -> None:
    empty = Instance(Mask.empty(SIZE_HW), 0.9, RIGHT)
    assert compare([person(LEFT), empty], [person(LEFT), empty]) == SecondOpinion(iou=1.0)


def test_the_lowest_share_of_keypoints_inside_counts() -> None:
    opinion = compare([person(LEFT), person(RIGHT)], [pose(LEFT), pose(RIGHT, inside=10)])
    assert opinion.keypoints_inside == pytest.approx(10 / 17)


def test_only_confident_keypoints_of_the_same_person_count() -> None:
    assert compare([person(RIGHT)], [pose(LEFT)]).keypoints_inside is None
    unsure = tuple((x, y, 0.4) for x, y, _ in pose(LEFT, inside=0).keypoints or ())
    assert compare([person(LEFT)], [person(LEFT, keypoints=unsure)]).keypoints_inside is None


def test_one_mask_for_all_people_is_not_compared_person_by_person() -> None:
    all_people = person((5, 10, 55, 30))
    comparer = replace(COMPARER, both_give_instances=False)
    opinion = compare([person(LEFT), person(RIGHT)], [all_people], comparer)
    assert opinion.iou == pytest.approx(600 / 1650)
    assert (opinion.missed, opinion.unseen) == (0, 0)


def test_cards_and_config_decide_what_is_compared() -> None:
    block = {"kind": "python", "factory": "tests.fakes.segmenters:scripted"}
    changes = {"trust": {"min_score": 0.6}, "agreement": {"match_iou": 0.4}}
    config = validate_config({"teacher": block, "student": block, **changes}, "test")
    card = ModelCard("python", "m", "", "{}")
    assert SecondOpinionComparer.of(config, card, card) == SecondOpinionComparer(True, True, 0.6, 0.4, 0.5)
    for one, other in (
        (card, replace(card, gives_instances=False)),
        (replace(card, gives_instances=False), card),
    ):
        assert not SecondOpinionComparer.of(config, one, other).both_give_instances
    assert not SecondOpinionComparer.of(config, card, replace(card, gives_masks=False)).gives_masks
    posed = validate_config(
        {"teacher": block, "student": block, "pose_filter": {"min_keypoint_score": 0.3}}, "test"
    )
    assert SecondOpinionComparer.of(posed, card, card).min_keypoint_score == 0.3
