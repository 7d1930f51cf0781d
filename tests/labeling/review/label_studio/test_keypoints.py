"""Joints through an annotation: whose they are, which were touched, and what is left of the teacher's."""

import pytest

from configs.models import Review
from labeling.review.records import ReviewItem
from labeling.structures.instances import COCO_KEYPOINTS, Keypoints
from tests.labeling.review.label_studio.answers import (
    NO_KEYPOINTS,
    Result,
    item_of,
    joint,
    joints_at,
    person,
    read_back,
    region,
    shown_results,
    tick,
)
from tests.labeling.strategies import draw

SIZE = (4, 8)
LEFT = draw("##......", "##......", "##......", "........")
RIGHT = draw("......##", "......##", "......##", "........")
KNOWN = {
    "nose": (0.7, 0.3, 0.61),
    "left_eye": (1.1, 0.1, 0.52),
    "right_eye": (9.0, 1.0, 0.4),
    "left_ear": (1.0, 2.0, 0.0),
}
"""The right eye lies outside the image and the left ear has no confidence: two are shown."""
KEYPOINTS = joints_at(**KNOWN)


def one_person() -> ReviewItem:
    return item_of(person(11, LEFT, keypoints=KEYPOINTS))


def two_people() -> ReviewItem:
    return item_of(person(11, LEFT, keypoints=KEYPOINTS), person(12, RIGHT))


def keypoints_of(item: ReviewItem, results: list[Result]) -> list[Keypoints | None]:
    frame = read_back(item, results)
    assert frame.problems == ()
    return [one.keypoints for one in frame.instances]


def replaced(**places: tuple[float, float, float]) -> Keypoints:
    """The teacher's with some of them replaced."""
    return joints_at(**{**KNOWN, **places})


def test_untouched_joints_come_back_as_the_teacher_had_them_to_the_last_bit() -> None:
    item = one_person()
    frame = read_back(item, shown_results(item))
    assert frame.verdict == "correct"
    assert frame.instances[0].keypoints == KEYPOINTS


def test_a_moved_joint_is_a_person_s_and_the_frame_fixed() -> None:
    item = one_person()
    mask, nose, eye = shown_results(item)
    nose["value"].update(x=50.0, y=50.0)
    frame = read_back(item, [mask, nose, eye])
    assert frame.verdict == "corrected"
    assert [one.origin for one in frame.instances] == ["prediction"]
    assert frame.instances[0].keypoints == replaced(nose=(4.0, 2.0, 1.0))


def test_a_joint_that_was_only_clicked_on_is_untouched() -> None:
    """Label Studio calls it changed all the same."""
    item = one_person()
    mask, nose, eye = shown_results(item)
    frame = read_back(item, [mask, {**nose, "origin": "prediction-changed"}, eye])
    assert frame.verdict == "correct"
    assert frame.instances[0].keypoints == KEYPOINTS


def test_a_removed_joint_is_gone_and_the_frame_fixed() -> None:
    item = one_person()
    mask, _, eye = shown_results(item)
    frame = read_back(item, [mask, eye])
    assert frame.verdict == "corrected"
    assert frame.instances[0].keypoints == replaced(nose=(0.0, 0.0, 0.0))


def test_joints_that_nobody_was_shown_stay_the_teacher_s() -> None:
    item = one_person()
    frame = read_back(item, shown_results(item, NO_KEYPOINTS), NO_KEYPOINTS)
    assert frame.verdict == "correct"
    assert frame.instances[0].keypoints == KEYPOINTS


def test_a_relabeled_joint_is_the_other_joint() -> None:
    item = one_person()
    mask, nose, eye = shown_results(item)
    nose["value"]["keypointlabels"] = ["right_ear"]
    [keypoints] = keypoints_of(item, [mask, nose, eye])
    assert keypoints is not None
    ear = keypoints[COCO_KEYPOINTS.index("right_ear")]
    assert ear == pytest.approx((0.7, 0.3, 1.0))
    assert keypoints == replaced(nose=(0.0, 0.0, 0.0), right_ear=ear)


def test_the_joints_of_somebody_who_was_removed_go_too() -> None:
    item = two_people()
    results = [one for one in shown_results(item) if one["id"] != "i11"]
    assert keypoints_of(item, results) == [None]


def test_somebody_painted_anew_keeps_the_joints() -> None:
    item = one_person()
    _, *joints = shown_results(item)
    assert keypoints_of(item, [region(LEFT), *joints]) == [KEYPOINTS]


def test_a_joint_placed_by_hand_belongs_to_whom_it_hangs_below() -> None:
    item = item_of(person(11, LEFT), person(12, RIGHT))
    placed = joint("nose", 7.0, 1.0, SIZE, parentID="i11")
    assert keypoints_of(item, [*shown_results(item), placed]) == [joints_at(nose=(7.0, 1.0, 1.0)), None]


@pytest.mark.parametrize(("x", "owner"), [(0.5, 0), (3.0, 0), (5.0, 1), (7.5, 1)])
def test_a_joint_placed_by_hand_belongs_to_the_nearest_otherwise(x: float, owner: int) -> None:
    item = item_of(person(11, LEFT), person(12, RIGHT))
    found = keypoints_of(item, [*shown_results(item), joint("nose", x, 1.0, SIZE)])
    assert [position for position, one in enumerate(found) if one] == [owner]


def test_a_joint_in_two_people_belongs_to_the_smaller() -> None:
    around = draw("########", "########", "########", "########")
    item = item_of(person(11, around), person(12, RIGHT))
    found = keypoints_of(item, [*shown_results(item), joint("nose", 7.0, 1.0, SIZE)])
    assert [position for position, one in enumerate(found) if one] == [1]


def test_of_two_joints_of_one_kind_the_last_counts() -> None:
    item = one_person()
    again = joint("nose", 1.5, 1.5, SIZE, parentID="i11")
    assert keypoints_of(item, [*shown_results(item), again]) == [replaced(nose=(1.5, 1.5, 1.0))]


def test_a_joint_placed_by_hand_where_nobody_is_left_is_a_problem() -> None:
    frame = read_back(item_of(size_hw=SIZE), [joint("nose", 1.0, 1.0, SIZE)])
    assert frame.problems == ("joint nose left out: there is nobody whose it could be",)
    assert frame.verdict == "corrected"


def test_a_frame_that_is_unusable_stays_so_whatever_its_joints() -> None:
    item = one_person()
    assert read_back(item, [*shown_results(item)[:1], tick("unusable")]).verdict == "unusable"


def test_without_any_joint_left_there_are_no_keypoints() -> None:
    shown = joints_at(nose=(0.7, 0.3, 0.61))
    item = item_of(person(11, LEFT, keypoints=shown))
    frame = read_back(item, shown_results(item)[:1])
    assert (frame.verdict, frame.instances[0].keypoints) == ("corrected", None)


def test_settings_of_the_push_decide_what_was_shown() -> None:
    """Joints that come back though none were shown were placed by hand."""
    item = one_person()
    frame = read_back(item, shown_results(item), Review(show_keypoints=False))
    assert frame.verdict == "corrected"
