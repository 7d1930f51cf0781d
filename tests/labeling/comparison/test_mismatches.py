"""Causes of mismatches: drawn by hand, then against a second implementation on pixels."""

import numpy as np
import pytest
from hypothesis import assume, given

from configs.models import Agreement
from labeling.comparison.agreement import compare_instances
from labeling.structures.agreement import FrameAgreement, Match, Mismatch
from labeling.structures.masks import BoolArray
from tests.labeling.comparison.slow_comparison import find_groups, slow_boundary_iou, slow_causes
from tests.labeling.strategies import disjoint_sides, draw_labels, instances, sides

Sides = tuple[list[BoolArray], list[BoolArray]]
SWAPPED = {"miss": "extra", "extra": "miss", "split": "merge", "merge": "split", "boundary": "boundary"}


def compare(
    teacher: list[BoolArray],
    student: list[BoolArray],
    *,
    student_is_semantic: bool = False,
    match_iou: float = 0.5,
    boundary_below: float = 0.5,
) -> FrameAgreement:
    size_hw: tuple[int, int] = (teacher + student)[0].shape  # type: ignore[assignment]
    settings = Agreement(match_iou=match_iou, boundary_below=boundary_below)
    return compare_instances(
        instances(teacher),
        instances(student),
        size_hw,
        settings,
        student_is_semantic=student_is_semantic,
    )


def causes(agreement: FrameAgreement) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    return [(one.cause, one.teacher, one.student) for one in agreement.mismatches]


def test_a_person_only_the_teacher_finds_is_a_miss() -> None:
    agreement = compare(
        draw_labels("a..b", "a..b", "a..b", "...."), draw_labels("a...", "a...", "a...", "....")
    )
    assert agreement.matches == (Match(0, 0, 1.0),)
    assert agreement.mismatches == (Mismatch("miss", (1,), (), 0.0),)


def test_a_person_only_the_student_finds_is_extra() -> None:
    agreement = compare(
        draw_labels("a...", "a...", "a...", "...."), draw_labels("a..b", "a..b", "a..b", "....")
    )
    assert agreement.mismatches == (Mismatch("extra", (), (1,), 0.0),)


def test_two_masks_for_one_person_are_a_split() -> None:
    agreement = compare(
        draw_labels("aa..", "aa..", "aa..", "aa.."), draw_labels("aa..", "....", "bb..", "bb..")
    )
    assert agreement.matches == (Match(0, 1, 0.5),)
    assert agreement.mismatches == (Mismatch("split", (0,), (0, 1), 0.75),)


def test_one_mask_for_two_people_is_a_merge() -> None:
    agreement = compare(
        draw_labels("a.b.", "a.b.", "a.b.", "...."), draw_labels("aaa.", "aaa.", "aaa.", "....")
    )
    assert agreement.matches == ()
    assert agreement.mismatches == (Mismatch("merge", (0, 1), (0,), 6 / 9),)


def test_a_wrong_outline_is_a_boundary() -> None:
    teacher = draw_labels("......", ".aaaa.", ".aaaa.", ".aaaa.", ".aaaa.", "......")
    student = draw_labels("aaaaa.", "aaaaa.", "aaaaa.", "aaaaa.", "aaaaa.", "......")
    agreement = compare(teacher, student)
    assert agreement.matches == (Match(0, 0, 16 / 25),)
    assert slow_boundary_iou(teacher[0], student[0]) == 7 / 21
    assert agreement.mismatches == (Mismatch("boundary", (0,), (0,), 16 / 25),)
    assert compare(teacher, student, boundary_below=7 / 21).mismatches == ()


def test_an_unmatched_pair_that_covers_half_of_each_other_is_a_boundary() -> None:
    agreement = compare(
        draw_labels("aa..", "aa..", "....", "...."), draw_labels(".aa.", ".aa.", "....", "....")
    )
    assert agreement.matches == ()
    assert agreement.mismatches == (Mismatch("boundary", (0,), (0,), 1 / 3),)


def test_half_is_covered_and_one_pixel_less_is_not() -> None:
    teacher = draw_labels("aaaa", "....", "....", "....")
    assert causes(compare(teacher, draw_labels("..aa", "....", "....", "...."))) == []
    less = compare(teacher, draw_labels("...a", "...a", "....", "...."))
    assert causes(less) == [("miss", (0,), ())]


