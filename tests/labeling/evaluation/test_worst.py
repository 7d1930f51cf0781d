"""The frames with the worst errors."""

from labeling.evaluation.frames import EvaluatedFrame
from labeling.evaluation.summary import false_accepts, missed_failures


def frame(name: str, decision: str, teacher: float | None, student: float | None) -> EvaluatedFrame:
    return EvaluatedFrame("set", name, 1, decision, (), 0.4, 0.4, student, teacher, 0)


FRAMES = [
    frame("good accept", "accepted", 0.8, 0.1),
    frame("bad accept", "accepted", 0.6, 0.1),
    frame("worse accept", "accepted", 0.2, 0.1),
    frame("asked", "review", 0.1, 0.1),
    frame("missed", "easy", 0.3, 0.4),
    frame("missed more", "easy", 0.3, 0.1),
    frame("easy", "easy", 0.9, 0.5),
    *(frame("known by boxes", decision, None, None) for decision in ("accepted", "easy")),
]


def test_accepted_masks_that_are_not_good_come_worst_first() -> None:
    assert [one.name for one in false_accepts(FRAMES)] == ["worse accept", "bad accept"]


def test_failures_in_easy_frames_come_worst_first() -> None:
    assert [one.name for one in missed_failures(FRAMES)] == ["missed more", "missed"]
