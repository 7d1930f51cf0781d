"""Cross-validation of a calibration: its predictions for frames that it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass

from labeling.evaluation.metrics import CalibrationMetrics, calibration_metrics, share
from labeling.evaluation.summary import POOLED
from labeling.trust.fit import Prediction


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


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Results for one labeled set that the calibration has not seen, or for all sets together."""

    hard: AcceptedFrames
    every: AcceptedFrames
    """Hard frames, and those on which student and teacher agree."""
    frames: CalibrationMetrics
    masks: CalibrationMetrics


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
