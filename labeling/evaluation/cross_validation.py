"""Cross-validation of a calibration: its predictions for frames that it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass

from labeling.evaluation.metrics import CalibrationMetrics, calibration_metrics, share
from labeling.evaluation.summary import POOLED
from labeling.trust.exact_bounds import good_at_least
from labeling.trust.unseen import Prediction


@dataclass(frozen=True, slots=True)
class AcceptedFrames:
    """The frames that would be accepted at the configured risk."""

    frames: int
    good: float | None
    """Share of good frames: the precision of accepting all."""
    accepted: int
    precision: float | None
    """Share of good frames among the accepted."""
    recall: float | None
    """Share of accepted frames among the good."""


HARD_BELOW = 0.5
"""IoU with the student around a person below which the person is hard: the default of `agreement.hard_below`."""
CONFIDENCE = 0.95
"""Of the lower bound of a precision."""


@dataclass(frozen=True, slots=True)
class AcceptedPersons:
    """Persons whom the student does not see as the teacher does, in all frames."""

    persons: int
    good: int
    accepted: int
    """By the decision about each person (`trust.unit: person`)."""
    precision: float | None
    """Share of good ones among the accepted."""
    at_least: float
    """Exact lower bound of the precision (Clopper and Pearson), with a confidence of 95 % if persons are independent."""
    recall: float | None
    """Share of accepted ones among the good."""


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Results for one labeled set that the calibration has not seen, or for all sets together."""

    hard: AcceptedFrames
    every: AcceptedFrames
    """Hard frames, and those on which student and teacher agree."""
    frames: CalibrationMetrics
    masks: CalibrationMetrics
    hard_persons: AcceptedPersons
    """By the decision about each person; the two below: hard persons by the decision about frames, and easy persons."""
    hard_persons_of_frames: AcceptedPersons
    easy_persons: AcceptedPersons
    found: CalibrationMetrics
    """Whether every person is found."""


def summarize_predictions(predictions: Sequence[Prediction]) -> dict[str, CrossValidation]:
    """Return results for each group in order, and for `POOLED`; frames without a known label are left out."""
    groups = dict.fromkeys(prediction.example.group for prediction in predictions)
    parts = {
        name: [prediction for prediction in predictions if prediction.example.group == name]
        for name in groups
    }
    return {name: _summarize(some) for name, some in {**parts, POOLED: list(predictions)}.items()}


def _summarize(predictions: Sequence[Prediction]) -> CrossValidation:
    judged = [prediction for prediction in predictions if prediction.example.is_good is not None]
    masks = [
        (trust, is_good)
        for prediction in predictions
        for trust, is_good in zip(prediction.trust.instances, prediction.example.good_masks, strict=True)
        if is_good is not None
    ]
    return CrossValidation(
        hard=_accepted([prediction for prediction in judged if prediction.example.is_hard]),
        every=_accepted(judged),
        frames=calibration_metrics(
            [(prediction.trust.frame, bool(prediction.example.is_good)) for prediction in judged]
        ),
        masks=calibration_metrics(masks),
        hard_persons=_accepted_persons(_judge_people(predictions, is_hard=True)),
        hard_persons_of_frames=_accepted_persons(_judge_people(predictions, is_hard=True, by_frame=True)),
        easy_persons=_accepted_persons(_judge_people(predictions, is_hard=False)),
        found=calibration_metrics(
            [
                (prediction.people.found, prediction.example.all_found)
                for prediction in predictions
                if prediction.people and prediction.people.found is not None
                if prediction.example.all_found is not None
            ]
        ),
    )


def _judge_people(
    predictions: Sequence[Prediction], *, is_hard: bool, by_frame: bool = False
) -> list[tuple[bool, bool]]:
    """Return for each hard or easy person whose mask was judged whether it is accepted and whether it is good."""
    judged = []
    for prediction in predictions:
        if prediction.people is None:
            continue
        example, decided = prediction.example, prediction.people
        of_frame = prediction.accepted and example.is_hard
        rows = zip(example.evidence.instances, decided.people, example.good_masks, strict=True)
        for evidence, decision, is_good in rows:
            is_one = (evidence.student_iou is None or evidence.student_iou < HARD_BELOW) == is_hard
            if is_good is not None and is_one:
                by_itself = decision == "accepted" and decided.is_all_found
                judged.append((of_frame if by_frame else by_itself, is_good))
    return judged


def _accepted_persons(judged: Sequence[tuple[bool, bool]]) -> AcceptedPersons:
    accepted = [is_good for is_accepted, is_good in judged if is_accepted]
    return AcceptedPersons(
        persons=len(judged),
        good=sum(is_good for _, is_good in judged),
        accepted=len(accepted),
        precision=share(accepted),
        at_least=good_at_least(sum(accepted), len(accepted), confidence=CONFIDENCE),
        recall=share([is_accepted for is_accepted, is_good in judged if is_good]),
    )


def _accepted(judged: Sequence[Prediction]) -> AcceptedFrames:
    accepted = [bool(prediction.example.is_good) for prediction in judged if prediction.accepted]
    return AcceptedFrames(
        frames=len(judged),
        good=share([bool(prediction.example.is_good) for prediction in judged]),
        accepted=len(accepted),
        precision=share(accepted),
        recall=share([prediction.accepted for prediction in judged if prediction.example.is_good]),
    )
