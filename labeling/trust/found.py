"""The probability that the teacher found every person of a frame.

Two features: the mean score of the masks, weighted by area, because a frame that is difficult for the teacher hides people
from it; and the share of the student's pixels outside the teacher's masks, which may be a person whom it missed. Boxes with
low scores and people who are only in the mirrored image add nothing on sets left out (docs/calibration.md). In a video, gaps
of tracks (`labeling.trust.track_gaps`) and motion outside all masks say more, but only at the end of the clip.
"""

from collections.abc import Sequence

import numpy as np

from configs.calibration import Feature, Logistic, PersonCalibration
from labeling.trust.evidence import Evidence
from labeling.trust.examples import Example
from labeling.trust.regression import fit_logistic
from labeling.trust.scores import log_odds, probability


def found_features(evidence: Evidence) -> dict[Feature, float]:
    """Return the features of a frame with at least one mask."""
    areas = [instance.area_px for instance in evidence.instances]
    scores = [instance.score for instance in evidence.instances]
    features: dict[Feature, float] = {"score": log_odds(float(np.average(scores, weights=areas)))}
    if evidence.student_outside is not None:
        features["student_outside"] = evidence.student_outside
    return features


def predict_found(evidence: Evidence, calibration: PersonCalibration) -> float | None:
    """Return the probability in [0, 1]; None: it was not fitted, or there is no mask."""
    if calibration.found is None or not evidence.instances:
        return None
    return probability(found_features(evidence), calibration.found)


def fit_found(examples: Sequence[Example]) -> Logistic | None:
    """Fit to the frames with masks of which it is known; None if all of them are of one kind."""
    known = [one for one in examples if one.all_found is not None and one.evidence.instances]
    pairs = [(found_features(one.evidence), bool(one.all_found)) for one in known]
    if len({is_found for _, is_found in pairs}) < 2:  # noqa: PLR2004 - both kinds
        return None
    return fit_logistic(pairs, "frames without a missed person")
