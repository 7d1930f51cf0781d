"""The label config: its names, and the effect of the settings."""

from xml.etree import ElementTree as Xml

import pytest

from configs.errors import ConfigError
from configs.models import Review
from labeling.review.label_studio.project import (
    COMPARED,
    NUMBERED_LABELS,
    PERSON_COLORS,
    VERDICTS,
    label_config,
    student_label,
)
from labeling.structures.instances import COCO_KEYPOINTS


def parse(config: str) -> Xml.Element:
    return Xml.fromstring(config)  # noqa: S314  # our own


def labels(config: str, kind: str) -> list[str]:
    """Values of the labels of one kind of region."""
    return [str(one.get("value")) for group in parse(config).iter(kind) for one in group.iter("Label")]


def test_people_have_numbered_labels_beside_one_for_new_people_and_the_student_s() -> None:
    numbered = [f"human {number + 1}" for number in range(NUMBERED_LABELS)]
    assert labels(label_config(Review(label="human")), "BrushLabels") == [
        "human",
        *numbered,
        "accepted human",
        COMPARED,
    ]
    assert COMPARED not in labels(label_config(Review(show_student=False)), "BrushLabels")


def test_people_differ_in_color_from_each_other_a_new_one_and_the_student() -> None:
    [brush] = parse(label_config(Review())).iter("BrushLabels")
    new, *numbered, locked, student = (str(one.get("background")) for one in brush.iter("Label"))
    assert numbered == [*PERSON_COLORS, *PERSON_COLORS]
    assert len({new, locked, student, *numbered}) == 3 + len(PERSON_COLORS)


def test_no_label_is_selected_at_the_start_so_that_a_stroke_needs_a_person() -> None:
    assert not [one for one in parse(label_config(Review())).iter("Label") if one.get("selected")]


def test_no_label_takes_a_key_of_label_studio_s_tools() -> None:
    """Label Studio gives its own keys to labels without any."""
    every = list(parse(label_config(Review(show_keypoints=True))).iter("Label"))
    keys = [one.get("hotkey") for one in every]
    assert len(set(keys)) == len(every)
    assert [key for key in keys if key is None or "+" not in key] == ["n"]


def test_the_label_student_differs_from_that_of_the_student_s_mask() -> None:
    settings = Review(label=COMPARED)
    first, *_, second = labels(label_config(settings), "BrushLabels")
    assert (first, second) == (COMPARED, student_label(settings))
    assert first != second


def test_keypoints_are_coco_s_seventeen_or_absent() -> None:
    assert labels(label_config(Review(show_keypoints=True)), "KeyPointLabels") == list(COCO_KEYPOINTS)
    assert labels(label_config(Review(show_keypoints=False)), "KeyPointLabels") == []


def test_every_verdict_can_be_chosen_and_none_is_required() -> None:
    choices, _ = parse(label_config(Review())).iter("Choices")
    assert [one.get("value") for one in choices] == [name for name, _ in VERDICTS]
    assert choices.get("required") is None


def test_the_image_cannot_be_rotated() -> None:
    [image] = parse(label_config(Review())).iter("Image")
    assert image.get("rotateControl") == "false"


def test_equal_settings_give_equal_text() -> None:
    assert label_config(Review()) == label_config(Review(project="another"))


@pytest.mark.parametrize("label", ["$why", "two\nlines", " person", "person ", "tab\there"])
def test_a_label_that_label_studio_would_change_is_refused(label: str) -> None:
    with pytest.raises(ConfigError, match=r"review\.label"):
        label_config(Review(label=label))


def test_a_label_may_contain_characters_that_xml_escapes() -> None:
    label = """<b> & "q" 'é' 人"""
    assert labels(label_config(Review(label=label)), "BrushLabels")[0] == label
