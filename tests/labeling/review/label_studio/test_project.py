"""The label config: its names, and the effect of the settings."""

from xml.etree import ElementTree as Xml

import pytest

from configs.errors import ConfigError
from configs.models import Review
from labeling.review.label_studio.project import VERDICTS, label_config, student_label
from labeling.structures.instances import COCO_KEYPOINTS


def parse(config: str) -> Xml.Element:
    return Xml.fromstring(config)  # noqa: S314  # our own


def labels(config: str, kind: str) -> list[str]:
    """Values of the labels of one kind of region."""
    return [str(one.get("value")) for group in parse(config).iter(kind) for one in group.iter("Label")]


def test_people_have_one_label_beside_the_student_s() -> None:
    assert labels(label_config(Review(label="human")), "BrushLabels") == ["human", "student"]
    assert labels(label_config(Review(show_student=False)), "BrushLabels") == ["person"]


def test_the_label_student_differs_from_that_of_the_student_s_mask() -> None:
    settings = Review(label="student")
    first, second = labels(label_config(settings), "BrushLabels")
    assert (first, second) == ("student", student_label(settings))
    assert first != second


def test_keypoints_are_coco_s_seventeen_or_absent() -> None:
    assert labels(label_config(Review()), "KeyPointLabels") == list(COCO_KEYPOINTS)
    assert labels(label_config(Review(show_keypoints=False)), "KeyPointLabels") == []


def test_every_verdict_can_be_chosen_and_none_is_required() -> None:
    [choices] = parse(label_config(Review())).iter("Choices")
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
