"""The frames that say most about what is wrong, worst first."""

from collections.abc import Sequence

from labeling.evaluation.frames import EvaluatedFrame
from labeling.evaluation.summary import BAD_BELOW, GOOD_FROM


def false_accepts(frames: Sequence[EvaluatedFrame]) -> list[EvaluatedFrame]:
    """Accepted with a mask that is not good: what would be learnt wrongly."""
    found = [frame for frame in frames if frame.decision == "accepted" and _of(frame.teacher_iou) < GOOD_FROM]
    return sorted(found, key=lambda frame: _of(frame.teacher_iou))


def missed_failures(frames: Sequence[EvaluatedFrame]) -> list[EvaluatedFrame]:
    """The student is wrong, and its frame was called easy: what would not be found."""
    found = [frame for frame in frames if frame.decision == "easy" and _of(frame.student_iou) < BAD_BELOW]
    return sorted(found, key=lambda frame: _of(frame.student_iou))


def _of(iou: float | None) -> float:
    return 0.0 if iou is None else iou
