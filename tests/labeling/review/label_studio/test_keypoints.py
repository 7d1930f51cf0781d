"""Keypoints of an annotation: to whom they belong, and which were changed."""

import pytest

from configs.models import Review
from labeling.review.records import ReviewItem
from labeling.structures.instances import COCO_KEYPOINTS, Keypoints
from tests.labeling.review.label_studio.results import (
    NO_KEYPOINTS,
    Result,
    item_of,
    keypoint,
    keypoints_at,
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
KEYPOINTS = keypoints_at(**KNOWN)


def one_person() -> ReviewItem:
    return item_of(person(11, LEFT, keypoints=KEYPOINTS))


def two_people() -> ReviewItem:
    return item_of(person(11, LEFT, keypoints=KEYPOINTS), person(12, RIGHT))


def keypoints_of(item: ReviewItem, results: list[Result]) -> list[Keypoints | None]:
    frame = read_back(item, results)
    assert frame.problems == ()
    return [one.keypoints for one in frame.instances]


def replaced(**points: tuple[float, float, float]) -> Keypoints:
    """The teacher's with some of them replaced."""
    return keypoints_at(**{**KNOWN, **points})


def test_untouched_keypoints_come_back_bit_for_bit() -> None:
    item = one_person()
    frame = read_back(item, shown_results(item))
    assert frame.verdict == "correct"
    assert frame.instances[0].keypoints == KEYPOINTS


def test_a_moved_keypoint_has_confidence_1_and_the_frame_is_not_correct() -> None:
    item = one_person()
    mask, nose, eye = shown_results(item)
    nose["value"].update(x=50.0, y=50.0)
    frame = read_back(item, [mask, nose, eye])
    assert frame.verdict == "corrected"
    assert [one.origin for one in frame.instances] == ["prediction"]
    assert frame.instances[0].keypoints == replaced(nose=(4.0, 2.0, 1.0))


def test_a_keypoint_that_was_only_selected_is_untouched() -> None:
    """Label Studio sets its origin to changed nevertheless."""
    item = one_person()
    mask, nose, eye = shown_results(item)
    frame = read_back(item, [mask, {**nose, "origin": "prediction-changed"}, eye])
    assert frame.verdict == "correct"
    assert frame.instances[0].keypoints == KEYPOINTS


def test_a_removed_keypoint_is_absent_and_the_frame_is_not_correct() -> None:
    item = one_person()
    mask, _, eye = shown_results(item)
    frame = read_back(item, [mask, eye])
    assert frame.verdict == "corrected"
    assert frame.instances[0].keypoints == replaced(nose=(0.0, 0.0, 0.0))


def test_keypoints_that_were_not_shown_stay_the_teacher_s() -> None:
    item = one_person()
    frame = read_back(item, shown_results(item, NO_KEYPOINTS), NO_KEYPOINTS)
    assert frame.verdict == "correct"
    assert frame.instances[0].keypoints == KEYPOINTS


def test_a_relabeled_keypoint_is_the_other_keypoint() -> None:
    item = one_person()
    mask, nose, eye = shown_results(item)
    nose["value"]["keypointlabels"] = ["right_ear"]
    [keypoints] = keypoints_of(item, [mask, nose, eye])
    assert keypoints is not None
    ear = keypoints[COCO_KEYPOINTS.index("right_ear")]
    assert ear == pytest.approx((0.7, 0.3, 1.0))
    assert keypoints == replaced(nose=(0.0, 0.0, 0.0), right_ear=ear)


def test_the_keypoints_of_a_removed_person_are_removed() -> None:
    item = two_people()
    results = [one for one in shown_results(item) if one["id"] != "i11"]
    assert keypoints_of(item, results) == [None]


def test_a_redrawn_person_keeps_the_keypoints() -> None:
    item = one_person()
    _, *points = shown_results(item)
    assert keypoints_of(item, [region(LEFT), *points]) == [KEYPOINTS]


def test_a_new_keypoint_belongs_to_its_parent_region() -> None:
    item = item_of(person(11, LEFT), person(12, RIGHT))
    placed = keypoint("nose", 7.0, 1.0, SIZE, parentID="i11")
    assert keypoints_of(item, [*shown_results(item), placed]) == [keypoints_at(nose=(7.0, 1.0, 1.0)), None]


@pytest.mark.parametrize(("x", "owner"), [(0.5, 0), (3.0, 0), (5.0, 1), (7.5, 1)])
def test_a_new_keypoint_without_a_parent_belongs_to_the_nearest_region(x: float, owner: int) -> None:
    item = item_of(person(11, LEFT), person(12, RIGHT))
    found = keypoints_of(item, [*shown_results(item), keypoint("nose", x, 1.0, SIZE)])
    assert [position for position, one in enumerate(found) if one] == [owner]


def test_a_keypoint_in_two_people_belongs_to_the_smaller() -> None:
    around = draw("########", "########", "########", "########")
    item = item_of(person(11, around), person(12, RIGHT))
    found = keypoints_of(item, [*shown_results(item), keypoint("nose", 7.0, 1.0, SIZE)])
    assert [position for position, one in enumerate(found) if one] == [1]


def test_of_two_keypoints_of_one_kind_the_last_counts() -> None:
    item = one_person()
    again = keypoint("nose", 1.5, 1.5, SIZE, parentID="i11")
    assert keypoints_of(item, [*shown_results(item), again]) == [replaced(nose=(1.5, 1.5, 1.0))]


def test_a_new_keypoint_in_a_frame_without_people_is_a_problem() -> None:
    frame = read_back(item_of(size_hw=SIZE), [keypoint("nose", 1.0, 1.0, SIZE)])
    assert frame.problems == ("keypoint nose ignored: there is no person in the frame",)
    assert frame.verdict == "corrected"


def test_an_unusable_frame_stays_unusable_whatever_its_keypoints() -> None:
    item = one_person()
    assert read_back(item, [*shown_results(item)[:1], tick("unusable")]).verdict == "unusable"


def test_a_person_without_any_keypoint_has_none() -> None:
    shown = keypoints_at(nose=(0.7, 0.3, 0.61))
    item = item_of(person(11, LEFT, keypoints=shown))
    frame = read_back(item, shown_results(item)[:1])
    assert (frame.verdict, frame.instances[0].keypoints) == ("corrected", None)


def test_a_keypoint_below_the_score_was_not_shown_and_stays_the_teacher_s() -> None:
    item, settings = one_person(), Review(show_keypoints=True, min_keypoint_score=0.6)
    shown = shown_results(item, settings)
    assert [one["id"] for one in shown] == ["i11", "i11-nose"]
    assert read_back(item, shown[:1], settings).instances[0].keypoints == replaced(nose=(0.0, 0.0, 0.0))


def test_the_settings_of_the_push_decide_what_was_shown() -> None:
    """Keypoints that come back although none were shown were placed by hand."""
    item = one_person()
    frame = read_back(item, shown_results(item), Review(show_keypoints=False))
    assert frame.verdict == "corrected"
