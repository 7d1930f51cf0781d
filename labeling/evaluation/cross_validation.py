"""How far a calibration can be believed: what it said of frames that it had not seen."""

from collections.abc import Sequence
from dataclasses import dataclass

from labeling.evaluation.calibration_error import CalibrationMetrics, judge_predictions
from labeling.evaluation.metrics import share
from labeling.evaluation.summary import POOLED
from labeling.trust.fit import Prediction


@dataclass(frozen=True, slots=True)
class AcceptedFrames:
    """What would be accepted of some frames, at the risk that was asked for."""

    frames: int
    good: float | None
    """Share of good ones among them: the precision of accepting all."""
    accepted: int
    precision: float | None
    """Share of good ones among the accepted."""
    recall: float | None
    """Share of the good ones that are accepted."""


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """One labeled set that the calibration had not seen, or all of them together."""

    hard: AcceptedFrames
    every: AcceptedFrames
    """Also frames on which student and teacher agree."""
    frames: CalibrationMetrics
    masks: CalibrationMetrics


def summarize_predictions(predictions: Sequence[Prediction]) -> dict[str, CrossValidation]:
    """A summary of each group in order, and of `POOLED`, all together; frames nobody can judge are left out."""
    groups = dict.fromkeys(one.example.group for one in predictions)
    parts = {name: [one for one in predictions if one.example.group == name] for name in groups}
    return {name: _summarize(some) for name, some in {**parts, POOLED: list(predictions)}.items()}


def _summarize(predictions: Sequence[Prediction]) -> CrossValidation:
    judged = [one for one in predictions if one.example.is_good is not None]
    masks = [
        (trust, is_good)
        for one in predictions
        for trust, is_good in zip(one.trust.instances, one.example.good_masks, strict=True)
        if is_good is not None
    ]
    return CrossValidation(
        hard=_accepted([one for one in judged if one.example.is_hard]),
        every=_accepted(judged),
        frames=judge_predictions([(one.trust.frame, bool(one.example.is_good)) for one in judged]),
        masks=judge_predictions(masks),
    )


def _accepted(judged: Sequence[Prediction]) -> AcceptedFrames:
    accepted = [bool(one.example.is_good) for one in judged if one.accepted]
    return AcceptedFrames(
        frames=len(judged),
        good=share([bool(one.example.is_good) for one in judged]),
        accepted=len(accepted),
        precision=share(accepted),
        recall=share([one.accepted for one in judged if one.example.is_good]),
    )
