"""Parsing of an annotation's results, and its problems."""

from typing import Any

import numpy as np
import pytest

from configs.models import Review
from labeling.review.label_studio.brush_rle import encode_brush
from labeling.review.label_studio.project import COMPARED
from labeling.review.label_studio.results import ParsedResult, parse_result
from labeling.structures.masks import Mask
from tests.labeling.review.label_studio.results import Result, keypoint, region, tick, write
from tests.labeling.strategies import draw

SIZE = (3, 4)
LEFT, RIGHT = draw("##..", "##..", "...."), draw("....", "..##", "..##")
NOTHING = draw("....", "....", "....")


def parse(*results: Any, settings: Review | None = None) -> ParsedResult:
    return parse_result(results, SIZE, settings or Review())


def problem_with(*results: Any) -> str:
    """Return the only problem; the region is not among the masks and keypoints."""
    parsed = parse(*results)
    assert not parsed.masks
    assert not parsed.keypoints
    [problem] = parsed.problems
    return problem


def test_masks_keep_their_order_and_ids() -> None:
    parsed = parse(region(RIGHT, "i2"), region(LEFT, "i1"))
    assert [(one.region_id, one.mask) for one in parsed.masks] == [
        ("i2", Mask.from_array(RIGHT)),
        ("i1", Mask.from_array(LEFT)),
    ]
    assert parsed.problems == ()


def test_parts_with_one_id_are_one_mask() -> None:
    [one] = parse(region(LEFT, "i1"), region(RIGHT, "i1")).masks
    assert one.mask == Mask.from_array(LEFT | RIGHT)


def test_regions_without_an_id_stay_separate() -> None:
    assert len(parse(region(LEFT, ""), region(RIGHT, "")).masks) == 2


def test_a_region_erased_to_nothing_is_an_empty_mask() -> None:
    [one] = parse(region(NOTHING, "i1")).masks
    assert not one.mask


def test_pixels_of_a_stroke_with_an_alpha_of_128_belong_to_the_mask() -> None:
    """Browsers write the alpha of a pixel to all four channels."""
    alphas = np.array([[0, 64, 127, 128], [129, 200, 255, 0], [0, 0, 0, 0]])
    code = _encode_alphas(alphas)
    [one] = parse(region(LEFT, "i1", value={"rle": code, "brushlabels": ["person"]})).masks
    assert np.array_equal(one.mask.to_array(), alphas > 127)


def _encode_alphas(alphas: np.ndarray[Any, Any]) -> list[int]:
    from label_studio_sdk.converter.brush import encode_rle

    return list(encode_rle(alphas.ravel().astype(np.uint8).repeat(4)))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_image_rotation_changes_no_mask_and_no_keypoint(degrees: int) -> None:
    turned = parse(
        region(LEFT, "i1", image_rotation=degrees), keypoint("nose", 1.0, 1.5, SIZE, image_rotation=degrees)
    )
    assert turned == parse(region(LEFT, "i1"), keypoint("nose", 1.0, 1.5, SIZE))
    assert turned.masks[0].mask == Mask.from_array(LEFT)


def test_a_keypoint_is_read_in_pixels() -> None:
    [nose] = parse(keypoint("nose", 3.0, 1.5, SIZE, number="i1-nose", parentID="i1")).keypoints
    assert (nose.region_id, nose.parent, nose.index) == ("i1-nose", "i1", 0)
    assert (nose.x_px, nose.y_px) == (3.0, 1.5)


def test_verdict_and_note_are_read() -> None:
    parsed = parse(tick("unusable"), write("too dark", "and blurred"))
    assert (parsed.verdict, parsed.note) == ("unusable", "too dark\nand blurred")
    assert parse() == ParsedResult((), (), "", "", ())


def test_an_unknown_label_is_a_problem_and_the_others_stay() -> None:
    parsed = parse(region(LEFT, "i1", label="dog"), region(RIGHT, "i2"))
    assert parsed.problems == ("region i1 ignored: its label is dog, not person",)
    assert [one.region_id for one in parsed.masks] == ["i2"]


def test_a_region_with_two_labels_or_none_is_a_problem() -> None:
    both = {**region(LEFT)["value"], "brushlabels": ["person", "dog"]}
    assert "its label is person, dog, not person" in problem_with(region(LEFT, value=both))
    assert "its label is missing" in problem_with(region(LEFT, value={"rle": region(LEFT)["value"]["rle"]}))


def test_the_student_s_mask_among_people_is_a_problem_that_says_what_to_do() -> None:
    assert "only for comparison; delete or relabel it" in problem_with(
        region(LEFT, "student", label=COMPARED)
    )


def test_the_label_of_the_settings_is_accepted() -> None:
    assert parse(region(LEFT, label="human"), settings=Review(label="human")).problems == ()
    assert parse(region(LEFT, label="person"), settings=Review(label="human")).masks == ()


@pytest.mark.parametrize("size", [{"original_width": 8, "original_height": 6}, {"original_width": None}])
def test_a_region_of_another_image_size_is_a_problem(size: dict[str, Any]) -> None:
    assert "the frame has 4x3" in problem_with(region(LEFT, **size))
    assert "the frame has 4x3" in problem_with(keypoint("nose", 1.0, 1.0, SIZE, **size))


@pytest.mark.parametrize(
    "code",
    [None, [], "text", 7, 10**15, [1.5], [300], [-1], list(encode_brush(Mask.from_array(LEFT)))[:9],
     list(encode_brush(Mask.empty((30, 40))))],
)  # fmt: skip
def test_a_mask_that_cannot_be_decoded_is_a_problem(code: Any) -> None:
    broken = region(LEFT, "i1", value={"rle": code, "brushlabels": ["person"]})
    assert problem_with(broken).startswith("region i1 ignored: its mask cannot be decoded: ")


@pytest.mark.parametrize("kind", ["rectanglelabels", "polygonlabels", "brush", "bitmask", "hologramlabels"])
def test_a_region_of_another_type_is_a_problem(kind: str) -> None:
    drawn = region(LEFT, "R3ct", type=kind, value={kind: ["person"], "x": 1, "y": 1})
    assert (
        problem_with(drawn)
        == f"region R3ct ignored: its type is {kind}; only brush masks and keypoints are read"
    )


@pytest.mark.parametrize(
    "value", [{"x": None}, {"y": "5"}, {"x": float("nan")}, {"keypointlabels": ["tail"]}]
)
def test_an_invalid_keypoint_is_a_problem(value: dict[str, Any]) -> None:
    made = keypoint("nose", 1.0, 1.0, SIZE)
    made["value"].update(value)
    assert "Keyp0int ignored" in problem_with(made)


@pytest.mark.parametrize(
    "raw", [None, "text", {}, {"id": 7, "type": "brushlabels"}, {"id": "x", "type": None}]
)
def test_an_unexpected_format_is_a_problem(raw: Any) -> None:
    assert "not in Label Studio's format" in problem_with(raw)


@pytest.mark.parametrize(
    "other",
    [
        {"id": "a", "type": "rating", "from_name": "mood", "to_name": "image", "value": {"rating": 4}},
        {"type": "relation", "from_id": "i1", "to_id": "i2", "direction": "right"},
        region(LEFT, "i1", type="choices", from_name="pose", value={"choices": ["sits"]}),
    ],
    ids=["of the image", "between regions", "of one region"],
)
def test_a_team_s_own_questions_are_ignored(other: Result) -> None:
    assert parse(region(LEFT, "i1"), other) == parse(region(LEFT, "i1"))
