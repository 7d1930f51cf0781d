"""Review items as tasks: their predictions and region ids."""

from dataclasses import replace
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import LabelStudioError
from configs.models import Review
from labeling.review.label_studio.brush_rle import decode_brush
from labeling.review.label_studio.project import COMPARED, NUMBERED_LABELS, PROPOSED, label_config
from labeling.review.label_studio.tasks import (
    instance_id_of,
    keypoint_id,
    make_task,
    prediction_fingerprint,
    region_id,
    shown_keypoints,
)
from labeling.review.records import ReviewItem
from labeling.structures.instances import COCO_KEYPOINTS
from labeling.structures.masks import Mask
from tests.labeling.review.label_studio.results import (
    ALL_KEYPOINTS,
    NO_KEYPOINTS,
    item_of,
    keypoints_at,
    person,
)
from tests.labeling.strategies import draw

LEFT, RIGHT = draw("##..", "##..", "...."), draw("....", "..##", "..##")
EMPTY = draw("....", "....", "....")
KEYPOINTS = keypoints_at(nose=(1.0, 1.5, 0.9), left_eye=(3.0, 3.0, 0.0), right_eye=(4.5, 1.0, 0.9))


def test_every_person_is_a_region_of_the_last_prediction_with_its_own_mask_and_score() -> None:
    item = item_of(person(11, LEFT, score=0.8), person(12, RIGHT, score=0.6), student=LEFT)
    task = make_task(item, Review(), "/data/x.jpg")
    assert [one["model_version"] for one in task["predictions"]] == [COMPARED, PROPOSED]
    teacher = task["predictions"][-1]
    assert [(one["id"], one["score"]) for one in teacher["result"]] == [("i11", 0.8), ("i12", 0.6)]
    masks = [decode_brush(one["value"]["rle"], (3, 4)) for one in teacher["result"]]
    assert masks == [one.mask for one in item.teacher]
    assert teacher["score"] == 0.6


def test_the_data_contain_the_reason_the_frame_and_the_models() -> None:
    task = make_task(item_of(person(1, LEFT), frame_id=2**62, iou=1 / 3), Review(), "/data/x.jpg")
    assert task["data"] == {
        "frame_id": "4611686018427387904",
        "image": "/data/x.jpg",
        "why": "student missed 1 person; teacher unsure: mask flickers",
        "title": "street.mp4, 0:42.5",
        "iou": 0.3333,
        "value": "0.125000",
        "teacher_model": "lite:person",
        "student_model": "lite:selfie",
        "label": "person",
        "shows_keypoints": False,
        "min_keypoint_score": 0.5,
        "questions": [],
        "locked": [],
    }


def test_an_empty_mask_is_not_shown() -> None:
    task = make_task(item_of(person(1, EMPTY), person(2, LEFT), student=EMPTY), Review(), "/x.jpg")
    [teacher] = task["predictions"]
    assert [one["id"] for one in teacher["result"]] == ["i2"]


def test_a_frame_without_teacher_masks_is_still_a_task() -> None:
    task = make_task(item_of(size_hw=(3, 4), student=LEFT), Review(), "/x.jpg")
    assert task["predictions"][-1] == {"model_version": PROPOSED, "score": 0.0, "result": []}


def test_the_student_is_shown_with_its_own_label_or_not_at_all() -> None:
    item = item_of(person(1, LEFT), student=RIGHT)
    [region] = make_task(item, Review(), "/x.jpg")["predictions"][0]["result"]
    assert region["value"]["brushlabels"] == [COMPARED]
    assert decode_brush(region["value"]["rle"], (3, 4)) == item.student["person"]
    hidden = make_task(item, Review(show_student=False), "/x.jpg")
    assert [one["model_version"] for one in hidden["predictions"]] == [PROPOSED]


