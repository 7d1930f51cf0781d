"""Each of the teacher's masks beside the student's, all on run-length encodings."""

from collections.abc import Sequence
from dataclasses import dataclass

from labeling.structures.masks import Mask, fill_box, intersect_masks, iou_matrix, union_masks

MARGIN = 0.1
"""Margin around a mask's box, as a share of its longer side: what the student sees there may be the same person."""


@dataclass(frozen=True, slots=True)
class StudentBeside:
    """What the student sees of the teacher's persons, and beside them."""

    ious: tuple[float, ...]
    """IoU of each mask with the student's masks within its widened box, in [0, 1]."""
    outside: float
    """Share of the student's pixels outside all of the teacher's masks, in [0, 1]; 0 without any pixel."""


def compare_around(
    teacher: Sequence[Mask], student: Sequence[Mask], size_hw: tuple[int, int]
) -> StudentBeside:
    """Compare each person with the union of the student's masks, which need not separate people.

    >>> left, right = fill_box((0, 0, 4, 10), (10, 20)), fill_box((12, 0, 4, 10), (10, 20))
    >>> compare_around([left, right], [left], (10, 20))
    StudentBeside(ious=(1.0, 0.0), outside=0.0)
    """
    seen = union_masks(student, size_hw)
    ious = tuple(_iou_around(mask, seen) for mask in teacher)
    common_px = intersect_masks(seen, union_masks(teacher, size_hw)).area_px
    return StudentBeside(ious, 1 - common_px / seen.area_px if seen else 0.0)


def seen_around(mask: Mask, seen: Mask) -> Mask:
    """Return the part of `seen` within a mask's box, widened by `MARGIN`; empty for an empty mask."""
    if not mask or not seen:
        return Mask.empty(mask.size_hw)
    x, y, w, h = mask.box_xywh
    margin = MARGIN * max(w, h)
    window = fill_box((x - margin, y - margin, w + 2 * margin, h + 2 * margin), mask.size_hw)
    return intersect_masks(seen, window)


def _iou_around(mask: Mask, seen: Mask) -> float:
    return float(iou_matrix([mask], [seen_around(mask, seen)])[0, 0])
