"""Each rule of the pose filter, its edge, and the order of the rules."""

import math
from dataclasses import replace

import numpy as np
import pytest

from configs.errors import ConfigError
from configs.models import PoseFilter
from configs.segmenters import LiteBlock, SelfieBlock, TorchvisionBlock
from labeling.sampling.pose_filter import Rejection, attach_keypoints, check_people, match_poses
from labeling.structures.instances import COCO_KEYPOINTS, Instance, Keypoints
from labeling.structures.masks import Mask
from tests.labeling.strategies import instance

SIZE_HW = (140, 200)
ANKLE_Y, SOLE_Y = 112.0, 120
ANY_PEOPLE = PoseFilter()
SINGLE = PoseFilter(people="single")
FULL_BODY = PoseFilter(people="single", full_body=True)
WITH_POSE_MODEL = PoseFilter(people="single", full_body=True, segmenter=LiteBlock())


def standing(
    confidences: dict[str, float] | None = None, *, left: int = 40, score: float = 0.9, sole_y: int = SOLE_Y
) -> Instance:
    """A person 40 px wide, 100 px high, all keypoints confident; `confidences` overrides some."""
    confidences = confidences or {}
    image = np.zeros(SIZE_HW, dtype=np.bool_)
    image[20:sole_y, left : left + 40] = True
    ys = {"nose": 25.0, "wrist": 70.0, "knee": 95.0, "ankle": ANKLE_Y}
    keypoints = tuple(
        (
            left + (15.0 if name.startswith("left") else 25.0),
            ys.get(name.split("_")[-1], 50.0),
            confidences.get(name, 0.9),
        )
        for name in COCO_KEYPOINTS
    )
    return instance(image, score=score, box_xywh=(left, 20.0, 40.0, 100.0), keypoints=keypoints)


def rule(rejection: Rejection | None) -> str | None:
    return rejection.rule if rejection else None


def check(poses: list[Instance], settings: PoseFilter, teacher: list[Instance] | None = None) -> str | None:
    return rule(check_people(poses, teacher, SIZE_HW, settings))


def test_a_whole_person_passes_every_rule() -> None:
    person = standing()
    for settings in (ANY_PEOPLE, SINGLE, FULL_BODY, PoseFilter(people="at_least_one", full_body=True)):
        assert check_people([person], None, SIZE_HW, settings) is None
    assert check_people([person], [person], SIZE_HW, WITH_POSE_MODEL) is None


@pytest.mark.parametrize(
    ("people", "rejected_by"), [("any", None), ("at_least_one", "no_people"), ("single", "no_people")]
)
def test_an_empty_frame_passes_only_with_people_any(people: str, rejected_by: str | None) -> None:
    settings = PoseFilter.model_validate({"people": people, "full_body": True})
    assert check([], settings) == rejected_by
    assert check([standing(score=0.49)], settings) == rejected_by


def test_a_person_counts_from_the_minimum_score_on() -> None:
    assert check([standing(score=0.5)], SINGLE) is None
    rejection = check_people([standing(score=0.499), standing(score=0.3)], None, SIZE_HW, SINGLE)
    assert rejection == Rejection(
        "no_people", "a person is required, the model found one with score 0.499 < 0.500"
    )
    rejection = check_people([], None, SIZE_HW, SINGLE)
    assert rejection == Rejection("no_people", "a person is required, the model found none")


@pytest.mark.parametrize(
    ("score", "rejected_by"), [(0.9, "several_people"), (0.2, "several_people"), (0.19, None)]
)
def test_a_second_person_counts_from_a_lower_score(score: float, rejected_by: str | None) -> None:
    both = [standing(), standing(left=120, score=score)]
    assert check(both, SINGLE) == rejected_by
    assert check(both[::-1], SINGLE) == rejected_by
    assert check(both, PoseFilter(people="at_least_one")) is None
    assert check(both, ANY_PEOPLE) is None


def test_two_confident_people_are_several_even_if_the_second_threshold_is_higher() -> None:
    settings = PoseFilter(people="single", min_person_score=0.5, min_second_person_score=0.95)
    assert check([standing(score=0.9), standing(left=120, score=0.6)], settings) == "several_people"


def test_several_people_are_named_with_the_second_score() -> None:
    rejection = check_people([standing(), standing(left=120, score=0.25)], None, SIZE_HW, SINGLE)
    assert rejection is not None
    assert rejection.rule == "several_people"
    assert "0.25 >= 0.20" in rejection.reason


def test_a_nan_score_is_no_person() -> None:
    assert check([standing(score=math.nan)], SINGLE) == "no_people"


@pytest.mark.parametrize(
    ("keypoint", "rejected_by"),
    [
        ("nose", "nose_missing"),
        ("left_wrist", "wrist_missing"),
        ("right_wrist", "wrist_missing"),
        ("left_ankle", "ankle_missing"),
        ("right_ankle", "ankle_missing"),
        ("left_knee", None),
        ("right_eye", None),
    ],
)
def test_a_full_body_has_a_nose_two_wrists_and_two_ankles(keypoint: str, rejected_by: str | None) -> None:
    hidden = standing({keypoint: 0.499})
    assert check([hidden], FULL_BODY) == rejected_by
    assert check([standing({keypoint: math.nan})], FULL_BODY) == rejected_by
    assert check([standing({keypoint: 0.5})], FULL_BODY) is None
    assert check([hidden], SINGLE) is None


