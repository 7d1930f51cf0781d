"""Causes of the disagreement between student and teacher.

"Half" refers to a mask's own pixels; exactly half counts as covered. Matched pairs are those with an
IoU of at least `match_iou`.

- **split**: one teacher instance and two or more students. Each student lies at least half inside
  the teacher instance and is not matched to another; together they cover at least half of it.
- **merge**: the same with the roles swapped: one student and two or more teacher instances.
- **miss**: a teacher instance without match or group; all students together cover less than half.
- **extra**: the same with the roles swapped: most of the student lies outside all teacher masks.
- **boundary**: a pair that is matched, or unmatched while each covers at least half of the other,
  with a boundary IoU below `boundary_below`.

Each instance has at most one cause, by the order above. Where groups compete for an instance, the one
with the most common pixels wins, then the one with the most parts, then the lowest position. Swapping
the roles swaps split with merge and miss with extra; only if a split and a merge tie in all of these
does the role decide (merge first).

**A semantic student** gives one mask for all people: nothing is matched, split or merged. A miss is
as above. Each connected part of the student's mask that lies less than half in teacher masks is an
extra. The rest of both sides is compared as two unions for `boundary`. Such a student may have several
causes, a teacher instance still has at most one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.comparison.boundary_iou import boundary_iou
from labeling.structures.agreement import Cause, Match, Mismatch
from labeling.structures.masks import BoolArray, Mask, intersection_areas, iou_matrix, mask_areas, union_masks

_ORDER: tuple[Cause, ...] = ("miss", "extra", "split", "merge", "boundary")

MIN_PART_OF_IMAGE = 0.001
"""A connected part of a semantic mask below this share of the image is noise: the default `min_area` of
the semantic segmenters (configs/segmenters.py)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Comparison:
    """Masks of both sides, their areas and their intersections in pixels."""

    teacher: Sequence[Mask]
    student: Sequence[Mask]
    common: NDArray[np.int64]
    """(teacher, student)"""
    teacher_areas: NDArray[np.int64]
    student_areas: NDArray[np.int64]
    matches: Sequence[Match]
    size_hw: tuple[int, int]

    def swapped(self) -> "_Comparison":
        matches = [Match(student, teacher, iou) for teacher, student, iou in self.matches]
        return _Comparison(
            self.student, self.teacher, self.common.T, self.student_areas, self.teacher_areas, matches, self.size_hw
        )  # fmt: skip

    def iou(self, teacher: Sequence[int], student: Sequence[int]) -> float:
        teacher_union = union_masks([self.teacher[i] for i in teacher], self.size_hw)
        student_union = union_masks([self.student[i] for i in student], self.size_hw)
        return float(iou_matrix([teacher_union], [student_union])[0, 0])


