"""The probability, computed from evidence, that a teacher's masks are right (IoU with ground truth of 0.8 or more).

Two small logistic regressions: one for each mask, one for all of a frame's masks together. Their
coefficients are in a `Calibration`; `labeling.trust.fit` fits them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from configs.calibration import Calibration, Feature, Logistic, Stage
from labeling.structures.instances import Instance, PersonDecision
from labeling.trust.evidence import Evidence, InstanceEvidence

SURE = 0.99
"""Shares are clipped to [1 - SURE, SURE], so that their log odds stay finite."""


@dataclass(frozen=True, slots=True)
class MaskTrust:
    """Probabilities in [0, 1]."""

    frame: float
    instances: tuple[float, ...]
    """In the order of the evidence."""


def predict_trust(evidence: Evidence, calibration: Calibration) -> MaskTrust | None:
    """Return the trust in the frame and in each mask; None without a mask.

    The mirrored image counts where it is measured: for the frame, and for each mask. NaN evidence and a missing weighted feature give 0. A mask may have trust 0 in a trusted frame, because the
    two regressions weigh different features.
    """
    if not evidence.instances:
        return None
    cheap, full = calibration.cheap, calibration.full or calibration.cheap
    of_frame = cheap if evidence.flip_iou is None else full
    instances = (
        probability(instance_features(one), (cheap if one.flip_iou is None else full).instance)
        for one in evidence.instances
    )
    return MaskTrust(probability(frame_features(evidence), of_frame.frame), tuple(instances))


def measure_by_stage(evidence: Evidence, stage: Stage) -> MaskTrust:
    """Return the trust by one stage's regressions; at least one mask is required."""
    instances = (probability(instance_features(instance), stage.instance) for instance in evidence.instances)
    return MaskTrust(probability(frame_features(evidence), stage.frame), tuple(instances))


def with_trust(teacher: Sequence[Instance], trust: MaskTrust | None) -> tuple[Instance, ...]:
    """Return the instances with their trust; empty masks, which have no evidence, get none."""
    if trust is None:
        return tuple(teacher)
    values = iter(trust.instances)
    return tuple(replace(instance, trust=next(values)) if instance.mask else instance for instance in teacher)


def with_decisions(
    teacher: Sequence[Instance], people: Sequence[PersonDecision] | None
) -> tuple[Instance, ...]:
    """Return the instances with the decisions about them; empty masks, which have no evidence, get none."""
    if people is None:
        return tuple(teacher)
    values = iter(people)
    return tuple(
        replace(instance, decision=next(values)) if instance.mask else instance for instance in teacher
    )


def instance_features(evidence: InstanceEvidence) -> dict[Feature, float]:
    """Return a mask's measured features as log odds."""
    shares: dict[Feature, float | None] = {
        "score": evidence.score,
        "decided": evidence.stability,
        "flip_iou": evidence.flip_iou,
    }
    return {name: log_odds(share) for name, share in shares.items() if share is not None}


def frame_features(evidence: Evidence) -> dict[Feature, float]:
    """Return a frame's features: the log odds of its masks' means, weighted by area.

    A frame is right when the union of its masks is, and a large mask covers more of it. Stability is left
    out: it says nothing about missing masks or masks of objects (docs/calibration.md).
    """
    areas = [instance.area_px for instance in evidence.instances]
    scores = [instance.score for instance in evidence.instances]
    flips = [instance.flip_iou for instance in evidence.instances if instance.flip_iou is not None]
    features: dict[Feature, float] = {"score": log_odds(float(np.average(scores, weights=areas)))}
    if len(flips) == len(areas):
        features["flip_iou"] = log_odds(float(np.average(flips, weights=areas)))
    return features


def log_odds(share: float) -> float:
    """Return ln(p / (1 - p)) of a share clipped to [1 - `SURE`, `SURE`]."""
    clipped = min(max(share, 1 - SURE), SURE)
    return math.log(clipped / (1 - clipped))


def probability(features: Mapping[Feature, float], model: Logistic) -> float:
    """Return the probability by a regression, in [0, 1]; 0 with NaN or without a weighted feature."""
    weighted = sum(weight * features.get(name, math.nan) for name, weight in model.weights.items())
    value = float(expit(model.bias + weighted))
    return value if math.isfinite(value) else 0.0
