"""Answers beside a known truth, person by person."""

from labeling.review.planted import JudgedAnswer, judge_answer
from labeling.structures.masks import Mask
from tests.planted_reviews import box_mask

LEFT, RIGHT = box_mask(10, 10, 30, 100), box_mask(100, 10, 30, 100)
NARROW = box_mask(10, 10, 15, 100)
"""Half of the left person."""
NOBODY = box_mask(60, 10, 20, 20)


def judge(answered: list[Mask], **others: list[Mask]) -> tuple[int, int, int, int]:
    judged = judge_answer([LEFT, RIGHT], answered, **others)
    assert judged.judged == sum((judged.right, judged.wrong, judged.missed, judged.added))
    return judged.right, judged.wrong, judged.missed, judged.added


def test_right_wrong_missed_and_added_people_are_counted_one_by_one() -> None:
    assert judge([RIGHT, LEFT]) == (2, 0, 0, 0)
    assert judge([NARROW, RIGHT]) == (1, 1, 0, 0)
    assert judge([RIGHT]) == (1, 0, 1, 0)
    assert judge([LEFT, RIGHT, NOBODY]) == (2, 0, 0, 1)
    assert judge([]) == (0, 0, 2, 0)


def test_the_iou_is_that_of_people_who_were_found() -> None:
    assert judge_answer([LEFT, RIGHT], [NARROW, RIGHT, NOBODY]).ious == (0.5, 1.0)
    assert judge_answer([], []) == JudgedAnswer(0, 0, 0, 0, ())


def test_two_masks_of_one_person_are_one_right_and_one_of_no_person() -> None:
    assert judge([LEFT, LEFT, RIGHT]) == (2, 0, 0, 1)


def test_leaving_out_a_wrong_outline_is_right_and_a_good_one_wrong() -> None:
    empty = Mask.empty(LEFT.size_hw)
    assert judge([empty, RIGHT], left_out=[NARROW]) == (2, 0, 0, 0)
    assert judge([empty, RIGHT], left_out=[LEFT]) == (1, 1, 0, 0)
    assert judge([empty, RIGHT], left_out=[NOBODY]) == (1, 0, 1, 0)


def test_people_whom_the_annotator_could_not_change_are_not_judged() -> None:
    assert judge([RIGHT], locked=[NARROW]) == (1, 0, 0, 0)
    assert judge([], locked=[LEFT, RIGHT]) == (0, 0, 0, 0)
