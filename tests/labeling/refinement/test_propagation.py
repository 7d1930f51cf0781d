"""Masks that are carried between corrected frames of a walking person."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from configs.models import Review
from labeling.refinement.propagation import CorrectedPerson, Gap, PropagatedMask, flow_steps, propagate
from labeling.structures.masks import Mask, iou_matrix
from labeling.tracking.flow_chain import FlowStep, follow
from labeling.tracking.frame_strip import StripImage
from tests.fakes.walking_person import SIZE_HW, draw_frame, true_mask
from tests.planted_reviews import box_mask

LAST = 10
"""Index of the corrected frame after; the one before is 0."""


@pytest.fixture(scope="module")
def strip() -> list[StripImage]:
    return [StripImage(100 * index, draw_frame(index)) for index in range(LAST + 1)]


@pytest.fixture(scope="module")
def steps(strip: list[StripImage]) -> list[FlowStep]:
    return flow_steps(strip)


def gap_of(strip: Sequence[StripImage], **fields: object) -> Gap:
    before, after = [CorrectedPerson(1, true_mask(0))], [CorrectedPerson(2, true_mask(LAST))]
    gap = Gap(strip, SIZE_HW, before, after, {5: [true_mask(5)]})
    return replace(gap, **fields)  # type: ignore[arg-type]  # fields of Gap


def carried(gap: Gap, steps: Sequence[FlowStep]) -> list[PropagatedMask]:
    """Return the people of the only target."""
    [(_, people)] = propagate(gap, steps=steps)
    return people


def iou(first: Mask, second: Mask) -> float:
    return float(iou_matrix([first], [second])[0, 0])


def test_small_steps_are_composed_without_drift() -> None:
    height, width = size_hw = (40, 60)
    forth = np.zeros((height, width, 2), np.float16)
    forth[..., 0] = 0.75
    *_, last = follow([FlowStep(forth, -forth)] * 20, size_hw, is_forward=True)
    inner = last.positions[:, 20:, 0] - np.arange(20, width)
    assert inner == pytest.approx(-15.0)
    assert last.consistency[:, 20:].min() == 1
    soft = np.zeros(size_hw, np.float32)
    soft[10:30, 10:20] = 1
    np.testing.assert_allclose(last.carry(soft)[:, 15:], soft[:, :-15])


def test_what_comes_from_outside_the_image_is_not_consistent() -> None:
    forth = np.full((20, 30, 2), (2.0, 0.0), np.float16)
    [chain] = follow([FlowStep(forth, -forth)], (20, 30), is_forward=True)
    assert not chain.consistency[:, :2].any()
    assert chain.consistency[:, 2:].all()


def test_a_mask_is_carried_to_the_frame_between(strip: list[StripImage], steps: list[FlowStep]) -> None:
    [person] = carried(gap_of(strip), steps)
    assert iou(person.mask, true_mask(5)) > 0.93
    assert (person.origins, person.teacher) == ((1, 2), 0)
    assert person.agreement is not None
    assert person.agreement > 0.9
    assert person.confidence > 0.7


@pytest.mark.parametrize(("side", "other"), [("before", "after"), ("after", "before")])
def test_one_corrected_frame_suffices(
    strip: list[StripImage], steps: list[FlowStep], side: str, other: str
) -> None:
    gap = gap_of(strip, **{other: None})
    [person] = carried(gap, steps)
    assert iou(person.mask, true_mask(5)) > 0.9
    assert person.confidence > 0.5
    assert person.origins == (1 if side == "before" else 2,)


def test_a_teacher_that_is_wrong_is_not_fused(strip: list[StripImage], steps: list[FlowStep]) -> None:
    wrong = box_mask(30, 25, 30, 25)  # the upper third
    [person] = carried(gap_of(strip, targets={5: [wrong]}), steps)
    assert person.agreement is not None
    assert person.agreement < 0.5
    assert iou(person.mask, true_mask(5)) > 0.9


def test_a_wrong_correction_lowers_the_confidence(strip: list[StripImage], steps: list[FlowStep]) -> None:
    """Both sides are meant to be the same person, but do not meet."""
    right = carried(gap_of(strip), steps)[0].confidence
    after = [CorrectedPerson(2, box_mask(40, 25, 30, 30), track_id=7)]
    gap = gap_of(strip, before=[CorrectedPerson(1, true_mask(0), track_id=7)], after=after)
    assert carried(gap, steps)[0].confidence < 0.6 * right


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_mask_that_lies_on_the_background_has_a_low_confidence(strip: list[StripImage], side: str) -> None:
    """The flow forth and back agrees: one step misses the person, who jumps, and finds the still room."""
    still = np.zeros((*SIZE_HW, 2), np.float16)
    steps = [FlowStep(still, still)] * LAST
    other = "after" if side == "before" else "before"
    [smeared] = carried(gap_of(strip, **{other: None}), steps)
    assert iou(smeared.mask, true_mask(5)) < 0.6
    assert smeared.confidence < Review().confirm_confidence


def test_another_person_is_carried_beside(strip: list[StripImage], steps: list[FlowStep]) -> None:
    still = box_mask(120, 30, 20, 60)
    gap = gap_of(
        strip,
        before=[CorrectedPerson(1, true_mask(0)), CorrectedPerson(3, still)],
        after=[CorrectedPerson(4, still), CorrectedPerson(2, true_mask(LAST))],
        targets={5: [still]},
    )
    by_origin = {person.origins: person for person in carried(gap, steps)}
    assert by_origin.keys() == {(1, 2), (3, 4)}
    assert by_origin[3, 4].teacher == 0
    assert by_origin[1, 2].teacher is None


def test_a_mask_keeps_its_category_and_is_matched_within_it(
    strip: list[StripImage], steps: list[FlowStep]
) -> None:
    """The teacher has the walker's mask, and a bicycle in the same place whose mask is worse."""
    near = box_mask(22, 25, 40, 70)
    teacher = {"targets": {5: [true_mask(5), near]}, "target_categories": {5: ["person", "bicycle"]}}
    for category, expected in (("person", 0), ("bicycle", 1)):
        sides = {
            "before": [CorrectedPerson(1, true_mask(0), category=category)],
            "after": [CorrectedPerson(2, true_mask(LAST), category=category)],
        }
        [person] = carried(gap_of(strip, **sides, **teacher), steps)
        assert (person.category, person.teacher, person.origins) == (category, expected, (1, 2))


def test_the_same_object_under_another_category_of_the_teacher_is_carried_once(
    strip: list[StripImage], steps: list[FlowStep]
) -> None:
    names = {"target_categories": {5: ["bicycle"]}}
    [person] = carried(gap_of(strip, targets={5: [true_mask(5)]}, **names), steps)
    assert (person.category, person.teacher) == ("person", 0)
    [person] = carried(gap_of(strip, targets={5: [box_mask(20, 25, 15, 70)]}, **names), steps)
    assert person.teacher is None


def test_masks_of_different_categories_on_both_sides_are_not_one(
    strip: list[StripImage], steps: list[FlowStep]
) -> None:
    before = [CorrectedPerson(1, true_mask(0), track_id=4)]
    after = [CorrectedPerson(2, true_mask(LAST), track_id=4, category="bicycle")]
    people = carried(gap_of(strip, before=before, after=after), steps)
    assert {one.origins for one in people} <= {(1,), (2,)}


def test_no_person_is_carried_from_an_empty_frame(strip: list[StripImage], steps: list[FlowStep]) -> None:
    assert carried(gap_of(strip, before=[], after=None), steps) == []
