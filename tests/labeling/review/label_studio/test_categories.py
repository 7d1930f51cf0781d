"""A page with several categories: its labels, and what annotators do with them."""

from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pytest

from configs.errors import ConfigError, LabelStudioError
from configs.models import Review
from labeling.review.label_studio.instructions import explain_to_annotators, instructions
from labeling.review.label_studio.project import COMPARED, NUMBERED_LABELS, OTHER, WRONG, label_config
from labeling.review.label_studio.tasks import make_task, region_id
from labeling.review.records import ReviewedFrame, ReviewItem
from labeling.structures.masks import BoolArray, Mask
from labeling.structures.reasons import Reason
from tests.labeling.review.label_studio.results import (
    Result,
    item_of,
    keypoint,
    keypoints_at,
    person,
    read_back,
    region,
    shown_results,
)

BOTH = ("person", "bicycle")
SIZE = (20, 30)
NOSE = keypoints_at(nose=(4.0, 3.0, 0.8))


def box(left: int, top: int, right: int, bottom: int) -> BoolArray:
    pixels = np.zeros(SIZE, np.bool_)
    pixels[top:bottom, left:right] = True
    return pixels


RIDER, BIKE, FREE = box(2, 1, 8, 12), box(1, 9, 12, 18), box(20, 4, 28, 16)


def street() -> ReviewItem:
    """A person 11 with a nose, on a bicycle 12."""
    return item_of(person(11, RIDER, keypoints=NOSE), person(12, BIKE, category="bicycle"))


def read(item: ReviewItem, results: list[Result]) -> ReviewedFrame:
    return read_back(item, results, categories=BOTH)


def relabel(result: Result, label: str) -> Result:
    return {**result, "value": {**result["value"], "brushlabels": [label]}}


def outcome(frame: ReviewedFrame) -> list[tuple[int | None, str, str]]:
    return [(one.source_id, one.category, one.origin) for one in frame.instances]


def brush_labels(config: str) -> list[Xml.Element]:
    [group] = Xml.fromstring(config).iter("BrushLabels")  # noqa: S314  # our own
    return list(group.iter("Label"))


def test_each_category_has_a_button_numbered_labels_and_a_locked_one() -> None:
    every = brush_labels(label_config(Review(label="rider"), BOTH))
    names = [str(one.get("value")) for one in every]
    assert names == [
        *("rider", "bicycle"),
        *(f"rider {number + 1}" for number in range(NUMBERED_LABELS)),
        *(f"bicycle {number + 1}" for number in range(NUMBERED_LABELS)),
        *("accepted rider", "accepted bicycle", COMPARED),
    ]
    keys = [str(one.get("hotkey")) for one in every]
    assert len(set(keys)) == len(keys)
    assert [key for key in keys if "+" not in key] == ["n", "4"]
    assert len({one.get("background") for one in every[:2]}) == 2


def test_of_many_categories_all_have_a_button_and_those_without_a_key_show_none() -> None:
    names = [f"thing {chr(97 + rank)}" for rank in range(12)]
    page = Xml.fromstring(label_config(Review(), names))  # noqa: S314  # our own
    keyless = [
        str(label.get("value"))
        for view in page.iter("View")
        if view.get("className") == "mm-keyless"
        for label in view
    ]
    assert keyless == names[8:]
    every = [str(one.get("hotkey")) for one in page.iter("Label")]
    assert len(set(every)) == len(every)
    assert [len(key.removeprefix("ctrl+alt+shift+")) for key in every] == [1] * len(every)
    assert "mm-many" not in {view.get("className") for view in page.iter("View")}
    assert "mm-new mm-many" in {view.get("className") for view in page.iter("View")}


def test_the_controls_of_answers_that_label_studio_has_can_be_kept() -> None:
    page = Xml.fromstring(label_config(Review(), BOTH, keep_answers=True))  # noqa: S314  # our own
    hidden = [one for one in page.iter("Repeater") if one.get("on") == "$never"]
    [kept] = [one for one in hidden[0].iter("Choices") if one.get("name") == "answer-7"]
    assert [one.get("value") for one in kept] == ["right", OTHER, WRONG, "no person"]
    assert "answer-7" not in label_config(Review(), BOTH)


def test_a_page_without_people_has_neither_their_words_nor_keypoints() -> None:
    config = label_config(Review(show_keypoints=True), ("car",))
    assert "KeyPointLabels" not in config
    assert "person" not in config
    said = instructions(Review(), ("car",))
    assert "<code>New car</code> (N)" in said
    assert not [word for word in ("person", "people", "wears", "coat") if word in said]


