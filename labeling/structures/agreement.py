"""The agreement of teacher and student on one frame."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Cause = Literal["miss", "extra", "split", "merge", "boundary"]


class Match(NamedTuple):
    """The same person: positions in the teacher's and the student's instances, and their IoU."""

    teacher: int
    student: int
    iou: float


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One disagreement: its cause, the positions of the instances that it is about, ascending."""

    cause: Cause
    teacher: tuple[int, ...]
    student: tuple[int, ...]
    iou: float
    """IoU of the union of these teacher instances with that of these students; 0 for one side alone."""


@dataclass(frozen=True, slots=True)
class FrameAgreement:
    """What the comparison of one frame's teacher and student instances gave."""

    iou: float
    """IoU of the union of the teacher's masks with the union of the student's, in [0, 1]."""
    expected_iou: float
    """That IoU with the teacher's scores borne in mind (see `expected_iou`): the lower, the surer the student is wrong."""
    boundary_iou: float
    """Boundary IoU of the same unions, in [0, 1]."""
    both_empty: bool
    """Neither saw anybody; both IoUs are 1 then."""
    is_hard: bool
    """`iou` is below the settings' `hard_below`."""
    matches: tuple[Match, ...]
    """The same person in both, in order of the teacher's instances; none for a semantic student."""
    mismatches: tuple[Mismatch, ...]
    """In the order of causes miss, extra, split, merge, boundary, then of the instances' positions."""
    symmetric_difference_share: float
    """Share of the image's pixels that one of the two unions has and the other has not, in [0, 1]."""
