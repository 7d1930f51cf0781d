"""The frames that say most about what is wrong, worst first."""

from collections.abc import Callable, Sequence

from labeling.evaluation.frames import EvaluatedFrame
from labeling.evaluation.summary import BAD_BELOW, GOOD_FROM


def false_accepts(frames: Sequence[EvaluatedFrame]) -> list[EvaluatedFrame]:
    """Accepted with a mask that is not good: what would be learnt wrongly."""
    accepted = [frame for frame in frames if frame.decision == "accepted"]
    return _below(accepted, GOOD_FROM, lambda frame: frame.teacher_iou)


def missed_failures(frames: Sequence[EvaluatedFrame]) -> list[EvaluatedFrame]:
    """The student is wrong, and its frame was called easy: what would not be found."""
    easy = [frame for frame in frames if frame.decision == "easy"]
    return _below(easy, BAD_BELOW, lambda frame: frame.student_iou)


def _below(
    frames: Sequence[EvaluatedFrame], threshold: float, iou_of: Callable[[EvaluatedFrame], float | None]
) -> list[EvaluatedFrame]:
    """Worst first; where the truth has only boxes, nobody can say."""
    known = [(iou, frame) for frame in frames if (iou := iou_of(frame)) is not None and iou < threshold]
    return [frame for _, frame in sorted(known, key=lambda pair: pair[0])]