def test_the_instructions_name_every_button() -> None:
    said = instructions(Review(), ("person", "bicycle", "car"))
    assert "<code>New person</code> (N), <code>New bicycle</code> (4) or <code>New car</code> (5)" in said
    assert "such as a bicycle that is marked as a person" in said
    assert "unless it is a bicycle or car" in said


@pytest.mark.parametrize(
    "categories", [("person", "person 7"), ("person", "accepted person"), ("cat", COMPARED)]
)
def test_categories_whose_labels_could_be_mixed_up_are_refused(categories: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"apart: .* would mean two things"):
        label_config(Review(), categories)


def test_a_category_that_label_studio_would_change_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a category in `classes` is '\$car'"):
        label_config(Review(), ("$car",))


def test_masks_are_labeled_with_their_category_and_counted_over_all() -> None:
    shown = shown_results(street())
    assert [one["value"].get("brushlabels") for one in shown] == [["person 1"], ["bicycle 2"], None]
    assert "person 1" in str(brush_labels(label_config(Review(), BOTH))[2].attrib)


def test_an_untouched_task_is_correct_and_keeps_the_categories() -> None:
    frame = read(street(), shown_results(street()))
    assert (frame.verdict, frame.problems) == ("correct", ())
    assert outcome(frame) == [(11, "person", "prediction"), (12, "bicycle", "prediction")]


def test_another_category_is_a_correction_of_the_same_instance() -> None:
    rider, bike, nose = shown_results(street())
    frame = read(street(), [relabel(rider, "bicycle"), relabel(bike, "person"), nose])
    assert frame.verdict == "corrected"
    assert outcome(frame) == [(11, "bicycle", "prediction-changed"), (12, "person", "prediction-changed")]
    assert [one.mask for one in frame.instances] == [Mask.from_array(RIDER), Mask.from_array(BIKE)]
    assert [one.keypoints for one in frame.instances] == [None, None]


def test_an_object_of_any_category_is_added() -> None:
    frame = read(street(), [*shown_results(street()), region(FREE, label="bicycle")])
    assert outcome(frame)[2] == (None, "bicycle", "manual")


def test_what_is_painted_under_a_number_is_joined_within_its_category_alone() -> None:
    shown = shown_results(street())
    frame = read(street(), [*shown, region(FREE, label="bicycle 2")])
    assert outcome(frame)[1:] == [(12, "bicycle", "prediction-changed")]
    assert frame.instances[1].mask == Mask.from_array(BIKE | FREE)
    frame = read(street(), [*shown, region(FREE, label="person 2")])
    assert outcome(frame)[1:] == [(12, "bicycle", "prediction"), (None, "person", "manual")]


def test_a_number_means_the_category_that_its_mask_has_now() -> None:
    rider, bike, nose = shown_results(street())
    turned = [rider, relabel(bike, "person"), nose]
    frame = read(street(), [*turned, region(FREE, label="bicycle 2")])
    assert outcome(frame)[1:] == [(12, "person", "prediction-changed"), (None, "bicycle", "manual")]
    frame = read(street(), [*turned, region(FREE, label="person 2")])
    assert outcome(frame)[1:] == [(12, "person", "prediction-changed")]


def test_a_mask_that_is_drawn_anew_replaces_a_removed_one_of_its_category() -> None:
    rider, _, nose = shown_results(street())
    similar = BIKE.copy()
    similar[9, :] = False
    assert outcome(read(street(), [rider, nose, region(similar, label="bicycle")]))[1][0] == 12
    assert outcome(read(street(), [rider, nose, region(similar)]))[1] == (None, "person", "manual")


def test_an_exact_copy_is_dropped_unless_it_was_given_another_category() -> None:
    shown = shown_results(street())
    assert len(read(street(), [*shown, region(RIDER, label="person")]).instances) == 2
    frame = read(street(), [*shown, region(RIDER, label="bicycle")])
    assert outcome(frame)[2] == (None, "bicycle", "manual")


