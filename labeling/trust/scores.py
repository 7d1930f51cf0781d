"""From evidence to the probability that a teacher's masks are right (IoU with the truth from 0.8 on).

Two small logistic regressions: one for each mask, one for all of a frame's masks together. Their
coefficients are in a `Calibration`; `labeling.trust.fit` makes them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from configs.calibration import Calibration, Feature, Logistic, Stage
from labeling.structures.instances import Instance
from labeling.trust.evidence import Evidence, InstanceEvidence

SURE = 0.99
"""Shares are held within 1 - SURE and SURE before their log odds are taken: nothing is infinitely sure."""


@dataclass(frozen=True, slots=True)
class MaskTrust:
    """Probabilities in [0, 1]."""

    frame: float
    instances: tuple[float, ...]
    """In the order of the evidence."""


def predict_trust(evidence: Evidence, calibration: Calibration) -> MaskTrust | None:
    """How far the masks are to be trusted; None where there are none: nothing is known of those.

    A NaN among the evidence gives 0, and so does a missing number that is weighed: a mask may be trusted with 0 in a
    frame that is trusted by other numbers.
    """
    if not evidence.instances:
        return None
    full = calibration.full if evidence.flip_iou is not None else None
    return measure_by_stage(evidence, full or calibration.cheap)


def measure_by_stage(evidence: Evidence, stage: Stage) -> MaskTrust:
    """The same by what one stage knows; there must be a mask."""
    instances = (_probability(instance_features(one), stage.instance) for one in evidence.instances)
    return MaskTrust(_probability(frame_features(evidence), stage.frame), tuple(instances))


def with_trust(teacher: Sequence[Instance], trust: MaskTrust | None) -> tuple[Instance, ...]:
    """The instances with the trust in each; empty masks, of which there is no evidence, have none."""
    if trust is None:
        return tuple(teacher)
    values = iter(trust.instances)
    return tuple(replace(one, trust=next(values)) if one.mask else one for one in teacher)


def instance_features(evidence: InstanceEvidence) -> dict[Feature, float]:
    """The numbers that a mask's regression weighs, as log odds; what was not measured is left out."""
    shares: dict[Feature, float | None] = {
        "score": evidence.score,
        "decided": evidence.stability,
        "flip_iou": evidence.flip_iou,
    }
    return {name: log_odds(share) for name, share in shares.items() if share is not None}


def frame_features(evidence: Evidence) -> dict[Feature, float]:
    """The numbers that a frame's regression weighs: the log odds of its masks' means, weighed by area.

    A frame's masks are right when their union is, to which a mask adds what it covers. How decided masks
    are says nothing of those that are missing or show nobody, and is left out (docs/calibration.md).
    """
    areas = [one.area_px for one in evidence.instances]
    scores = [one.score for one in evidence.instances]
    flips = [one.flip_iou for one in evidence.instances if one.flip_iou is not None]
    features: dict[Feature, float] = {"score": log_odds(float(np.average(scores, weights=areas)))}
    if len(flips) == len(areas):
        features["flip_iou"] = log_odds(float(np.average(flips, weights=areas)))
    return features


def log_odds(share: float) -> float:
    """ln(p / (1 - p)) of a share held within 1 - `SURE` and `SURE`."""
    held = min(max(share, 1 - SURE), SURE)
    return math.log(held / (1 - held))


def _probability(features: Mapping[Feature, float], model: Logistic) -> float:
    weighed = sum(weight * features.get(name, math.nan) for name, weight in model.weights.items())
    value = float(expit(model.bias + weighed))
    return value if math.isfinite(value) else 0.0
