"""Which categories a config has, and what knows people only."""

from typing import Any

import pytest

from configs.categories import categories_of, require_people, stored_categories
from configs.errors import ConfigError
from configs.load import validate_config


def network(*categories: str) -> dict[str, Any]:
    return {"kind": "onnx", "path": "x.onnx", "input_hw": [8, 8], "classes": dict(enumerate(categories))}


def test_the_categories_are_the_teacher_s_with_people_first() -> None:
    config = validate_config(
        {"teacher": network("cat", "person"), "student": network("person", "cat")}, "test"
    )
    assert categories_of(config) == stored_categories(config.model_dump(mode="json")) == ("person", "cat")
    with pytest.raises(ConfigError, match=r"calibrate handles people only.*to cat"):
        require_people(categories_of(config), "calibrate")


def test_a_config_without_classes_is_about_people() -> None:
    config = validate_config({"teacher": "offline", "student": "selfie"} | {"teacher": network()}, "test")
    assert categories_of(config) == stored_categories({}) == ("person",)
    require_people(categories_of(config), "calibrate")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"student": network("person")}, "the teacher's categories are cat, person, the student's person"),
        ({"student": "selfie"}, "map the classes of both to the same"),
        ({"trust": {"verifier": "selfie"}}, "know people only"),
        ({"pose_filter": {"segmenter": "lite"}}, "know people only"),
    ],
)
def test_models_and_checks_that_do_not_know_the_categories_are_refused(
    changes: dict[str, Any], problem: str
) -> None:
    tree = {"teacher": network("person", "cat"), "student": network("person", "cat")}
    with pytest.raises(ConfigError, match=problem):
        validate_config(tree | changes, "test")
