"""Agreement of student and teacher on one frame.

Overlaps are computed on run-length encodings; only the boundary bands are decoded to pixels.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter

from configs.models import Agreement
from labeling.comparison.boundary_iou import boundary_iou
from labeling.comparison.iou import match_pairs, union_iou
from labeling.comparison.mismatches import find_mismatches, find_semantic_mismatches
from labeling.structures.agreement import FrameAgreement, Match
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

    An empty mask matches nothing and has no cause. With `student_is_semantic` the student gives one
    mask for all people, which then is not a merge (see `labeling.comparison.mismatches`).

    Raises:
        ModelOutputWrong: a mask does not have the size `size_hw`.
    """
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
