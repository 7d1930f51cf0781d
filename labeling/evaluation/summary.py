"""What a set of evaluated frames says about models and decisions. The fields are the keys of the JSON."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labeling.evaluation.calibration_error import CalibrationMetrics, judge_predictions
from labeling.evaluation.detection_metrics import PersonMetrics, summarize_people
from labeling.evaluation.frames import EvaluatedFrame
from labeling.evaluation.metrics import auroc, average_precision, share
from labeling.review.occupancy import CELLS
from labeling.review.queue import Candidate, select_frames_for_review

GOOD_FROM = 0.8
"""IoU with the truth from which a mask is good to learn from."""
BAD_BELOW = 0.5
"""IoU below which a mask is wrong: the student's failures, the teacher's mistakes."""
BUDGET = 0.2
"""Share of the hard frames that people have time for."""
POOLED = "all"


@dataclass(frozen=True, slots=True)
class MiningMetrics:
    """How well low expected agreement finds the frames that the student gets wrong (IoU below `BAD_BELOW`)."""

    failures: int
    """Frames that the student gets wrong."""
    auroc: float | None
    ap: float | None
    precision: float | None
    """Of the frames that were called hard, how many the student gets wrong."""
    recall: float | None
    """Of the frames that the student gets wrong, how many were called hard."""


@dataclass(frozen=True, slots=True)
class SelectionMetrics:
    """Whether the frames that nobody reviews have good masks. A frame's mask is good from `GOOD_FROM` on."""

    hard: int
    good_among_hard: float | None
    """The baseline: the precision of accepting every hard frame."""
    bad_among_hard: float | None
    """Of the hard frames, how many teacher's masks have an IoU below `BAD_BELOW`."""
    accepted: int
    precision: float | None
    """Of the accepted frames, how many have a good mask."""
    recall: float | None
    """Of the hard frames with a good mask, how many were accepted."""


@dataclass(frozen=True, slots=True)
class ReviewMetrics:
    """What the queue's order is worth to people who have time for `BUDGET` of the hard frames."""

    waiting: int
    """Frames for review."""
    budget: int
    """Frames that they look at: the first of the queue."""
    corrected: float | None
    """Share of all pixels to be corrected in the hard frames, as far as the truth has masks, that these hold."""
    gain: float | None
    """That over the share that as many hard frames picked at random hold on average."""
    gain_over_lowest_iou: float | None
    """That over the share that the first of the same frames hold, lowest agreement first."""
    people: int | None
    """Different people in all frames, where the truth follows them through a video (COCO's `track_id`); None,
    as the next two: it does not."""
    people_shown: int | None
    """How many of them the frames show that are looked at."""
    people_shown_by_lowest_iou: int | None
    """How many of them as many of the same frames would show, lowest agreement first."""


@dataclass(frozen=True, slots=True)
class SetSummary:
    """One dataset, or all of them together."""

    frames: int
    with_people: int
    rejected: int
    """By a filter: compared with nothing, and in none of the following."""
    without_masks: int
    """Others whose truth has only boxes: in none of the IoUs, nor in `mining`, `accepting` and `trusting`."""
    student_iou: float | None
    """Mean over the frames with people."""
    teacher_iou: float | None
    teacher_people: PersonMetrics | None
    """The labeled people one by one; None where either the truth or the model does not tell people apart."""
    student_people: PersonMetrics | None
    mining: MiningMetrics
    accepting: SelectionMetrics
    trusting: CalibrationMetrics
    """The calibration's trust in the frames that it says something of."""
    reviewing: ReviewMetrics


def summarize_frames(frames: Sequence[EvaluatedFrame]) -> dict[str, SetSummary]:
    """A summary of each dataset in order of its first frame, and of `POOLED`, all together."""
    names = dict.fromkeys(frame.dataset for frame in frames)
    sets = {name: [frame for frame in frames if frame.dataset == name] for name in names}
    return {name: _summarize(some) for name, some in {**sets, POOLED: list(frames)}.items()}