@dataclass(frozen=True, slots=True)
class _Group:
    """One instance on one side that corresponds to several parts on the other."""

    cause: Cause
    whole: int
    parts: tuple[int, ...]
    common_px: int

    @property
    def rank(self) -> tuple[int, int, int, bool]:
        return (-self.common_px, -len(self.parts), self.whole, self.cause != "merge")

    def sides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the positions of the teacher's and of the student's instances."""
        return (self.parts, (self.whole,)) if self.cause == "merge" else ((self.whole,), self.parts)


def find_mismatches(
    teacher: Sequence[Mask],
    student: Sequence[Mask],
    matches: Sequence[Match],
    size_hw: tuple[int, int],
    *,
    boundary_below: float,
) -> tuple[Mismatch, ...]:
    """Return the mismatches, by the definitions above, in order of cause and position."""
    areas = mask_areas(teacher), mask_areas(student)
    both = _Comparison(teacher, student, intersection_areas(teacher, student), *areas, matches, size_hw)
    free = {i for i, area in enumerate(areas[0]) if area}, {i for i, area in enumerate(areas[1]) if area}
    found = _take_groups(both, *free)
    missed = _find_uncovered(both, free[0])
    extra = _find_uncovered(both.swapped(), free[1])
    found += [Mismatch("miss", (position,), (), 0.0) for position in missed]
    found += [Mismatch("extra", (), (position,), 0.0) for position in extra]
    found += _find_boundaries(both, *free, boundary_below=boundary_below)
    return _in_order(found)


def find_semantic_mismatches(
    teacher: Sequence[Mask], student: Sequence[Mask], size_hw: tuple[int, int], *, boundary_below: float
) -> tuple[Mismatch, ...]:
    """Return the mismatches of a semantic student, by the definitions above."""
    union = union_masks(teacher, size_hw)
    student_union = union_masks(student, size_hw)
    areas, covered = mask_areas(teacher), intersection_areas(teacher, [student_union]).sum(axis=1)
    missed = [i for i, area in enumerate(areas) if 2 * covered[i] < area]
    found = [Mismatch("miss", (position,), (), 0.0) for position in missed]
    kept_students = []
    for position, mask in enumerate(student):
        kept, extras = _drop_parts_outside(mask, union)
        kept_students.append(kept)
        found += [Mismatch("extra", (), (position,), 0.0)] * extras
    kept_teachers = [i for i, area in enumerate(areas) if area and i not in missed]
    pair = union_masks([teacher[i] for i in kept_teachers], size_hw), union_masks(kept_students, size_hw)
    if all(pair) and boundary_iou(*pair) < boundary_below:
        positions = tuple(i for i, mask in enumerate(kept_students) if mask)
        iou = float(iou_matrix(pair[:1], pair[1:])[0, 0])
        found.append(Mismatch("boundary", tuple(kept_teachers), positions, iou))
    return _in_order(found)


def _take_groups(both: _Comparison, free_teacher: set[int], free_student: set[int]) -> list[Mismatch]:
    """Return splits and merges, largest first, and remove their instances from the free ones."""
    found: list[Mismatch] = []
    while True:
        splits = _find_groups("split", both, free_teacher, free_student)
        merges = _find_groups("merge", both.swapped(), free_student, free_teacher)
        if not splits and not merges:
            return found
        group = min(splits + merges, key=lambda group: group.rank)
        sides = group.sides()
        found.append(Mismatch(group.cause, *sides, both.iou(*sides)))
        free_teacher -= set(sides[0])
        free_student -= set(sides[1])


def _find_groups(cause: Cause, both: _Comparison, wholes: set[int], parts: set[int]) -> list[_Group]:
    """Return groups of one instance of the first side with two or more of the second."""
    matched_to = {part: whole for whole, part, _ in both.matches}
    groups = []
    for whole in sorted(wholes):
        inside = tuple(
            part
            for part in sorted(parts)
            if 2 * both.common[whole, part] >= both.student_areas[part]
            and matched_to.get(part, whole) == whole
        )
        if len(inside) > 1:
            joint = union_masks([both.student[part] for part in inside], both.size_hw)
            common_px = int(intersection_areas([both.teacher[whole]], [joint])[0, 0])
            if 2 * common_px >= both.teacher_areas[whole]:
                groups.append(_Group(cause, whole, inside, common_px))
    return groups


def _find_uncovered(both: _Comparison, free: set[int]) -> list[int]:
    """Return unmatched instances of the first side, less than half covered by all of the second."""
    unmatched = sorted(free - {first for first, _, _ in both.matches})
    union = union_masks(both.student, both.size_hw)
    covered = intersection_areas([both.teacher[i] for i in unmatched], [union]).sum(axis=1)
    return [i for i, px in zip(unmatched, covered, strict=True) if 2 * px < both.teacher_areas[i]]


def _find_boundaries(
    both: _Comparison, free_teacher: set[int], free_student: set[int], *, boundary_below: float
) -> list[Mismatch]:
    matched = {(teacher, student) for teacher, student, _ in both.matches}
    taken = {teacher for teacher, _ in matched}, {student for _, student in matched}
    mutual = {
        (teacher, student)
        for teacher in free_teacher - taken[0]
        for student in free_student - taken[1]
        if 2 * both.common[teacher, student] >= max(both.teacher_areas[teacher], both.student_areas[student])
    }
    return [
        Mismatch("boundary", (teacher,), (student,), both.iou([teacher], [student]))
        for teacher, student in matched | mutual
        if teacher in free_teacher
        and student in free_student
        and boundary_iou(both.teacher[teacher], both.student[student]) < boundary_below
    ]


def _drop_parts_outside(mask: Mask, union: Mask) -> tuple[Mask, int]:
    """Return the mask without the 8-connected parts that lie mostly outside the union, and their number."""
    if not mask:
        return mask, 0
    x, y, w, h = (int(side) for side in mask.box_xywh)
    crop = mask.to_crop((x, y, w, h))
    count, labels = cv2.connectedComponents(np.ascontiguousarray(crop).view(np.uint8))
    areas = np.bincount(labels.ravel(), minlength=count)
    inside = np.bincount(labels[union.to_crop((x, y, w, h))], minlength=count)
    is_outside = (2 * inside < areas) & (areas >= MIN_PART_OF_IMAGE * np.prod(mask.size_hw))
    is_outside[0] = False
    if not is_outside.any():
        return mask, 0
    pixels: BoolArray = np.zeros(mask.size_hw, dtype=np.bool_)
    pixels[y : y + h, x : x + w] = crop & ~is_outside[labels]
    return Mask.from_array(pixels), int(is_outside.sum())


def _in_order(mismatches: Sequence[Mismatch]) -> tuple[Mismatch, ...]:
    return tuple(sorted(mismatches, key=lambda m: (_ORDER.index(m.cause), m.teacher, m.student)))
