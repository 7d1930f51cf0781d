"""The gain of the review queue's order, counted by hand."""

from dataclasses import replace

from labeling.evaluation.frames import EvaluatedFrame
from labeling.evaluation.summary import ReviewMetrics, false_accepts, missed_failures, summarize_frames


def waiting(name: str, *, agreement: float, value: float | None, corrected_px: int) -> EvaluatedFrame:
    return EvaluatedFrame(
        "set", name, 1, "review", (), agreement, agreement, 0.2, 0.6, corrected_px, value=value
    )


def test_the_queue_starts_with_the_highest_priority_not_the_lowest_agreement() -> None:
    frames = [
        waiting("far away", agreement=0.0, value=0.001, corrected_px=50),
        waiting("large", agreement=0.4, value=0.3, corrected_px=300),
        *(waiting(f"{i}", agreement=0.3, value=0.1, corrected_px=50) for i in range(2)),
        EvaluatedFrame("set", "accepted", 1, "accepted", (), 0.1, 0.1, 0.2, 0.9, 50, value=0.9),
    ]
    reviewing = summarize_frames(frames)["all"].reviewing
    assert reviewing == ReviewMetrics(
        waiting=4,
        budget=1,
        corrected=0.6,
        gain=3,
        gain_over_lowest_iou=6,
        people=None,
        people_shown=None,
        people_shown_by_lowest_iou=None,
    )


def test_without_wrong_pixels_there_is_no_gain() -> None:
    reviewing = summarize_frames([waiting("a", agreement=0.0, value=0.1, corrected_px=0)] * 5)[
        "all"
    ].reviewing
    assert (reviewing.corrected, reviewing.gain, reviewing.gain_over_lowest_iou) == (None, None, None)


def test_each_track_is_counted_once_in_all_frames_and_in_those_shown() -> None:
    one_by_one = [
        replace(waiting(f"{i}", agreement=0.1 * i, value=0.1 * i, corrected_px=1), tracks=(f"{i}",))
        for i in range(4)
    ]
    crowded = replace(waiting("crowded", agreement=0.4, value=0.9, corrected_px=1), tracks=("0", "7", "8"))
    easy = EvaluatedFrame("set", "easy", 1, "easy", (), 0.9, 0.9, 0.9, 0.9, 0, tracks=("0", "9"))
    elsewhere = replace(easy, dataset="other", tracks=("0",))
    sets = summarize_frames([*one_by_one, crowded, easy, elsewhere])
    reviewing = sets["set"].reviewing
    assert reviewing.budget == 1
    assert (reviewing.people, reviewing.people_shown, reviewing.people_shown_by_lowest_iou) == (7, 3, 1)
    assert sets["all"].reviewing.people == 8
    assert sets["other"].reviewing.people_shown == 0


def test_frames_with_only_boxes_are_in_no_mask_metric() -> None:
    masked = [
        EvaluatedFrame("set", "found", 1, "accepted", (), 0.1, 0.1, 0.2, 0.9, 50, trust=0.9, value=0.1),
        EvaluatedFrame("set", "easy", 1, "easy", (), 0.9, 0.9, 0.9, 0.9, 10, trust=0.9),
    ]
    boxed = [
        EvaluatedFrame("boxes", f"{i}", 2, decision, (), 0.1, 0.1, None, None, None, value=0.5)
        for i, decision in enumerate(("accepted", "review", "easy"))
    ]
    alone, sets = summarize_frames(masked)["all"], summarize_frames([*masked, *boxed])
    for name in ("student_iou", "teacher_iou", "mining", "accepting", "trusting"):
        assert getattr(sets["all"], name) == getattr(alone, name)
    assert (sets["all"].frames, sets["all"].with_people, sets["all"].without_masks) == (5, 5, 3)
    of_boxes = sets["boxes"]
    assert (of_boxes.student_iou, of_boxes.mining.auroc, of_boxes.accepting.hard) == (None, None, 0)
    assert (of_boxes.reviewing.waiting, of_boxes.reviewing.corrected) == (1, None)


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