def _summarize(frames: Sequence[EvaluatedFrame]) -> SetSummary:
    compared = [frame for frame in frames if frame.agreement is not None]
    judged = [frame for frame in compared if frame.teacher_iou is not None]
    peopled = [frame for frame in judged if frame.people]
    return SetSummary(
        frames=len(frames),
        with_people=sum(frame.people > 0 for frame in frames),
        rejected=len(frames) - len(compared),
        without_masks=len(compared) - len(judged),
        student_iou=_mean([frame.student_iou for frame in peopled]),
        teacher_iou=_mean([frame.teacher_iou for frame in peopled]),
        teacher_people=summarize_people([one.teacher_people for one in compared if one.teacher_people]),
        student_people=summarize_people([one.student_people for one in compared if one.student_people]),
        mining=_mining(judged),
        accepting=_accepting(judged),
        trusting=judge_predictions(
            [
                (frame.trust, not _below(frame.teacher_iou, GOOD_FROM))
                for frame in judged
                if frame.trust is not None
            ]
        ),
        reviewing=_reviewing(frames, compared),
    )


def _mining(compared: Sequence[EvaluatedFrame]) -> MiningMetrics:
    is_failure = [_below(frame.student_iou, BAD_BELOW) for frame in compared]
    is_hard = [frame.decision != "easy" for frame in compared]
    disagreement = [1 - (frame.expected_agreement or 0.0) for frame in compared]
    return MiningMetrics(
        failures=sum(is_failure),
        auroc=auroc(disagreement, is_failure),
        ap=average_precision(disagreement, is_failure),
        precision=share([fails for fails, hard in zip(is_failure, is_hard, strict=True) if hard]),
        recall=share([hard for fails, hard in zip(is_failure, is_hard, strict=True) if fails]),
    )


def _accepting(compared: Sequence[EvaluatedFrame]) -> SelectionMetrics:
    hard = [frame for frame in compared if frame.decision != "easy"]
    accepted = [frame for frame in hard if frame.decision == "accepted"]
    good = [frame for frame in hard if not _below(frame.teacher_iou, GOOD_FROM)]
    return SelectionMetrics(
        hard=len(hard),
        good_among_hard=share([not _below(frame.teacher_iou, GOOD_FROM) for frame in hard]),
        bad_among_hard=share([_below(frame.teacher_iou, BAD_BELOW) for frame in hard]),
        accepted=len(accepted),
        precision=share([not _below(frame.teacher_iou, GOOD_FROM) for frame in accepted]),
        recall=share([frame.decision == "accepted" for frame in good]),
    )


def _reviewing(frames: Sequence[EvaluatedFrame], compared: Sequence[EvaluatedFrame]) -> ReviewMetrics:
    hard = [frame for frame in compared if frame.decision != "easy"]
    waiting = [frame for frame in hard if frame.decision == "review"]
    by_iou = sorted(waiting, key=lambda frame: (frame.agreement, frame.dataset, frame.name))
    budget = min(round(BUDGET * len(hard)), len(waiting))
    queue = _choose(by_iou, budget)
    in_all, in_queue, in_lowest = (
        sum(frame.corrected_px or 0 for frame in some) for some in (hard, queue, by_iou[:budget])
    )
    people, shown, shown_by_lowest = (_count_people(some) for some in (frames, queue, by_iou[:budget]))
    return ReviewMetrics(
        waiting=len(waiting),
        budget=budget,
        corrected=in_queue / in_all if in_all else None,
        gain=in_queue / in_all * len(hard) / budget if in_all and budget else None,
        gain_over_lowest_iou=in_queue / in_lowest if in_lowest else None,
        people=people or None,
        people_shown=shown if people else None,
        people_shown_by_lowest_iou=shown_by_lowest if people else None,
    )


def _count_people(frames: Sequence[EvaluatedFrame]) -> int:
    """Those whom the truth tells apart from frame to frame, each once."""
    return len({(frame.dataset, track) for frame in frames for track in frame.tracks})


def _choose(waiting: Sequence[EvaluatedFrame], most: int) -> list[EvaluatedFrame]:
    """What a push would send first. Images are shots of their own: where people are does not matter."""
    nowhere = np.zeros(CELLS * CELLS, dtype=np.float16)
    candidates = [
        Candidate(position, frame.value or 0.0, (frame.dataset, position), nowhere)
        for position, frame in enumerate(waiting)
    ]
    candidates.sort(key=lambda one: -one.value)
    return [waiting[position] for position in select_frames_for_review(candidates, most=most).frames]


def _below(iou: float | None, threshold: float) -> bool:
    return iou is None or iou < threshold


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