def test_specks_inside_a_person_are_a_miss_not_a_split() -> None:
    teacher = draw_labels("aaaa", "aaaa", "aaaa", "aaaa")
    assert causes(compare(teacher, draw_labels("a...", "....", "....", "...b"))) == [("miss", (0,), ())]


def test_a_mask_mostly_of_background_is_extra_not_a_merge() -> None:
    student = draw_labels("aaaa", "aaaa", "aaaa", "aaaa")
    assert causes(compare(draw_labels("a...", "....", "....", "...b"), student)) == [("extra", (), (0,))]


def test_a_child_inside_a_matched_persons_mask_is_a_merge() -> None:
    agreement = compare(
        draw_labels("aab.", "aab.", "aa..", "aa.."), draw_labels("aaa.", "aaa.", "aa..", "aa..")
    )
    assert agreement.matches == (Match(0, 0, 0.8),)
    assert causes(agreement) == [("merge", (0, 1), (0,))]


def test_people_who_overlap_and_are_both_found_are_no_merge() -> None:
    front, back = np.zeros((2, 4, 4), dtype=np.bool_)
    front[:, :3], back[:, 1:3] = True, True
    agreement = compare([front, back], [front, back])
    assert agreement.matches == (Match(0, 0, 1.0), Match(1, 1, 1.0))
    assert agreement.mismatches == ()


def test_the_group_with_most_common_pixels_wins() -> None:
    teacher = draw_labels("aaaaaaaaab")
    student = draw_labels("aaa.bbbbbb")
    agreement = compare(teacher, student)
    # Person a has 8 px in common with both masks, mask b has 6 px in common with both people.
    assert causes(agreement) == [("split", (0,), (0, 1))]


def test_causes_come_in_a_fixed_order() -> None:
    teacher = draw_labels("aa.bbcc.d.e", "aa.bbcc.d.e")
    student = draw_labels("ab.cccc...e", "ab.cccc...e")
    elsewhere = draw_labels(".......x...", "...........")
    expected = [("miss", (3,), ()), ("extra", (), (4,)), ("split", (0,), (0, 1)), ("merge", (1, 2), (2,))]
    assert causes(compare(teacher, [*student, *elsewhere])) == expected


def test_an_empty_mask_is_no_person() -> None:
    empty = np.zeros((4, 4), dtype=np.bool_)
    people = draw_labels("aa..", "aa..", "....", "....")
    agreement = compare([empty, *people], [*people, empty])
    assert agreement.matches == (Match(1, 0, 1.0),)
    assert agreement.mismatches == ()
    assert causes(compare([empty], [empty], student_is_semantic=True)) == []


def test_a_semantic_student_does_not_merge() -> None:
    teacher = draw_labels("a.b.", "a.b.", "a.b.", "....")
    union = [teacher[0] | teacher[1]]
    agreement = compare(teacher, union, student_is_semantic=True)
    assert (agreement.iou, agreement.matches, agreement.mismatches) == (1.0, (), ())
    assert causes(compare(teacher, union)) == [("merge", (0, 1), (0,))]


def test_a_semantic_students_missed_people_and_extra_parts_are_named() -> None:
    teacher = draw_labels("aa..bb....", "aa..bb....", "..........")
    student = draw_labels("aa......a.", "aa........", ".....a...a")
    agreement = compare(teacher, student, student_is_semantic=True)
    assert causes(agreement) == [
        ("miss", (1,), ()),
        ("extra", (), (0,)),
        ("extra", (), (0,)),
        ("extra", (), (0,)),
    ]


def test_parts_that_touch_at_a_corner_are_one_part_of_a_semantic_mask() -> None:
    teacher = draw_labels("aa......", "aa......", "........")
    student = draw_labels("aa...a..", "aa....a.", ".......a")
    assert causes(compare(teacher, student, student_is_semantic=True)) == [("extra", (), (0,))]


