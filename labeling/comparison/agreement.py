"""Agreement: how well student and teacher match on one frame.

Overlaps are counted on run-length encodings; only the boundaries' bands are looked at as pixels.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from configs.models import Agreement
from labeling.comparison.boundary_iou import boundary_iou
from labeling.comparison.mismatches import find_mismatches, find_semantic_mismatches
from labeling.structures.agreement import Cause, FrameAgreement, Match, Mismatch
from labeling.structures.instances import Instance
from labeling.structures.masks import Mask, intersect_masks, iou_matrix, union_masks

__all__ = [
    "Cause",
    "FrameAgreement",
    "Match",
    "Mismatch",
    "compare_instances",
    "expected_iou",
    "match_pairs",
    "union_iou",
]

EPSILON_PX = 1e-7
"""Added to both areas of an IoU, so that two empty masks agree (1) and nothing divides by zero. Too
small to lift an IoU over a threshold: areas are whole pixels."""


def compare_instances(
    teacher: Sequence[Instance],
    student: Sequence[Instance],
    size_hw: tuple[int, int],
    settings: Agreement,
    *,
    student_is_semantic: bool = False,
) -> FrameAgreement:
    """Compare a frame's instances; their positions in the two sequences are what the result names.

    An empty mask is nobody: it matches nothing and has no cause. `student_is_semantic` says that
    the student gives one mask for everybody, which then is no merge (see `labeling.comparison.mismatches`).

    Raises:
        ModelOutputWrong: a mask has not the size `size_hw`.
    """
    teacher_masks, student_masks = ([one.mask for one in side] for side in (teacher, student))
    unions = union_masks(teacher_masks, size_hw), union_masks(student_masks, size_hw)
    iou = union_iou(*unions)
    frame_boundary_iou = boundary_iou(*unions)
    matches: tuple[Match, ...] = ()
    if student_is_semantic:
        mismatches = find_semantic_mismatches(
            teacher_masks, student_masks, size_hw, boundary_below=settings.boundary_below
        )
    else:
        matches = match_masks(teacher_masks, student_masks, min_iou=settings.match_iou)
        mismatches = find_mismatches(
            teacher_masks, student_masks, matches, size_hw, boundary_below=settings.boundary_below
        )
    return FrameAgreement(
        iou=iou,
        expected_iou=expected_iou(teacher, size_hw, lambda seen: union_iou(seen, unions[1])),
        boundary_iou=frame_boundary_iou,
        both_empty=not unions[0] and not unions[1],
        is_hard=iou < settings.hard_below,
        matches=matches,
        mismatches=mismatches,
        symmetric_difference_share=symmetric_difference_share(*unions),
    )


def expected_iou(
    teacher: Sequence[Instance], size_hw: tuple[int, int], iou_of: Callable[[Mask], float]
) -> float:
    """Mean of `iou_of` the union of the teacher's masks over the score from which they count, in [0, 1].

    A score is taken for the probability that its mask shows somebody. So a person whom the teacher is not
    sure of weighs less, and where the student sees nobody, a doubtful one is no certain miss. With scores of
    1 it is the IoU. It finds the student's failures better than the IoU does (docs/calibration.md).
    """
    certain = [(min(max(0.0, one.score), 1.0), one.mask) for one in teacher if one.mask]
    seen, counting_from, expected = union_masks([], size_hw), 1.0, 0.0
    for score, mask in sorted(certain, key=itemgetter(0), reverse=True):
        expected += (counting_from - score) * iou_of(seen)
        seen, counting_from = union_masks([seen, mask], size_hw), score
    return expected + counting_from * iou_of(seen)


def symmetric_difference_share(first: Mask, second: Mask) -> float:
    """Pixels of exactly one of two masks over those of the image, in [0, 1]; 0 for one without pixels."""
    height, width = first.size_hw
    common = intersect_masks(first, second).area_px
    return (first.area_px + second.area_px - 2 * common) / max(1, height * width)


def union_iou(first: Mask, second: Mask) -> float:
    """(|I| + eps) / (|U| + eps) in pixels: 1 for two empty masks, about 0 for an empty and another."""
    common = intersect_masks(first, second).area_px
    joint = first.area_px + second.area_px - common
    return (common + EPSILON_PX) / (joint + EPSILON_PX)


def match_masks(teacher: Sequence[Mask], student: Sequence[Mask], *, min_iou: float) -> tuple[Match, ...]:
    """Pair masks one to one for the largest sum of IoU, among pairs with at least `min_iou`."""
    return tuple(Match(*pair) for pair in match_pairs(iou_matrix(teacher, student), min_iou=min_iou))


def match_pairs(ious: NDArray[np.float64], *, min_iou: float) -> list[tuple[int, int, float]]:
    """Pair rows with columns of an IoU matrix one to one: (row, column, IoU), in order of rows.

    The Hungarian method on the pairs with at least `min_iou` and above 0: pairs below take no part,
    or two of them could cost one that counts.
    """
    eligible = np.where((ious >= min_iou) & (ious > 0), ious, 0.0)
    rows, columns = linear_sum_assignment(eligible, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column, float(ious[row, column])) for row, column in pairs if eligible[row, column] > 0]
