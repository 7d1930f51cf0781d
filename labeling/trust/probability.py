"""From evidence to the probability that a teacher's masks are right (IoU with the truth from 0.8 on).

Two small logistic regressions: one for each mask, one for all of a frame's masks together. Their
coefficients are in a `Calibration`; `labeling.trust.fitting` makes them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from configs.calibration import Calibration, FrameWeights, InstanceWeights, Stage
from labeling.instances import Instance
from labeling.trust.evidence import Evidence, InstanceEvidence

SURE = 0.99
"""Shares are held within 1 - SURE and SURE before their log odds are taken: nothing is infinitely sure."""
MOST_BAD_AREA = 0.2
"""Share of a frame's mask area that may be bad; with more, the union's IoU cannot reach 0.8."""
_STEPS = 100
"""Into which that area is divided."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Probabilities in [0, 1]."""

    frame: float
    instances: tuple[float, ...]
    """In the order of the evidence."""


def measure_trust(evidence: Evidence, calibration: Calibration) -> Trust | None:
    """How far the masks are to be trusted; None where there are none: nothing is known of those.

    A NaN among the evidence gives 0.
    """
    if not evidence.instances:
        return None
    full = calibration.full if evidence.flip_iou is not None else None
    return measure_by_stage(evidence, full or calibration.cheap)


def measure_by_stage(evidence: Evidence, stage: Stage) -> Trust:
    """The same by what one stage knows; there must be a mask."""
    instances = [_probability(instance_features(one), stage.instance) for one in evidence.instances]
    return Trust(_probability(frame_features(evidence, instances), stage.frame), tuple(instances))


def give_trust(teacher: Sequence[Instance], trust: Trust | None) -> tuple[Instance, ...]:
    """The instances with the trust in each; empty masks, of which there is no evidence, have none."""
    if trust is None:
        return tuple(teacher)
    values = iter(trust.instances)
    return tuple(replace(one, trust=next(values)) if one.mask else one for one in teacher)


def instance_features(evidence: InstanceEvidence) -> dict[str, float]:
    """The numbers that an instance's regression weighs: log odds of shares, log2 of the height.

    What was not measured is left out.
    """
    features = {"score": log_odds(evidence.score), "height_px": math.log2(max(evidence.height_px, 1.0))}
    return features | ({} if evidence.flip_iou is None else {"flip_iou": log_odds(evidence.flip_iou)})


def frame_features(evidence: Evidence, instances: Sequence[float]) -> dict[str, float]:
    """The numbers that a frame's regression weighs, as log odds; `instances` are its masks' probabilities."""
    areas = [one.area_px for one in evidence.instances]
    features = {"good_area": log_odds(probability_of_good_area(instances, areas))}
    return features | ({} if evidence.flip_iou is None else {"flip_iou": log_odds(evidence.flip_iou)})


def probability_of_good_area(probabilities: Sequence[float], areas: Sequence[float]) -> float:
    """Probability that masks which are wrong cover at most `MOST_BAD_AREA` of all masks' area.

    Masks are taken to be right independently of each other; the distribution of the wrong area is
    folded mask by mask on a grid of hundredths.

    >>> round(probability_of_good_area([0.9, 0.5], [95, 5]), 3)
    0.9
    """
    steps = np.rint(_STEPS * np.asarray(areas) / sum(areas)).astype(int)
    wrong: NDArray[np.float64] = np.zeros(_STEPS + len(steps) + 1)
    wrong[0] = 1.0
    for step, probability in zip(steps.tolist(), probabilities, strict=True):
        moved = np.concatenate((np.zeros(step), wrong[: len(wrong) - step]))
        wrong = probability * wrong + (1 - probability) * moved
    return float(wrong[: round(MOST_BAD_AREA * _STEPS) + 1].sum())


def log_odds(share: float) -> float:
    """ln(p / (1 - p)) of a share held within 1 - `SURE` and `SURE`."""
    held = min(max(share, 1 - SURE), SURE)
    return math.log(held / (1 - held))


def _probability(features: Mapping[str, float], model: InstanceWeights | FrameWeights) -> float:
    weighed = sum(weight * features[name] for name, weight in model.weights.items())
    value = float(expit(model.bias + weighed))
    return value if math.isfinite(value) else 0.0
