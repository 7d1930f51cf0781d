"""Agreement of student and teacher on one frame.

Overlaps are computed on run-length encodings; only the boundary bands are decoded to pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple, get_args

from configs.categories import PERSON
from configs.models import Agreement
from labeling.comparison.boundary_iou import boundary_iou
from labeling.comparison.iou import match_pairs, union_iou
from labeling.comparison.mismatches import find_mismatches, find_semantic_mismatches
from labeling.structures.agreement import Cause, FrameAgreement, Match, Mismatch
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, intersect_masks, iou_matrix, union_masks


def compare_instances(
    teacher: Sequence[Instance],
    student: Sequence[Instance],
    size_hw: tuple[int, int],
    settings: Agreement,
    *,
    student_is_semantic: bool = False,
) -> FrameAgreement:
    """Compare the instances of a frame; the result names their positions in the two sequences.

    Instances of different categories never match. With several categories, the frame's IoU, expected IoU and boundary
    IoU are the lowest of any category, so that a wrong cat makes a frame with a right person hard.

    An empty mask matches nothing and has no cause. With `student_is_semantic` the student gives one
    mask for all people, which then is not a merge (see `labeling.comparison.mismatches`).

    Raises:
        ModelOutputWrong: a mask does not have the size `size_hw`.
    """
    categories = sorted({instance.category for instance in (*teacher, *student)})
    if set(categories) <= {PERSON}:
        return _compare(teacher, student, size_hw, settings, student_is_semantic=student_is_semantic)
    parts = []
    for category in categories:
        positions = _Positions(*(_of_category(side, category) for side in (teacher, student)))
        compared = _compare(
            [teacher[i] for i in positions.teacher],
            [student[i] for i in positions.student],
            size_hw,
            settings,
            student_is_semantic=student_is_semantic,
        )
        parts.append((category, positions, compared))
    return _join(parts)


class _Positions(NamedTuple):
    """Where the instances of one category are among all."""

    teacher: tuple[int, ...]
    student: tuple[int, ...]

    def match(self, match: Match) -> Match:
        return Match(self.teacher[match.teacher], self.student[match.student], match.iou)

    def mismatch(self, one: Mismatch) -> Mismatch:
        teacher = tuple(self.teacher[i] for i in one.teacher)
        return replace(one, teacher=teacher, student=tuple(self.student[i] for i in one.student))


def _of_category(instances: Sequence[Instance], category: str) -> tuple[int, ...]:
    return tuple(i for i, instance in enumerate(instances) if instance.category == category)


def _join(parts: Sequence[tuple[str, _Positions, FrameAgreement]]) -> FrameAgreement:
    """Return the agreement of a frame from that of its categories."""
    agreements = [agreement for _, _, agreement in parts]
    matches = [where.match(match) for _, where, one in parts for match in one.matches]
    mismatches = [where.mismatch(mismatch) for _, where, one in parts for mismatch in one.mismatches]
    causes = get_args(Cause)
    return FrameAgreement(
        iou=min(one.iou for one in agreements),
        expected_iou=min(one.expected_iou for one in agreements),
        boundary_iou=min(one.boundary_iou for one in agreements),
        both_empty=all(one.both_empty for one in agreements),
        is_hard=any(one.is_hard for one in agreements),
        matches=tuple(sorted(matches)),
        mismatches=tuple(sorted(mismatches, key=lambda m: (causes.index(m.cause), m.teacher, m.student))),
        symmetric_difference_share=min(1.0, sum(one.symmetric_difference_share for one in agreements)),
        category_ious=tuple((category, one.iou) for category, _, one in parts),
        student_is_semantic=any(one.student_is_semantic for one in agreements),
    )


def _compare(
    teacher: Sequence[Instance],
    student: Sequence[Instance],
    size_hw: tuple[int, int],
    settings: Agreement,
    *,
    student_is_semantic: bool,
) -> FrameAgreement:
    """Compare instances of one category."""
    teacher_masks, student_masks = ([instance.mask for instance in side] for side in (teacher, student))
    unions = union_masks(teacher_masks, size_hw), union_masks(student_masks, size_hw)
    iou = union_iou(*unions)
    matches: tuple[Match, ...] = ()
    if student_is_semantic:
        mismatches = find_semantic_mismatches(
            teacher_masks, student_masks, size_hw, boundary_below=settings.boundary_below
        )
    else:
        pairs = match_pairs(iou_matrix(teacher_masks, student_masks), min_iou=settings.match_iou)
        matches = tuple(Match(*pair) for pair in pairs)
        mismatches = find_mismatches(
            teacher_masks, student_masks, matches, size_hw, boundary_below=settings.boundary_below
        )
    return FrameAgreement(
        iou=iou,
        expected_iou=expected_iou(teacher, size_hw, lambda union: union_iou(union, unions[1])),
        boundary_iou=boundary_iou(*unions),
        both_empty=not unions[0] and not unions[1],
        is_hard=iou < settings.hard_below,
        matches=matches,
        mismatches=mismatches,
        symmetric_difference_share=symmetric_difference_share(*unions),
        student_is_semantic=student_is_semantic,
    )


def expected_iou(
    teacher: Sequence[Instance], size_hw: tuple[int, int], iou_of: Callable[[Mask], float]
) -> float:
    """Return the expectation of `iou_of(teacher's union)` over the teacher's scores, in [0, 1].

    A score is taken as the probability that its mask shows a person, so that a low-confidence detection
    which the student lacks counts only partly as a miss. The union at a score threshold is averaged over
    all thresholds from 0 to 1. With scores of 1 the result is the IoU. It finds the student's failures
    better than the IoU does (docs/calibration.md).
    """
    scored = [(min(max(0.0, person.score), 1.0), person.mask) for person in teacher if person.mask]
    union, threshold, expected = union_masks([], size_hw), 1.0, 0.0
    for score, mask in sorted(scored, key=itemgetter(0), reverse=True):
        expected += (threshold - score) * iou_of(union)
        union, threshold = union_masks([union, mask], size_hw), score
    return expected + threshold * iou_of(union)


def symmetric_difference_share(first: Mask, second: Mask) -> float:
    """Return the pixels in exactly one of two masks, as a share of the image, in [0, 1]."""
    height, width = first.size_hw
    common = intersect_masks(first, second).area_px
    return (first.area_px + second.area_px - 2 * common) / max(1, height * width)
