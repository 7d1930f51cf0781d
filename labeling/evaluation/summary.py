"""Metrics of models and decisions over sets of evaluated frames. The fields are the keys of the JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from labeling.evaluation.detection_metrics import PersonMetrics, summarize_people
from labeling.evaluation.frames import EvaluatedFrame
from labeling.evaluation.metrics import (
    CalibrationMetrics,
    auroc,
    average_precision,
    calibration_metrics,
    share,
)
from labeling.evaluation.temporal_metrics import TemporalMetrics, mean_errors
from labeling.review.occupancy import CELLS
from labeling.review.queue import Candidate, select_frames_for_review

GOOD_FROM = 0.8
"""IoU with ground truth from which a mask is good enough for training."""
BAD_BELOW = 0.5
"""IoU below which a mask is wrong."""
BUDGET = 0.2
"""Share of the hard frames that people have time to review."""
POOLED = "all"


@dataclass(frozen=True, slots=True)
class MiningMetrics:
    """How well low expected agreement finds the student's failures (IoU below `BAD_BELOW`)."""

    failures: int
    auroc: float | None
    ap: float | None
    precision: float | None
    """Share of failures among the hard frames."""
    recall: float | None
    """Share of hard frames among the failures."""


@dataclass(frozen=True, slots=True)
class SelectionMetrics:
    """How many of the frames accepted without review have good masks (IoU of `GOOD_FROM` or more)."""

    hard: int
    good_among_hard: float | None
    """The baseline: the precision of accepting every hard frame."""
    bad_among_hard: float | None
    """Share of hard frames in which the teacher's IoU is below `BAD_BELOW`."""
    accepted: int
    precision: float | None
    """Share of good masks among the accepted frames."""
    recall: float | None
    """Share of accepted frames among the hard frames with a good mask."""


@dataclass(frozen=True, slots=True)
class ReviewMetrics:
    """How much the order of the review queue gains if people review `BUDGET` of the hard frames."""

    waiting: int
    """Frames for review."""
    budget: int
    """Frames that they review: the first of the queue."""
    corrected: float | None
    """Share of all wrong pixels in the hard frames that are in the reviewed frames; frames with only boxes have none."""
    gain: float | None
    """Ratio of `corrected` to its mean for as many random hard frames."""
    gain_over_lowest_iou: float | None
    """Ratio of `corrected` to its value in the order of lowest agreement."""
    people: int | None
    """Different people in all frames, by COCO's `track_id`; None, as for the next two: the ground truth has none."""
    people_shown: int | None
    """Different people in the reviewed frames."""
    people_shown_by_lowest_iou: int | None
    """The same in the order of lowest agreement."""


@dataclass(frozen=True, slots=True)
class SetSummary:
    """Metrics of one set, or of all sets together."""

    frames: int
    with_people: int
    rejected: int
    """Frames rejected by a filter; they are in none of the following."""
    without_masks: int
    """Other frames with only boxes as ground truth; they are not in the IoUs, `mining`, `accepting` and `trusting`."""
    student_iou: float | None
    """Mean over the frames with people."""
    teacher_iou: float | None
    teacher_boundary_iou: float | None
    """The same of the boundary IoU (Cheng et al. 2021)."""
    teacher_people: PersonMetrics | None
    """None if the ground truth or the model does not separate people."""
    student_people: PersonMetrics | None
    teacher_over_time: TemporalMetrics | None
    """Errors of the masks over time; None, as for the next: no two frames are consecutive frames of a video."""
    student_over_time: TemporalMetrics | None
    mining: MiningMetrics
    accepting: SelectionMetrics
    trusting: CalibrationMetrics
    """Of the frames that have trust."""
    reviewing: ReviewMetrics


def summarize_frames(frames: Sequence[EvaluatedFrame]) -> dict[str, SetSummary]:
    """Return the metrics of each set in order of its first frame, and of `POOLED`."""
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
        teacher_boundary_iou=_mean([frame.teacher_boundary_iou for frame in peopled]),
        teacher_people=summarize_people([frame.teacher_people for frame in compared if frame.teacher_people]),
        student_people=summarize_people([frame.student_people for frame in compared if frame.student_people]),
        teacher_over_time=mean_errors([one.teacher_over_time for one in judged if one.teacher_over_time]),
        student_over_time=mean_errors([one.student_over_time for one in judged if one.student_over_time]),
        mining=_mining(judged),
        accepting=_accepting(judged),
        trusting=calibration_metrics(
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
    queue = _first_of_queue(by_iou, budget)
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
    """Count the different tracks."""
    return len({(frame.dataset, track) for frame in frames for track in frame.tracks})


def _first_of_queue(waiting: Sequence[EvaluatedFrame], most: int) -> list[EvaluatedFrame]:
    """Return the frames that a push would send first. Each image is its own shot, so occupancy does not matter."""
    empty = np.zeros(CELLS * CELLS, dtype=np.float16)
    candidates = [
        Candidate(position, frame.value or 0.0, (frame.dataset, position), empty)
        for position, frame in enumerate(waiting)
    ]
    candidates.sort(key=lambda candidate: -candidate.value)
    return [waiting[position] for position in select_frames_for_review(candidates, most=most).frames]


def _below(iou: float | None, threshold: float) -> bool:
    return iou is None or iou < threshold


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def false_accepts(frames: Sequence[EvaluatedFrame]) -> list[EvaluatedFrame]:
    """Return accepted frames whose mask is not good: a student would learn errors from them."""
    accepted = [frame for frame in frames if frame.decision == "accepted"]
    return _worst(accepted, GOOD_FROM, lambda frame: frame.teacher_iou)


def missed_failures(frames: Sequence[EvaluatedFrame]) -> list[EvaluatedFrame]:
    """Return easy frames in which the student is wrong: failures that are not found."""
    easy = [frame for frame in frames if frame.decision == "easy"]
    return _worst(easy, BAD_BELOW, lambda frame: frame.student_iou)


def _worst(
    frames: Sequence[EvaluatedFrame], threshold: float, iou_of: Callable[[EvaluatedFrame], float | None]
) -> list[EvaluatedFrame]:
    """Return the frames below a threshold, lowest IoU first, without those of unknown IoU."""
    known = [(iou, frame) for frame in frames if (iou := iou_of(frame)) is not None and iou < threshold]
    return [frame for _, frame in sorted(known, key=lambda pair: pair[0])]
