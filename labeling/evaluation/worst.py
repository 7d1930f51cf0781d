"""The frames with the worst errors, worst first."""

from collections.abc import Callable, Sequence

from labeling.evaluation.frames import EvaluatedFrame
from labeling.evaluation.summary import BAD_BELOW, GOOD_FROM


def false_accepts(frames: Sequence[EvaluatedFrame]) -> list[EvaluatedFrame]:
    """Return accepted frames whose mask is not good: a student would learn errors from them."""
    accepted = [frame for frame in frames if frame.decision == "accepted"]
    return _below(accepted, GOOD_FROM, lambda frame: frame.teacher_iou)


def missed_failures(frames: Sequence[EvaluatedFrame]) -> list[EvaluatedFrame]:
    """Return easy frames in which the student is wrong: failures that are not found."""
    easy = [frame for frame in frames if frame.decision == "easy"]
    return _below(easy, BAD_BELOW, lambda frame: frame.student_iou)


def _below(
    frames: Sequence[EvaluatedFrame], threshold: float, iou_of: Callable[[EvaluatedFrame], float | None]
) -> list[EvaluatedFrame]:
    """Return the frames below a threshold, lowest IoU first, without those of unknown IoU."""
    known = [(iou, frame) for frame in frames if (iou := iou_of(frame)) is not None and iou < threshold]
    return [frame for _, frame in sorted(known, key=lambda pair: pair[0])]