def test_a_speck_of_a_semantic_mask_is_no_person() -> None:
    teacher, student = np.zeros((2, 100, 100), dtype=np.bool_)
    teacher[10:50, 10:30] = student[10:50, 10:30] = True
    student[80, 80:89] = True
    assert causes(compare([teacher], [student], student_is_semantic=True)) == []
    student[80, 89] = True  # the tenth pixel: 0.1 % of the image
    assert causes(compare([teacher], [student], student_is_semantic=True)) == [("extra", (), (0,))]


def test_a_semantic_students_boundary_excludes_missed_people_and_extra_parts() -> None:
    teacher, student = np.zeros((2, 3, 100, 100), dtype=np.bool_)
    teacher[0, 10:40, 10:40] = student[0, 10:40, 10:40] = True
    teacher[1, 10:90, 60:90] = True
    student[0, 50:95, 5:45] = True
    named = compare([*teacher[:2]], [student[0]], student_is_semantic=True)
    assert named.boundary_iou < 0.5
    assert causes(named) == [("miss", (1,), ()), ("extra", (), (0,))]
    shifted = np.roll(student[0], 4, axis=(0, 1))
    loose = compare([*teacher[:2]], [shifted], student_is_semantic=True)
    assert causes(loose) == [*causes(named), ("boundary", (0,), (0,))]


@pytest.mark.slow
@given(sides())
def test_causes_are_those_of_the_second_implementation(both: Sides) -> None:
    assume(both[0] or both[1])
    agreement = compare(*both)
    assert set(agreement.mismatches) == slow_causes(*both, agreement.matches)


def random_people(seed: int) -> Sides:
    """Rectangles side by side and over one another, half of the student's derived from the teacher's."""
    rng = np.random.default_rng(seed)

    def rectangle(reach: int) -> BoolArray:
        drawn = np.zeros((40, 60), dtype=np.bool_)
        y, x, h, w = rng.integers(0, 30), rng.integers(0, 50), *rng.integers(2, reach, 2)
        drawn[y : y + h, x : x + w] = True
        return drawn

    teacher = [rectangle(25) for _ in range(rng.integers(0, 6))]
    student = [rectangle(35) for _ in range(rng.integers(1, 3))]
    for mask in teacher:
        student += [np.roll(mask, rng.integers(-4, 5), axis=1)] if rng.random() < 0.5 else []
        student += [mask & rectangle(35), mask & rectangle(35)] if rng.random() < 0.5 else []
    if len(teacher) > 2 and rng.random() < 0.5:
        student.append(teacher[0] | teacher[1])
    return teacher, student


@pytest.mark.slow
def test_causes_of_random_people_are_those_of_the_second_implementation() -> None:
    seen: dict[str, int] = {}
    for seed in range(150):
        both = random_people(seed)
        agreement = compare(*both)
        assert set(agreement.mismatches) == slow_causes(*both, agreement.matches), seed
        for one in agreement.mismatches:
            seen[one.cause] = seen.get(one.cause, 0) + 1
    assert min(seen.get(cause, 0) for cause in SWAPPED) >= 10, seen


@pytest.mark.slow
@given(sides())
def test_each_instance_has_at_most_one_cause(both: Sides) -> None:
    assume(both[0] or both[1])
    mismatches = compare(*both).mismatches
    for named in ([i for m in mismatches for i in m.teacher], [i for m in mismatches for i in m.student]):
        assert len(named) == len(set(named))


@pytest.mark.slow
@given(disjoint_sides())
def test_swapping_the_roles_swaps_the_causes(both: Sides) -> None:
    agreement, swapped = compare(*both), compare(*both[::-1])
    groups = find_groups(*both, agreement.matches)
    splits, merges = ([group for group in groups if group.cause == cause] for cause in ("split", "merge"))
    assume(not any(split.members & merge.members for split in splits for merge in merges))
    expected = {(SWAPPED[m.cause], m.student, m.teacher, m.iou) for m in agreement.mismatches}
    assert {(m.cause, m.teacher, m.student, m.iou) for m in swapped.mismatches} == expected


@pytest.mark.slow
@given(sides())
def test_the_same_instances_have_no_mismatch(both: Sides) -> None:
    assume(both[0])
    agreement = compare(both[0], both[0])
    assert agreement.mismatches == ()
    assert len(agreement.matches) == sum(bool(mask.any()) for mask in both[0])