def test_keypoints_in_the_image_with_a_confidence_are_children_of_their_person() -> None:
    item = item_of(person(11, LEFT, keypoints=KEYPOINTS))
    mask, *points = make_task(item, ALL_KEYPOINTS, "/x.jpg")["predictions"][-1]["result"]
    assert mask["id"] == "i11"
    [nose] = points
    assert (nose["id"], nose["parentID"], nose["score"]) == ("i11-nose", "i11", 0.9)
    assert nose["value"] == {"x": 25.0, "y": 50.0, "width": 0.5, "keypointlabels": ["nose"]}
    assert list(shown_keypoints(item.teacher[0], ALL_KEYPOINTS)) == [0]
    assert len(make_task(item, NO_KEYPOINTS, "/x.jpg")["predictions"][-1]["result"]) == 1


def test_a_keypoint_whose_position_is_nan_is_not_shown() -> None:
    lost = keypoints_at(nose=(float("nan"), 1.0, 0.9), left_eye=(1.0, 1.0, float("nan")))
    item = item_of(person(11, LEFT, keypoints=lost))
    assert len(make_task(item, ALL_KEYPOINTS, "/x.jpg")["predictions"][-1]["result"]) == 1


def test_keypoints_are_not_shown_by_default_and_never_below_their_score() -> None:
    points = keypoints_at(nose=(1.0, 1.5, 0.5), left_eye=(1.0, 1.0, 0.49), right_eye=(1.0, 1.0, 0.9))
    item = item_of(person(11, LEFT, keypoints=points))
    shown = make_task(item, Review(show_keypoints=True), "/x.jpg")["predictions"][-1]["result"]
    assert [one["id"] for one in shown] == ["i11", "i11-nose", "i11-right_eye"]
    assert list(shown_keypoints(item.teacher[0], Review())) == []
    assert len(make_task(item, Review(), "/x.jpg")["predictions"][-1]["result"]) == 1


def test_people_are_numbered_in_their_order_and_again_from_the_first_in_a_crowd() -> None:
    crowd = [person(number, LEFT) for number in range(1, NUMBERED_LABELS + 3)]
    result = make_task(item_of(person(99, EMPTY), *crowd), Review(), "/x.jpg")["predictions"][-1]["result"]
    found = [one["value"]["brushlabels"] for one in result]
    assert found[:2] == [["person 1"], ["person 2"]]
    assert found[NUMBERED_LABELS - 1 :] == [[f"person {NUMBERED_LABELS}"], ["person 1"], ["person 2"]]


def refusal(item: ReviewItem, settings: Review | None = None, url: str = "/x.jpg") -> str:
    with pytest.raises(LabelStudioError, match=f"frame {item.frame_id} ") as refused:
        make_task(item, settings or ALL_KEYPOINTS, url)
    return str(refused.value)


def test_masks_of_another_image_are_refused() -> None:
    item = item_of(person(1, LEFT), size_hw=(4, 3), student=RIGHT)
    assert "the mask of instance 1 has 4x3 pixels, the image 3x4" in refusal(item)
    assert "the mask of the student (person) has 4x3 pixels, the image 3x4" in refusal(item)
    assert "student" not in refusal(item, Review(show_student=False))


@pytest.mark.parametrize("share", [float("nan"), float("inf"), -0.1, 1.5])
@pytest.mark.parametrize("field", ["iou", "value"])
def test_an_invalid_share_is_refused(field: str, share: float) -> None:
    item = replace(item_of(person(1, LEFT)), **{field: share})  # type: ignore[arg-type]  # its name is a parameter
    assert f"the {field} is {share}, not in [0, 1]" in refusal(item)


def test_an_invalid_score_or_confidence_is_refused() -> None:
    infinite = keypoints_at(nose=(1.0, 1.0, float("inf")))
    item = item_of(person(1, LEFT, score=7.0), person(2, RIGHT, keypoints=infinite))
    assert "the score of instance 1 is 7.0" in refusal(item)
    assert "the confidence of i2-nose is inf" in refusal(item)
    assert "confidence" not in refusal(item, NO_KEYPOINTS)