def test_a_missing_keypoint_is_named_with_its_confidence() -> None:
    rejection = check_people([standing({"left_wrist": 0.31})], None, SIZE_HW, FULL_BODY)
    assert rejection is not None
    assert rejection.reason == "the left wrist is not visible: its confidence is 0.31 < 0.50"


@pytest.mark.parametrize(
    ("sole_y", "rejected_by"), [(114, None), (113, "foot_missing"), (105, "foot_missing")]
)
def test_the_mask_must_extend_two_per_cent_of_the_height_below_the_ankles(
    sole_y: int, rejected_by: str | None
) -> None:
    assert check([standing(sole_y=sole_y)], FULL_BODY) == rejected_by


def test_both_feet_are_required() -> None:
    person = standing()
    image = person.mask.to_array()
    image[113:, 60:] = False  # the right ankle is at x = 65
    rejection = check_people([replace(person, mask=Mask.from_array(image))], None, SIZE_HW, FULL_BODY)
    expected = "the mask extends 1.0 px below the right ankle, 2.0 px are required"
    assert rejection == Rejection("foot_missing", expected)


@pytest.mark.parametrize(
    ("box_xywh", "side"),
    [
        ((1.9, 20, 40, 100), "left"),
        ((40, 1.5, 40, 100), "top"),
        ((158.5, 20, 40, 100), "right"),
        ((40, 38.5, 40, 100), "bottom"),
        ((-5, 20, 40, 100), "left"),
    ],
)
def test_a_box_near_a_side_is_cut_off(box_xywh: tuple[float, float, float, float], side: str) -> None:
    rejection = check_people([replace(standing(), box_xywh=box_xywh)], None, SIZE_HW, FULL_BODY)
    assert rejection is not None
    assert rejection.rule == "cut_off"
    assert f"px from the image's {side} side, 2 px are required" in rejection.reason


@pytest.mark.parametrize(
    "box_xywh", [(2, 20, 40, 100), (40, 2, 40, 100), (158, 20, 40, 100), (40, 38, 40, 100)]
)
def test_a_box_two_pixels_from_a_side_is_whole(box_xywh: tuple[float, float, float, float]) -> None:
    assert check([replace(standing(), box_xywh=box_xywh)], FULL_BODY) is None


def test_the_first_rule_that_fails_names_the_rejection() -> None:
    broken = replace(
        standing({"nose": 0.0, "left_wrist": 0.0, "left_ankle": 0.0}, sole_y=100), box_xywh=(0, 20, 40, 100)
    )
    fixes: list[tuple[str, dict[str, float]]] = [
        ("nose_missing", {"left_wrist": 0.0, "left_ankle": 0.0}),
        ("wrist_missing", {"left_ankle": 0.0}),
        ("ankle_missing", {}),
    ]
    person = broken
    for expected, still_missing in fixes:
        assert check([person], FULL_BODY) == expected
        person = replace(standing(still_missing, sole_y=100), box_xywh=(0, 20, 40, 100))
    assert check([person], FULL_BODY) == "foot_missing"
    assert check([replace(standing(), box_xywh=(0, 20, 40, 100))], FULL_BODY) == "cut_off"


def test_every_person_that_counts_must_be_complete() -> None:
    settings = PoseFilter(people="any", full_body=True)
    assert check([standing(), standing({"nose": 0.1}, left=120)], settings) == "nose_missing"
    assert check([standing(), standing({"nose": 0.1}, left=120, score=0.4)], settings) is None


def test_a_full_body_requires_keypoints() -> None:
    bare = replace(standing(), keypoints=None)
    with pytest.raises(
        ConfigError, match=r"requires keypoints, and the teacher \(there is no pose_filter.segmenter"
    ):
        check([bare], FULL_BODY)
    selfie = PoseFilter(full_body=True, segmenter=SelfieBlock())
    with pytest.raises(
        ConfigError, match=r"pose_filter.segmenter selfie gives none: set pose_filter.segmenter"
    ):
        check([bare], selfie)
    network = PoseFilter(full_body=True, segmenter=TorchvisionBlock(model="maskrcnn_resnet50_fpn"))
    with pytest.raises(ConfigError, match="segmenter torchvision:maskrcnn_resnet50_fpn gives none"):
        check([bare], network)
    assert check([bare], SINGLE) is None


def test_feet_wait_for_the_teachers_mask_with_a_separate_pose_model() -> None:
    pose, teacher = standing(sole_y=100), standing()
    assert check([pose], WITH_POSE_MODEL) is None
    assert check([pose], WITH_POSE_MODEL, [teacher]) is None
    assert check([teacher], WITH_POSE_MODEL, [pose]) == "foot_missing"