def test_keypoints_go_to_people_alone() -> None:
    item = item_of(person(11, RIDER), person(12, BIKE, category="bicycle", keypoints=NOSE))
    shown = shown_results(item)
    assert [one["type"] for one in shown] == ["brushlabels", "brushlabels"]
    frame = read(item, [*shown, keypoint("left_ankle", 6, 16, SIZE)])
    assert [one.keypoints is not None for one in frame.instances] == [True, False]
    alone = item_of(person(12, BIKE, category="bicycle"))
    frame = read(alone, [*shown_results(alone), keypoint("nose", 6, 16, SIZE)])
    assert frame.problems == ("keypoint nose ignored: there is no person in the frame",)


@pytest.mark.parametrize("label", ["dog", "bicycle 25", "bicycle 0", "accepted dog", "rider 1"])
def test_a_label_that_the_run_does_not_have_is_a_problem(label: str) -> None:
    rider, bike, nose = shown_results(street())
    frame = read(street(), [rider, relabel(bike, label), nose])
    assert frame.problems == (f"region {region_id(12)} ignored: its label is {label}, not person or bicycle",)
    assert outcome(frame) == [(11, "person", "prediction")]


def test_a_region_of_two_categories_is_a_problem() -> None:
    rider, bike, nose = shown_results(street())
    frame = read(street(), [rider, bike, relabel(bike, "person"), nose])
    [problem] = frame.problems
    assert "its parts are bicycle and person" in problem
    frame = read(
        street(), [rider, {**bike, "value": {**bike["value"], "brushlabels": ["bicycle", "person"]}}, nose]
    )
    [problem] = frame.problems
    assert "its label is bicycle, person" in problem


def test_of_a_run_of_people_another_category_is_a_problem() -> None:
    item = item_of(person(11, RIDER))
    frame = read_back(item, [*shown_results(item), region(FREE, label="bicycle")])
    assert frame.problems == ("region Xy3_abc-90 ignored: its label is bicycle, not person",)


@pytest.mark.parametrize("label", ["bicycle", "bicycle 3", "accepted bicycle"])
def test_a_task_whose_data_was_changed_so_that_labels_mean_two_things_is_an_error_of_that_task(
    label: str,
) -> None:
    with pytest.raises(LabelStudioError, match=r"task 40 cannot be read: .* would mean two things"):
        read_back(street(), shown_results(street()), Review(label=label), BOTH)


def doubtful() -> ReviewItem:
    """A doubtful bicycle, of which the student sees a part, and a person on it that the student sees whole."""
    bike = person(12, BIKE, category="bicycle")
    asked = [type(bike)(12, bike.mask, 0.9, is_doubtful=True, category="bicycle")]
    item = item_of(*asked)
    seen = {"person": Mask.from_array(RIDER), "bicycle": Mask.from_array(BIKE & ~box(0, 0, 5, 20))}
    return type(item)(**{name: getattr(item, name) for name in item.__slots__} | {"student": seen})


def answer(choice: str) -> dict[str, Any]:
    return {
        "id": "q",
        "type": "choices",
        "from_name": "answer-0",
        "to_name": "image",
        "value": {"choices": [choice]},
    }


def test_a_question_shows_the_other_model_s_mask_of_the_same_category() -> None:
    item = doubtful()
    task = make_task(item, Review(), "/x.jpg")
    [question] = task["data"]["questions"]
    assert question["title"] == "bicycle 1"
    assert Mask(SIZE, question["other"].encode()) == item.student["bicycle"]
    assert [one["html"] for one in question["answers"]][-1] == "no bicycle"
    [compared] = task["predictions"][0]["result"]
    assert compared["value"]["brushlabels"] == [COMPARED]


def test_an_answer_about_the_outline_counts_beside_another_category() -> None:
    item = doubtful()
    turned = [relabel(one, "person") for one in shown_results(item)]
    for choice, mask in ((OTHER, item.student["bicycle"]), (WRONG, Mask.empty(SIZE))):
        [one] = read(item, [*turned, answer(choice)]).instances
        assert (one.category, one.mask, one.source_id) == ("person", mask, 12)


def test_reasons_about_objects_do_not_speak_of_people() -> None:
    overlap = Reason.of("overlap", value=0.1, categories=[["car", 0.1]])
    assert explain_to_annotators([overlap]) == "Please check: two models see different objects or outlines"
    missed = Reason.of("miss", people=1, masks=0, are_objects=True)
    assert explain_to_annotators([missed]) == explain_to_annotators([overlap])
    nothing = Reason.of("no_person", are_objects=True)
    assert explain_to_annotators([nothing, overlap]) == "Please check: objects may be missing"
    assert str(nothing) == "the teacher found nothing"