def test_an_image_without_url_or_pixels_and_a_repeated_id_are_refused() -> None:
    assert "its image has no URL" in refusal(item_of(person(1, LEFT)), url="")
    assert "its image has 0x0 pixels" in refusal(item_of(size_hw=(0, 0)))
    assert "instance ids [1] are not unique" in refusal(item_of(person(1, LEFT), person(1, RIGHT)))


@pytest.mark.parametrize(
    "settings",
    [ALL_KEYPOINTS, Review(label="human", show_keypoints=True), Review(label=COMPARED, show_keypoints=True)],
)
def test_every_region_matches_a_control_of_the_label_config(settings: Review) -> None:
    """Label Studio does not check this."""
    page = Xml.fromstring(label_config(settings))  # noqa: S314  # our own
    controls = {control.get("name"): control for control in page.iter() if control.get("toName")}
    item = item_of(person(11, LEFT, keypoints=KEYPOINTS), person(12, RIGHT), student=LEFT)
    regions = [
        region for one in make_task(item, settings, "/x.jpg")["predictions"] for region in one["result"]
    ]
    assert len({region["id"] for region in regions}) == 4
    for region in regions:
        control = controls[region["from_name"]]
        assert region["to_name"] == control.get("toName")
        assert region["type"] == control.tag.lower()
        assert (region["original_height"], region["original_width"]) == item.size_hw
        labels = {label.get("value") for label in control.iter("Label")}
        assert set(region["value"][region["type"]]) <= labels
        if region["type"] == "brushlabels":
            assert int.from_bytes(region["value"]["rle"][:4]) == 4 * LEFT.size


@given(st.integers(0, 2**63 - 1), st.integers(0, len(COCO_KEYPOINTS) - 1))
def test_ids_contain_the_instance_id(number: int, index: int) -> None:
    assert instance_id_of(region_id(number)) == instance_id_of(keypoint_id(number, index)) == number


@pytest.mark.parametrize(
    "name",
    [
        "",
        "student",
        "i",
        "i07",
        "i-1",
        "i7 ",
        "i7\n",
        "i7-",
        "i7-tail",
        "x7",
        "7",
        "i٣",
        "i" + "9" * 5000,
        "jR_i7",
    ],
)
def test_an_id_made_by_label_studio_contains_no_instance_id(name: str) -> None:
    assert instance_id_of(name) is None


def test_the_fingerprint_changes_with_everything_that_is_shown() -> None:
    item = item_of(person(1, LEFT, keypoints=KEYPOINTS), student=LEFT)
    [one] = item.teacher
    others = [
        replace(item, teacher=(replace(one, id=2),)),
        replace(item, teacher=(replace(one, mask=Mask.from_array(RIGHT)),)),
        replace(item, teacher=(replace(one, score=0.5),)),
        replace(item, teacher=(replace(one, keypoints=None),)),
        replace(item, teacher=()),
        replace(item, teacher_model="lite:other"),
        replace(item, teacher=(replace(one, category="bicycle"),)),
        replace(item, student={}),
        replace(item, student={"person": Mask.from_array(RIGHT)}),
        replace(item, student={"bicycle": Mask.from_array(LEFT)}),
        replace(item, student_model="lite:other"),
    ]
    prints = {prediction_fingerprint(one, ALL_KEYPOINTS) for one in (item, *others)}
    assert len(prints) == 1 + len(others)
    ways = [
        ALL_KEYPOINTS.model_copy(update=change)
        for change in (
            {"label": "human"},
            {"show_student": False},
            {"show_keypoints": False},
            {"min_keypoint_score": 0.3},
        )
    ]
    assert len(prints | {prediction_fingerprint(item, way) for way in ways}) == len(prints) + len(ways)


def test_the_fingerprint_does_not_change_with_texts_or_hidden_masks() -> None:
    item = item_of(person(1, LEFT), student=EMPTY)
    same = [
        replace(item, why="something else", title="another", iou=0.9),
        replace(item, student={}),
        replace(item, teacher=(*item.teacher, person(2, EMPTY))),
    ]
    assert {prediction_fingerprint(one, Review()) for one in same} == {prediction_fingerprint(item, Review())}