def test_feet_are_checked_in_the_matched_teacher_mask() -> None:
    settings = PoseFilter(people="any", full_body=True, segmenter=LiteBlock())
    poses = [standing(), standing(left=120)]
    teacher = [standing(left=120), standing(sole_y=100)]
    assert check(poses, settings, [teacher[0], standing()]) is None
    assert check(poses, settings, teacher) == "foot_missing"


def test_teacher_and_pose_model_must_find_the_same_people() -> None:
    here, there = standing(), standing(left=120)
    assert check([here], PoseFilter(), [there]) == "teacher_misses_person"
    assert check([here, there], PoseFilter(), [there]) == "teacher_misses_person"
    assert check([here], PoseFilter(), [here, there]) == "pose_misses_person"
    assert check([], PoseFilter(), [there]) == "pose_misses_person"
    assert check([there, here], PoseFilter(), [here, there]) is None


def test_a_missed_person_is_named_with_score_and_box() -> None:
    rejection = check_people([standing()], [], SIZE_HW, PoseFilter())
    assert rejection is not None
    assert rejection.rule == "teacher_misses_person"
    assert "score 0.90, box 40x100 px at (40, 20)" in rejection.reason


def test_a_person_is_confirmed_by_a_partner_of_any_score() -> None:
    strong, weak = standing(), standing(score=0.05)
    assert check([strong], PoseFilter(), [weak]) is None
    assert check([weak], PoseFilter(), [strong]) is None
    assert check([weak], PoseFilter(), []) is None
    assert check([], PoseFilter(), [weak]) is None


@pytest.mark.parametrize(("shift", "rejected_by"), [(13, None), (14, "teacher_misses_person")])
def test_boxes_that_share_half_their_pixels_are_one_person(shift: int, rejected_by: str | None) -> None:
    # 40 px wide: (40 - shift) / (40 + shift) is 27/53 > 1/2 and 26/54 < 1/2
    pose = standing()
    moved = replace(pose, box_xywh=(40 + shift, 20, 40, 100))
    assert check([pose], PoseFilter(), [moved]) == rejected_by


def test_boxes_of_exactly_the_minimum_iou_are_one_person() -> None:
    pose = standing()
    half = replace(pose, box_xywh=(40, 20, 20, 100))
    assert match_poses([pose], [half], PoseFilter(min_box_iou=0.5)) == [(0, 0)]


def with_moved_keypoints(person: Instance, count: int) -> Instance:
    keypoints: Keypoints = person.keypoints or ()
    away = tuple((190.0, 10.0, confidence) for _, _, confidence in keypoints[:count])
    return replace(person, keypoints=away + keypoints[count:])


@pytest.mark.parametrize(("outside", "rejected_by"), [(0, None), (1, None), (2, "keypoints_outside_mask")])
def test_nine_of_ten_keypoints_must_lie_in_the_teachers_mask(outside: int, rejected_by: str | None) -> None:
    # 16 of 17 are 94 %, 15 of 17 are 88 %
    assert check([with_moved_keypoints(standing(), outside)], PoseFilter(), [standing()]) == rejected_by


def test_exactly_the_minimum_share_of_keypoints_is_enough() -> None:
    settings = PoseFilter(min_keypoints_inside=15 / 17)
    assert check([with_moved_keypoints(standing(), 2)], settings, [standing()]) is None
    rejection = check_people([with_moved_keypoints(standing(), 3)], [standing()], SIZE_HW, settings)
    assert rejection is not None
    assert rejection.rule == "keypoints_outside_mask"
    assert "82 % inside < 88 %" in rejection.reason


def test_poses_without_keypoints_are_compared_by_their_boxes_only() -> None:
    bare = replace(standing(), keypoints=None)
    unsure = standing(dict.fromkeys(COCO_KEYPOINTS, 0.1))
    assert check([bare], PoseFilter(), [standing()]) is None
    assert check([unsure], PoseFilter(), [standing()]) is None


def test_teacher_instances_get_the_keypoints_of_the_matched_pose() -> None:
    poses = [standing(), standing(left=120)]
    own: Keypoints = ((1.0, 2.0, 0.5),) * 17
    teacher = [
        replace(standing(left=118, score=0.7), keypoints=None),
        replace(standing(left=42), keypoints=own),
        replace(standing(left=80), keypoints=None),
    ]
    attached = attach_keypoints(teacher, poses, PoseFilter())
    assert [person.keypoints for person in attached] == [poses[1].keypoints, own, None]
    assert [replace(person, keypoints=None) for person in attached] == [
        replace(person, keypoints=None) for person in teacher
    ]
    assert attach_keypoints(teacher, [], PoseFilter()) == teacher
    assert attach_keypoints([], poses, PoseFilter()) == []


def test_a_pose_is_given_to_one_instance_only() -> None:
    twice = [replace(standing(), keypoints=None), replace(standing(left=41), keypoints=None)]
    attached = attach_keypoints(twice, [standing()], PoseFilter())
    assert [person.keypoints is None for person in attached] == [False, True]
