"""What an annotation's results say, and which of them cannot be understood."""

from typing import Any

import numpy as np
import pytest

from configs.models import Review
from labeling.review.label_studio.brush_rle import encode_brush
from labeling.review.label_studio.regions import ParsedResult, read_answer
from labeling.structures.masks import Mask
from tests.labeling.review.label_studio.answers import Result, joint, region, tick, write
from tests.labeling.strategies import draw

SIZE = (3, 4)
LEFT, RIGHT = draw("##..", "##..", "...."), draw("....", "..##", "..##")
NOTHING = draw("....", "....", "....")


def read(*results: Any, settings: Review | None = None) -> ParsedResult:
    return read_answer(results, SIZE, settings or Review())


def problem_with(*results: Any) -> str:
    """The only problem; nothing of it is among the masks and joints."""
    answer = read(*results)
    assert not answer.masks
    assert not answer.joints
    [problem] = answer.problems
    return problem


def test_masks_come_in_their_order_under_their_names() -> None:
    answer = read(region(RIGHT, "i2"), region(LEFT, "i1"))
    assert [(one.name, one.mask) for one in answer.masks] == [
        ("i2", Mask.from_array(RIGHT)),
        ("i1", Mask.from_array(LEFT)),
    ]
    assert answer.problems == ()


def test_parts_with_one_name_are_one_mask() -> None:
    [one] = read(region(LEFT, "i1"), region(RIGHT, "i1")).masks
    assert one.mask == Mask.from_array(LEFT | RIGHT)


def test_regions_without_a_name_stay_apart() -> None:
    assert len(read(region(LEFT, ""), region(RIGHT, "")).masks) == 2


def test_a_region_erased_to_nothing_is_an_empty_mask() -> None:
    [one] = read(region(NOTHING, "i1")).masks
    assert not one.mask


def test_half_covered_pixels_of_a_stroke_belong_to_the_mask_from_128_on() -> None:
    """Every pixel of the code has its alpha in all four channels, as browsers write them."""
    alphas = np.array([[0, 64, 127, 128], [129, 200, 255, 0], [0, 0, 0, 0]])
    code = _encode_alphas(alphas)
    [one] = read(region(LEFT, "i1", value={"rle": code, "brushlabels": ["person"]})).masks
    assert np.array_equal(one.mask.to_array(), alphas > 127)


def _encode_alphas(alphas: np.ndarray[Any, Any]) -> list[int]:
    from label_studio_sdk.converter.brush import encode_rle

    return list(encode_rle(alphas.ravel().astype(np.uint8).repeat(4)))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_how_the_image_was_turned_on_the_screen_changes_no_mask_and_no_joint(degrees: int) -> None:
    turned = read(
        region(LEFT, "i1", image_rotation=degrees), joint("nose", 1.0, 1.5, SIZE, image_rotation=degrees)
    )
    assert turned == read(region(LEFT, "i1"), joint("nose", 1.0, 1.5, SIZE))
    assert turned.masks[0].mask == Mask.from_array(LEFT)


def test_a_joint_is_read_in_pixels() -> None:
    [nose] = read(joint("nose", 3.0, 1.5, SIZE, number="i1-nose", parentID="i1")).joints
    assert (nose.name, nose.parent, nose.joint) == ("i1-nose", "i1", 0)
    assert (nose.x_px, nose.y_px) == (3.0, 1.5)


def test_verdict_and_note_are_read() -> None:
    answer = read(tick("unusable"), write("too dark", "and blurred"))
    assert (answer.verdict, answer.note) == ("unusable", "too dark\nand blurred")
    assert read() == ParsedResult((), (), "", "", ())


def test_a_label_that_is_not_ours_is_a_problem_and_the_others_stay() -> None:
    answer = read(region(LEFT, "i1", label="dog"), region(RIGHT, "i2"))
    assert answer.problems == ("region i1 left out: it is called dog, not person",)
    assert [one.name for one in answer.masks] == ["i2"]


def test_a_region_with_two_labels_or_none_is_a_problem() -> None:
    both = {**region(LEFT)["value"], "brushlabels": ["person", "dog"]}
    assert "is called person, dog, not person" in problem_with(region(LEFT, value=both))
    assert "is called nothing" in problem_with(region(LEFT, value={"rle": region(LEFT)["value"]["rle"]}))


def test_the_student_s_mask_among_people_is_a_problem_that_says_what_to_do() -> None:
    assert "only for comparing; delete or relabel it" in problem_with(
        region(LEFT, "student", label="student")
    )


def test_a_label_from_the_settings_is_ours() -> None:
    assert read(region(LEFT, label="human"), settings=Review(label="human")).problems == ()
    assert read(region(LEFT, label="person"), settings=Review(label="human")).masks == ()


@pytest.mark.parametrize("size", [{"original_width": 8, "original_height": 6}, {"original_width": None}])
def test_a_region_of_another_image_size_is_a_problem(size: dict[str, Any]) -> None:
    assert "the frame has 4x3" in problem_with(region(LEFT, **size))
    assert "the frame has 4x3" in problem_with(joint("nose", 1.0, 1.0, SIZE, **size))


@pytest.mark.parametrize(
    "code",
    [None, [], "text", 7, 10**15, [1.5], [300], [-1], list(encode_brush(Mask.from_array(LEFT)))[:9],
     list(encode_brush(Mask.empty((30, 40))))],
)  # fmt: skip
def test_a_mask_that_cannot_be_decoded_is_a_problem(code: Any) -> None:
    broken = region(LEFT, "i1", value={"rle": code, "brushlabels": ["person"]})
    assert problem_with(broken).startswith("region i1 left out: it cannot be decoded: ")


@pytest.mark.parametrize("kind", ["rectanglelabels", "polygonlabels", "brush", "bitmask", "hologramlabels"])
def test_a_region_of_another_kind_is_a_problem(kind: str) -> None:
    drawn = region(LEFT, "R3ct", type=kind, value={kind: ["person"], "x": 1, "y": 1})
    assert (
        problem_with(drawn) == f"region R3ct left out: it is a {kind}: only brush masks and joints are read"
    )


@pytest.mark.parametrize(
    "place", [{"x": None}, {"y": "5"}, {"x": float("nan")}, {"keypointlabels": ["tail"]}]
)
def test_a_joint_that_is_none_is_a_problem(place: dict[str, Any]) -> None:
    made = joint("nose", 1.0, 1.0, SIZE)
    made["value"].update(place)
    assert "Jo1nt left out" in problem_with(made)


@pytest.mark.parametrize(
    "raw", [None, "text", {}, {"id": 7, "type": "brushlabels"}, {"id": "x", "type": None}]
)
def test_what_label_studio_does_not_write_is_a_problem(raw: Any) -> None:
    assert "not as Label Studio writes it" in problem_with(raw)


@pytest.mark.parametrize(
    "other",
    [
        {"id": "a", "type": "rating", "from_name": "mood", "to_name": "image", "value": {"rating": 4}},
        {"type": "relation", "from_id": "i1", "to_id": "i2", "direction": "right"},
        region(LEFT, "i1", type="choices", from_name="pose", value={"choices": ["sits"]}),
    ],
    ids=["of the image", "between regions", "of one region"],
)
def test_answers_that_a_team_asks_for_beside_ours_are_passed_over(other: Result) -> None:
    assert read(region(LEFT, "i1"), other) == read(region(LEFT, "i1"))
