"""What the order of the review queue is worth, counted by hand."""

from labeling.evaluation.frames import EvaluatedFrame
from labeling.evaluation.summary import Reviewing, summarise_frames


def waiting(name: str, *, agreement: float, value: float | None, corrected_px: int) -> EvaluatedFrame:
    return EvaluatedFrame("set", name, 1, "review", (), agreement, 0.2, 0.6, corrected_px, value=value)


def test_the_queue_looks_at_the_most_valuable_frames_first_however_low_the_others_agree() -> None:
    frames = [
        waiting("far away", agreement=0.0, value=0.001, corrected_px=50),
        waiting("large", agreement=0.4, value=0.3, corrected_px=300),
        *(waiting(f"{i}", agreement=0.3, value=0.1, corrected_px=50) for i in range(2)),
        EvaluatedFrame("set", "accepted", 1, "accepted", (), 0.1, 0.2, 0.9, 50, value=0.9),
    ]
    reviewing = summarise_frames(frames)["all"].reviewing
    assert reviewing == Reviewing(
        waiting=4,
        budget=1,
        corrected=0.6,
        gain=3,
        gain_over_lowest_iou=6,
    )


def test_where_nothing_is_to_be_corrected_nothing_is_gained() -> None:
    reviewing = summarise_frames([waiting("a", agreement=0.0, value=0.1, corrected_px=0)] * 5)[
        "all"
    ].reviewing
    assert (reviewing.corrected, reviewing.gain, reviewing.gain_over_lowest_iou) == (None, None, None)
