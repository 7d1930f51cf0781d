"""Agreement of a frame: exact values, the threshold's edge, and properties."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given

from configs.errors import ModelOutputWrong
from configs.models import Agreement
from labeling.comparison.agreement import compare_instances
from labeling.comparison.iou import match_pairs, union_iou
from labeling.structures.agreement import FrameAgreement, Match
from labeling.structures.instances import Instance
from labeling.structures.masks import BoolArray, Mask
from tests.labeling.comparison.slow_comparison import slow_boundary_iou
from tests.labeling.strategies import blobs, draw, instance, instances, sides

Sides = tuple[list[BoolArray], list[BoolArray]]


def compare(
    teacher: list[BoolArray], student: list[BoolArray], size_hw: tuple[int, int], *, hard_below: float = 0.5
) -> FrameAgreement:
    return compare_instances(
        instances(teacher), instances(student), size_hw, Agreement(hard_below=hard_below)
    )


def size_of(both: Sides) -> tuple[int, int]:
    height, width = (both[0] + both[1])[0].shape
    return height, width


def rectangle(columns: slice, size_hw: tuple[int, int] = (100, 100)) -> BoolArray:
    drawn = np.zeros(size_hw, dtype=np.bool_)
    drawn[:, columns] = True
    return drawn


@pytest.mark.parametrize(
    ("student", "iou"),
    [
        (slice(0, 40), 1.0),
        (slice(0, 20), 1 / 2),
        (slice(20, 60), 1 / 3),
        (slice(30, 70), 1 / 7),
        (slice(40, 80), 0.0),
    ],
)
def test_the_iou_is_intersection_over_union(student: slice, iou: float) -> None:
    agreement = compare([rectangle(slice(0, 40))], [rectangle(student)], (100, 100))
    assert agreement.iou == pytest.approx(iou, abs=1e-9)


def test_an_iou_of_exactly_the_threshold_is_not_hard() -> None:
    teacher, half = rectangle(slice(0, 40)), rectangle(slice(0, 20))
    assert not compare([teacher], [half], (100, 100)).is_hard
    third = compare([rectangle(slice(0, 40))], [rectangle(slice(20, 60))], (100, 100), hard_below=1 / 3)
    assert not third.is_hard


def test_one_pixel_below_the_threshold_is_hard() -> None:
    teacher, less = rectangle(slice(0, 40)), rectangle(slice(0, 20))
    less[0, 0] = False
    assert compare([teacher], [less], (100, 100)).is_hard


def test_one_pixel_below_the_threshold_is_hard_in_a_large_image() -> None:
    size_hw = (2160, 3840)
    less = rectangle(slice(0, 1920), size_hw)
    assert not compare([rectangle(slice(0, 3840), size_hw)], [less], size_hw).is_hard
    less[0, 0] = False
    assert compare([rectangle(slice(0, 3840), size_hw)], [less], size_hw).is_hard


def test_nothing_is_hard_below_zero() -> None:
    assert not compare([rectangle(slice(0, 4))], [], (100, 100), hard_below=0.0).is_hard


def test_full_agreement_is_not_hard_at_any_threshold() -> None:
    assert not compare([], [], (4, 4), hard_below=1.0).is_hard
    assert not compare([rectangle(slice(0, 4))], [rectangle(slice(0, 4))], (100, 100), hard_below=1.0).is_hard


def test_two_empty_sides_agree() -> None:
    agreement = compare([], [], (4, 4))
    assert agreement == FrameAgreement(
        1.0,
        1.0,
        1.0,
        both_empty=True,
        is_hard=False,
        matches=(),
        mismatches=(),
        symmetric_difference_share=0.0,
    )


def test_empty_masks_count_as_none() -> None:
    empty = np.zeros((4, 4), dtype=np.bool_)
    assert compare([empty], [], (4, 4)) == compare([], [], (4, 4))


@pytest.mark.parametrize("teacher_is_empty", [True, False])
def test_one_empty_side_is_hard(teacher_is_empty: bool) -> None:
    person = [draw("....", ".##.", ".##.", "....")]
    agreement = compare(*([], person) if teacher_is_empty else (person, []), (4, 4))
    assert 0 < agreement.iou < 1e-6
    assert (agreement.boundary_iou, agreement.both_empty, agreement.is_hard) == (0.0, False, True)


def test_the_unions_are_compared_independent_of_the_instances() -> None:
    left, right = draw("##..", "##..", "....", "...."), draw("....", "....", "..##", "..##")
    agreement = compare([left, right], [left | right], (4, 4))
    assert (agreement.iou, agreement.boundary_iou) == (1.0, 1.0)


def test_a_person_counts_in_the_expected_iou_by_the_teachers_score() -> None:
    """Above 0.9 no person counts, down to 0.5 the first alone, below it both."""
    first, second = rectangle(slice(0, 40)), rectangle(slice(40, 80))
    scores = [(first, 0.9), (second, 0.5)]
    for order in permutations(scores):
        teacher = [instance(pixels, score=score) for pixels, score in order]
        agreement = compare_instances(teacher, instances([first]), (100, 100), Agreement())
        assert agreement.iou == pytest.approx(0.5)
        assert agreement.expected_iou == pytest.approx(0.1 * 0 + 0.4 * 1 + 0.5 * 0.5)


@pytest.mark.parametrize(("score", "expected"), [(0.8, 0.2), (1.0, 0.0), (0.0, 1.0)])
def test_a_low_score_person_that_the_student_lacks_counts_partly_as_a_miss(
    score: float, expected: float
) -> None:
    teacher = [instance(rectangle(slice(0, 40)), score=score)]
    agreement = compare_instances(teacher, [], (100, 100), Agreement())
    assert agreement.iou == pytest.approx(0, abs=1e-9)
    assert agreement.expected_iou == pytest.approx(expected, abs=1e-9)


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(ModelOutputWrong, match=r"\(4, 4\) and \(4, 5\)"):
        compare([draw("....", ".##.", ".##.", "....")], [], (4, 5))


def test_pairs_are_chosen_for_the_largest_sum() -> None:
    ious = np.array([[0.9, 0.8, 0.0], [0.8, 0.3, 0.6]])
    assert match_pairs(ious, min_iou=0.5) == [(0, 1, 0.8), (1, 0, 0.8)]


def test_pairs_below_the_minimum_do_not_displace_a_valid_one() -> None:
    ious = np.array([[0.5, 0.45], [0.45, 0.0]])
    assert match_pairs(ious, min_iou=0.5) == [(0, 0, 0.5)]


def test_masks_that_do_not_touch_never_match() -> None:
    assert match_pairs(np.zeros((2, 2)), min_iou=0.0) == []
    assert match_pairs(np.zeros((0, 3)), min_iou=0.5) == []


def test_matches_are_in_order_of_the_teacher() -> None:
    first, second = draw("##..", "##.."), draw("..##", "..##")
    result = compare_instances(instances([first, second]), instances([second, first]), (2, 4), Agreement())
    assert result.matches == (Match(0, 1, 1.0), Match(1, 0, 1.0))


def slow_best_sum(teacher: list[BoolArray], student: list[BoolArray]) -> float:
    """The largest sum of IoU over all ways to pair, among pairs of at least 1/2."""
    few, many = sorted((teacher, student), key=len)
    ious = [[(a & b).sum() / max(1, (a | b).sum()) for b in many] for a in few]
    eligible = [[iou if iou >= 0.5 else 0.0 for iou in row] for row in ious]
    ways = permutations(range(len(many)), len(few))
    return max((sum(eligible[i][j] for i, j in enumerate(way)) for way in ways), default=0.0)


@pytest.mark.slow
@given(sides())
def test_no_other_pairing_is_better(both: Sides) -> None:
    assume(both[0] or both[1])
    size_hw = size_of(both)
    matches = compare(*both, size_hw).matches
    assert sum(match.iou for match in matches) == pytest.approx(slow_best_sum(*both))
    for match in matches:
        teacher, student = both[0][match.teacher], both[1][match.student]
        assert match.iou == (teacher & student).sum() / (teacher | student).sum() >= 0.5


@pytest.mark.slow
@given(sides())
def test_ious_lie_between_0_and_1_and_are_symmetric(both: Sides) -> None:
    assume(both[0] or both[1])
    size_hw = size_of(both)
    agreement, swapped = compare(*both, size_hw), compare(*both[::-1], size_hw)
    assert 0 <= agreement.iou <= 1
    assert 0 <= agreement.boundary_iou <= 1
    assert (agreement.iou, agreement.boundary_iou) == (swapped.iou, swapped.boundary_iou)
    itself = compare(both[0], both[0], size_hw)
    assert (itself.iou, itself.boundary_iou, itself.is_hard) == (1.0, 1.0, False)


@pytest.mark.slow
@given(sides())
def test_with_scores_of_one_the_expected_iou_is_the_iou(both: Sides) -> None:
    assume(both[0] or both[1])
    size_hw = size_of(both)
    teacher = [instance(pixels, score=1.0) for pixels in both[0]]
    sure = compare_instances(teacher, instances(both[1]), size_hw, Agreement())
    assert sure.expected_iou == sure.iou
    assert 0 <= compare(*both, size_hw).expected_iou <= 1


@pytest.mark.parametrize("seed", range(8))
def test_random_frames_agree_with_pixels(seed: int) -> None:
    teacher, student = blobs(seed, (180, 240))
    halves = [teacher & rectangle(half, (180, 240)) for half in (slice(0, 120), slice(120, 240))]
    agreement = compare(halves, [student], (180, 240))
    common, joint = (teacher & student).sum(), (teacher | student).sum()
    assert agreement.iou == pytest.approx(common / joint, abs=1e-9)
    assert agreement.boundary_iou == pytest.approx(slow_boundary_iou(teacher, student), abs=1e-12)


def test_the_union_iou_of_two_empty_masks_is_one() -> None:
    assert union_iou(Mask.empty((4, 4)), Mask.empty((4, 4))) == 1.0


def test_scores_and_boxes_do_not_count() -> None:
    mask = draw("##..", "##..")
    sure, unsure = instance(mask, score=1.0), instance(mask, score=0.0, box_xywh=(0, 0, 4, 2))
    assert compare_instances([sure], [unsure], (2, 4), Agreement()).matches == (Match(0, 0, 1.0),)


UPPER, LOWER = draw("####", "####", "....", "...."), draw("....", "....", "####", "####")
HALF = draw("....", "....", "####", "....")


def of(category: str, *masks: BoolArray) -> list[Instance]:
    return [replace(one, category=category) for one in instances(list(masks))]


def compare_categories(teacher: list[Instance], student: list[Instance]) -> FrameAgreement:
    return compare_instances(teacher, student, (4, 4), Agreement(hard_below=0.6, match_iou=0.4))


def test_the_worst_category_decides_whether_a_frame_is_hard() -> None:
    agreement = compare_categories(
        [*of("person", UPPER), *of("cat", LOWER)], [*of("cat", HALF), *of("person", UPPER)]
    )
    assert dict(agreement.category_ious) == pytest.approx({"cat": 0.5, "person": 1.0})
    assert agreement.iou == pytest.approx(0.5)
    assert agreement.is_hard
    assert [(match.teacher, match.student) for match in agreement.matches] == [(0, 1), (1, 0)]


def test_the_same_mask_of_another_category_is_a_miss_and_an_extra() -> None:
    agreement = compare_categories(of("cat", UPPER), of("person", UPPER))
    assert agreement.matches == ()
    assert [(m.cause, m.teacher, m.student) for m in agreement.mismatches] == [
        ("miss", (0,), ()),
        ("extra", (), (0,)),
    ]
    assert agreement.iou == pytest.approx(0.0, abs=1e-6)
    assert agreement.symmetric_difference_share == 1.0
    assert not agreement.both_empty


def test_an_object_of_another_category_in_a_mask_is_no_merge() -> None:
    everything = draw("####", "####", "####", "####")
    agreement = compare_categories(
        [*of("person", UPPER), *of("cat", LOWER)], [*of("person", UPPER), *of("cat", LOWER)]
    )
    assert agreement.mismatches == ()
    merged = compare_categories([*of("person", UPPER), *of("cat", LOWER)], of("person", everything))
    assert "merge" not in {mismatch.cause for mismatch in merged.mismatches}


@pytest.mark.slow
@given(sides())
def test_one_category_of_any_name_agrees_as_people_do(both: Sides) -> None:
    assume(both[0] or both[1])
    size_hw, settings = size_of(both), Agreement()
    people = compare_instances(instances(both[0]), instances(both[1]), size_hw, settings)
    cats = compare_instances(of("cat", *both[0]), of("cat", *both[1]), size_hw, settings)
    assert replace(cats, category_ious=()) == people
