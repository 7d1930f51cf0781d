"""The agreement of teacher and student on one frame."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Cause = Literal["miss", "extra", "split", "merge", "boundary"]


class Match(NamedTuple):
    """Two instances of the same person: their positions on each side and their IoU."""

    teacher: int
    student: int
    iou: float


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One disagreement: its cause and the positions of the instances involved, ascending."""

    cause: Cause
    teacher: tuple[int, ...]
    student: tuple[int, ...]
    iou: float
    """IoU of the union of these teacher instances with that of these students; 0 where one side is empty."""


@dataclass(frozen=True, slots=True)
class FrameAgreement:
    """Result of comparing the teacher and student instances of one frame."""

    iou: float
    """IoU of the union of the teacher's masks with the union of the student's, in [0, 1]."""
    expected_iou: float
    """That IoU weighted by the teacher's scores; the lower, the more certain a failure of the student."""
    boundary_iou: float
    """Boundary IoU of the same unions, in [0, 1]."""
    both_empty: bool
    """Neither model found a person; both IoUs are then 1."""
    is_hard: bool
    """`iou` is below the setting `hard_below`."""
    matches: tuple[Match, ...]
    """Ordered by teacher instance; empty for a semantic student."""
    mismatches: tuple[Mismatch, ...]
    """Ordered by cause (miss, extra, split, merge, boundary), then by position."""
    symmetric_difference_share: float
    """Pixels in exactly one of the two unions, as a share of the image, in [0, 1]."""
    category_ious: tuple[tuple[str, float], ...] = ()
    """IoU of each category that one of the models found, in alphabetical order; `iou` is the lowest. Empty: only people."""
    student_is_semantic: bool = False
    """The student gives one mask for all people: its parts in `mismatches` are areas, not people."""
