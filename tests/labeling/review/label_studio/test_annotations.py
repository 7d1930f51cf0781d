"""Annotations as reviewed frames: which person each region is, what was changed, and the verdict."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import LabelStudioError
from configs.models import Review
from labeling.review.label_studio.annotations import read_annotations
from labeling.review.label_studio.project import COMPARED, NUMBERED_LABELS
from labeling.review.records import ReviewedFrame, ReviewItem
from labeling.structures.masks import BoolArray, Mask
from tests.labeling.review.label_studio.results import (
    annotation_of,
    item_of,
    person,
    read_back,
    region,
    shown_results,
    task_json,
    tick,
    write,
)
from tests.labeling.strategies import draw, pixels

LEFT = draw("###.....", "###.....", "###.....", "........")
RIGHT = draw(".....###", ".....###", ".....###", "........")
MIDDLE = draw("...##...", "...##...", "...##...", "........")
NOTHING = draw("........", "........", "........", "........")
CORRECTED = draw("###.....", "###.....", "####....", "........")

TWO = item_of(person(11, LEFT), person(12, RIGHT))


def regions(left: BoolArray | None = LEFT, right: BoolArray | None = RIGHT) -> list[dict[str, Any]]:
    """The regions of the two proposed people; None: removed."""
    masks = {"i11": left, "i12": right}
    return [region(one, name, origin="prediction-changed") for name, one in masks.items() if one is not None]


def people(frame: ReviewedFrame) -> list[tuple[int | None, str, Mask]]:
    return [(one.source_id, one.origin, one.mask) for one in frame.instances]


def mask(drawn: BoolArray) -> Mask:
    return Mask.from_array(drawn)


def test_untouched_predictions_are_correct_whatever_their_origin() -> None:
    frame = read_back(TWO, regions())
    assert frame.verdict == "correct"
    assert people(frame) == [(11, "prediction", mask(LEFT)), (12, "prediction", mask(RIGHT))]


def test_a_corrected_mask_is_the_same_person_and_the_other_is_untouched() -> None:
    frame = read_back(TWO, regions(left=CORRECTED))
    assert frame.verdict == "corrected"
    assert people(frame) == [(11, "prediction-changed", mask(CORRECTED)), (12, "prediction", mask(RIGHT))]


def test_a_region_id_identifies_the_person_however_much_the_mask_changed() -> None:
    frame = read_back(TWO, regions(left=MIDDLE))
    assert people(frame)[0] == (11, "prediction-changed", mask(MIDDLE))


def test_a_removed_person_is_absent_and_the_frame_is_not_correct() -> None:
    frame = read_back(TWO, regions(left=None))
    assert frame.verdict == "corrected"
    assert people(frame) == [(12, "prediction", mask(RIGHT))]


def test_a_completely_erased_region_is_a_removed_person() -> None:
    erased, removed = read_back(TWO, regions(left=NOTHING)), read_back(TWO, regions(left=None))
    assert erased == removed
    assert erased.problems == ()


def test_a_person_drawn_by_hand_has_no_source() -> None:
    frame = read_back(TWO, [*regions(), region(MIDDLE)])
    assert frame.verdict == "corrected"
    assert people(frame)[2] == (None, "manual", mask(MIDDLE))


def test_a_removed_and_redrawn_person_is_the_same_person() -> None:
    frame = read_back(TWO, [region(CORRECTED), *regions(left=None)])
    assert people(frame) == [(11, "prediction-changed", mask(CORRECTED)), (12, "prediction", mask(RIGHT))]


def test_a_person_drawn_elsewhere_does_not_replace_the_removed_one() -> None:
    shifted = draw("..###...", "..###...", "..###...", "........")
    frame = read_back(TWO, [region(shifted), *regions(left=None)])
    assert people(frame)[0] == (None, "manual", mask(shifted))


def test_one_person_painted_as_two_regions_stays_two() -> None:
    upper, lower = (
        draw("###.....", "###.....", *["........"] * 2),
        draw(*["........"] * 2, "###.....", "........"),
    )
    frame = read_back(TWO, [*regions(left=upper), region(lower)])
    assert people(frame)[0] == (11, "prediction-changed", mask(upper))
    assert people(frame)[2] == (None, "manual", mask(lower))


def test_what_is_painted_under_a_person_s_number_is_joined_to_that_person() -> None:
    upper, lower = (
        draw("###.....", "###.....", *["........"] * 2),
        draw(*["........"] * 2, "###.....", "........"),
    )
    frame = read_back(TWO, [region(lower, "A", label="person 1"), *regions(left=upper)])
    assert people(frame) == [(11, "prediction", mask(LEFT)), (12, "prediction", mask(RIGHT))]


def test_a_person_redrawn_under_its_number_is_the_same_person_wherever_it_is() -> None:
    frame = read_back(TWO, [*regions(right=None), region(MIDDLE, "A", label="person 2")])
    assert people(frame) == [(11, "prediction", mask(LEFT)), (12, "prediction-changed", mask(MIDDLE))]


def test_a_number_that_no_shown_person_has_is_a_new_person() -> None:
    frame = read_back(TWO, [*regions(), region(MIDDLE, "A", label="person 3")])
    assert people(frame)[2] == (None, "manual", mask(MIDDLE))
    assert frame.problems == ()


def test_a_renumbered_mask_stays_its_person() -> None:
    renumbered = region(LEFT, "i11", label="person 2")
    frame = read_back(TWO, [renumbered, *regions(left=None)])
    assert people(frame) == [(11, "prediction", mask(LEFT)), (12, "prediction", mask(RIGHT))]


def test_of_two_people_with_one_number_the_nearer_one_is_joined() -> None:
    far = draw("#.......", *["........"] * 3)
    crowd = [person(100 + position, far) for position in range(NUMBERED_LABELS)]
    item = item_of(*crowd, person(200, RIGHT))
    beside = draw("........", "........", "........", ".....###")
    frame = read_back(item, [*shown_results(item), region(beside, "A", label="person 1")])
    assert frame.instances[-1].source_id == 200
    assert frame.instances[-1].mask == mask(RIGHT | beside)


def test_the_star_of_an_annotation_is_read() -> None:
    first, second = read_task(annotation_of([], id=2), annotation_of([], id=3, ground_truth=True))
    assert (first.is_starred, second.is_starred) == (False, True)


def test_of_two_redrawn_regions_the_one_with_the_larger_overlap_is_the_person() -> None:
    upper, lower = (
        draw("###.....", "###.....", *["........"] * 2),
        draw(*["........"] * 2, "###.....", "........"),
    )
    frame = read_back(TWO, [region(lower, "B"), region(upper, "A"), *regions(left=None)])
    assert [(one.source_id, one.mask) for one in frame.instances[:2]] == [
        (None, mask(lower)),
        (11, mask(upper)),
    ]


def test_two_people_merged_into_one_region_are_the_person_of_that_region() -> None:
    frame = read_back(TWO, regions(left=LEFT | RIGHT, right=None))
    assert frame.verdict == "corrected"
    assert people(frame) == [(11, "prediction-changed", mask(LEFT | RIGHT))]


def test_two_parts_with_one_id_are_one_person() -> None:
    part, rest = LEFT.copy(), LEFT.copy()
    part[1:], rest[0] = False, False
    frame = read_back(TWO, [region(part, "i11"), region(RIGHT, "i12"), region(rest, "i11")])
    assert frame.verdict == "correct"
    assert people(frame)[0] == (11, "prediction", mask(LEFT))


def test_an_exact_copy_of_a_region_is_ignored() -> None:
    frame = read_back(TWO, [region(LEFT, "C0py"), *regions(), region(RIGHT, "C0py2"), region(LEFT, "C0py3")])
    assert frame.verdict == "correct"
    assert [one.source_id for one in frame.instances] == [11, 12]


def test_an_edited_copy_is_another_person() -> None:
    frame = read_back(TWO, [*regions(), region(CORRECTED, origin="prediction", score=0.9)])
    assert people(frame)[2] == (None, "manual", mask(CORRECTED))


def test_a_copy_whose_original_was_removed_is_the_person() -> None:
    frame = read_back(TWO, [region(LEFT, "C0py"), *regions(left=None)])
    assert frame.verdict == "correct"
    assert people(frame)[0] == (11, "prediction", mask(LEFT))


def test_two_proposed_masks_that_are_equal_stay_two_people() -> None:
    item = item_of(person(11, LEFT), person(12, LEFT))
    frame = read_back(item, shown_results(item))
    assert frame.verdict == "correct"
    assert [one.source_id for one in frame.instances] == [11, 12]


def test_no_person_where_none_was_proposed_is_correct() -> None:
    frame = read_back(item_of(size_hw=(4, 8)), [])
    assert (frame.verdict, frame.instances, frame.problems) == ("correct", (), ())


def test_no_person_where_one_was_proposed_is_not_correct() -> None:
    frame = read_back(TWO, [])
    assert (frame.verdict, frame.instances, frame.problems) == ("corrected", (), ())


def test_an_empty_proposed_mask_was_not_shown_and_is_not_missing() -> None:
    item = item_of(person(11, LEFT), person(12, NOTHING))
    assert read_back(item, shown_results(item)).verdict == "correct"


def test_the_id_of_a_person_who_was_not_shown_is_ignored() -> None:
    """For example after the masks were replaced."""
    frame = read_back(TWO, [*regions(), region(MIDDLE, "i99")])
    assert people(frame)[2] == (None, "manual", mask(MIDDLE))


@pytest.mark.parametrize(
    ("ticked", "left", "verdict"),
    [
        ("correct", LEFT, "correct"),
        ("correct", CORRECTED, "corrected"),
        ("corrected", LEFT, "correct"),
        ("corrected", CORRECTED, "corrected"),
        ("unusable", LEFT, "unusable"),
        ("unusable", CORRECTED, "unusable"),
        ("another", LEFT, "correct"),
    ],
)
def test_pixels_decide_the_verdict_unless_unusable_was_chosen(
    ticked: str, left: BoolArray, verdict: str
) -> None:
    assert read_back(TWO, [*regions(left=left), tick(ticked)]).verdict == verdict


def test_a_skipped_annotation_has_no_instances() -> None:
    skipped = annotation_of([*regions(left=CORRECTED), region(MIDDLE, label="dog")], was_cancelled=True)
    [frame] = read_task(skipped)
    assert (frame.verdict, frame.instances, frame.problems) == ("skipped", (), ())


def test_a_frame_with_an_ignored_region_is_not_correct() -> None:
    frame = read_back(TWO, [*regions(), region(MIDDLE, "D0g", label="dog")])
    assert frame.verdict == "corrected"
    assert frame.problems == ("region D0g ignored: its label is dog, not person",)
    assert len(frame.instances) == 2


def test_a_frame_with_a_problem_may_still_be_unusable() -> None:
    frame = read_back(TWO, [*regions(), region(MIDDLE, label="dog"), tick("unusable")])
    assert (frame.verdict, len(frame.problems)) == ("unusable", 1)


def test_a_relabeled_person_is_a_problem() -> None:
    frame = read_back(TWO, [region(LEFT, "i11", label=COMPARED), *regions(left=None)])
    assert (frame.verdict, len(frame.problems)) == ("corrected", 1)


def read_task(*annotations: dict[str, Any], item: ReviewItem = TWO, **fields: Any) -> list[ReviewedFrame]:
    return read_annotations(
        {**task_json(item, *annotations), **fields},
        settings=Review(),
        proposed=item.teacher,
        size_hw=item.size_hw,
        users={3: "ann@example.org", 4: "bob@example.org"},
    )


def test_annotator_times_and_note_are_read() -> None:
    [frame] = read_task(annotation_of([*regions(), write("glare")]))
    assert (frame.frame_id, frame.task, frame.number) == (7, 40, 5)
    assert (frame.annotator, frame.seconds, frame.note) == ("ann@example.org", 12.5, "glare")
    assert frame.created_at == datetime(2026, 5, 1, 10, 0, 0, 1)
    assert frame.updated_at == datetime(2026, 5, 1, 10, 0, 0, 2)


@pytest.mark.parametrize(
    ("by", "name"),
    [
        (4, "bob@example.org"),
        (9, "user 9"),
        ({"id": 4, "email": ""}, "bob@example.org"),
        ({"id": 9, "email": "cho@example.org"}, "cho@example.org"),
        (None, "unknown user"),
    ],
)
def test_an_annotator_is_named_by_email_or_id(by: object, name: str) -> None:
    [frame] = read_task(annotation_of([], completed_by=by))
    assert frame.annotator == name


def test_annotations_come_in_order_of_their_ids() -> None:
    frames = read_task(annotation_of(regions(), id=9, completed_by=4), annotation_of([], id=2))
    assert [(one.number, one.annotator) for one in frames] == [(2, "ann@example.org"), (9, "bob@example.org")]
    assert [one.verdict for one in frames] == ["corrected", "correct"]


def test_an_annotation_without_results_has_no_people() -> None:
    [frame] = read_task(annotation_of(None, lead_time=None))
    assert (frame.verdict, frame.seconds) == ("corrected", None)


def test_a_task_without_annotations_has_none() -> None:
    assert read_task() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"data": {}},
        {"data": {"frame_id": "x"}},
        {"id": None},
        {"annotations": [{"id": 5}]},
        {"annotations": 3},
    ],
)
def test_a_task_of_another_format_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(LabelStudioError, match="was not made by maskmill"):
        read_task(**fields)


@pytest.mark.slow
@given(st.lists(pixels((5, 6)), max_size=4), st.booleans())
def test_any_untouched_masks_come_back_unchanged(drawn: list[BoolArray], is_ticked: bool) -> None:
    item = item_of(*(person(number, one) for number, one in enumerate(drawn)), size_hw=(5, 6))
    frame = read_back(item, shown_results(item) + [tick("correct")] * is_ticked)
    assert frame.verdict == "correct"
    assert [(one.source_id, one.mask) for one in frame.instances] == [
        (one.id, one.mask) for one in item.teacher if one.mask
    ]
