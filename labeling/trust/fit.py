"""Fitting a calibration to frames with ground truth, and testing it on frames that it has not seen.

Folds are whole labeled sets (or videos), because neighboring images are nearly the same: a calibration,
thresholds included, is judged on sets that had no part in it. Only where there are too few sets, folds are
fifths of each set.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.calibration import Calibration, Feature, Logistic, Stage, Threshold
from configs.errors import ConfigError, ExtraMissing
from labeling.trust.evidence import Evidence
from labeling.trust.scores import (
    MaskTrust,
    frame_features,
    instance_features,
    measure_by_stage,
    predict_trust,
)

RISKS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5)
"""Risks for which thresholds are computed."""
FOLDS_OF_ONE = 5
"""Parts into which each set is divided, in order, where there are too few sets."""
ASKING_MARGIN = 0.7
"""The mirrored image is measured from this share of the lowest cheap trust of an accepted frame. On left-out sets that
accepts the same frames as always measuring it, up to 0.8, and measures 6 of 53 hard frames."""
_DIGITS = 6
"""Decimals of each number in the file, which people read too."""


@dataclass(frozen=True, slots=True)
class Example:
    """A frame with ground truth."""

    group: str
    """Its labeled set, or video."""
    evidence: Evidence
    """With the mirrored image's, unless the teacher cannot see mirrored images."""
    good_masks: tuple[bool | None, ...]
    """For each instance of the evidence, whether its mask is good; None: not known."""
    is_good: bool | None
    """Whether the union of all masks is good; None: not known."""
    is_hard: bool = True
    """Student and teacher disagree: only such frames are ever accepted."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for an example by a calibration that has not seen its group."""

    example: Example
    trust: MaskTrust
    accepted: bool
    """At the configured risk."""


def check_scikit_learn() -> None:
    """Raise `ExtraMissing` if scikit-learn is not installed; only fitting requires it."""
    if find_spec("sklearn") is None:
        raise ExtraMissing("fitting requires scikit-learn: pip install 'maskmill[calibrate]'")


def fit_calibration(
    examples: Sequence[Example],
    *,
    teacher: str,
    good_from: float,
    weights_sha256: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Calibration:
    """Fit to all examples; the thresholds come from folds, so from examples not fitted to."""
    known = [example for example in examples if example.evidence.instances]
    sees_mirrored = any(example.evidence.flip_iou is not None for example in known)
    return Calibration(
        teacher=teacher,
        weights_sha256=weights_sha256,
        settings=dict(settings or {}),
        good_from=good_from,
        cheap=_fit_stage([_without_mirror(example) for example in known]),
        full=_fit_stage(known) if sees_mirrored else None,
        thresholds=tuple(_find_thresholds(list(_predict_folds(known)))),
        fitted_on=dict(Counter(example.group for example in examples)),
    )


def predict_unseen(examples: Sequence[Example], *, accept_risk: float) -> list[Prediction]:
    """Return predictions for each group by a calibration, thresholds included, fitted to the other groups.

    Frames without masks are left out.
    """
    known = [example for example in examples if example.evidence.instances]
    predictions = []
    for seen, unseen in _folds(known):
        calibration = fit_calibration(seen, teacher="", good_from=0.0)
        threshold = calibration.threshold(accept_risk)
        for example in unseen:
            cheap = predict_trust(_without_mirror(example).evidence, calibration)
            trust = predict_trust(example.evidence, calibration)
            if trust is not None and cheap is not None:
                accepted = (
                    threshold is not None
                    and cheap.frame >= threshold.ask_from
                    and trust.frame >= threshold.trust
                )
                predictions.append(Prediction(example, trust, accepted))
    return predictions


def _predict_folds(examples: Sequence[Example]) -> Iterator[tuple[Example, MaskTrust, MaskTrust]]:
    """Yield each example with its trust without and with the mirrored image, fitted to the other folds."""
    for seen, unseen in _folds(examples):
        cheap, full = _fit_stage([_without_mirror(example) for example in seen]), _fit_stage(seen)
        for example in unseen:
            cheap_trust = measure_by_stage(_without_mirror(example).evidence, cheap)
            yield example, cheap_trust, measure_by_stage(example.evidence, full)


def _find_thresholds(predicted: Sequence[tuple[Example, MaskTrust, MaskTrust]]) -> Iterator[Threshold]:
    """Yield, for each risk, the lowest trust above which at most that share is bad, of at least 1 / risk frames."""
    known = sorted((row for row in predicted if row[0].is_good is not None), key=lambda row: -row[2].frame)
    trust = np.array([full.frame for _, _, full in known])
    cheap = np.array([cheap.frame for _, cheap, _ in known])
    bad = np.cumsum([not example.is_good for example, _, _ in known])
    count = np.arange(1, len(known) + 1)
    is_last_of_equals = np.append(np.diff(trust) != 0, True)
    for risk in RISKS:
        reached = np.flatnonzero((bad <= risk * count) & (risk * count >= 1) & is_last_of_equals)
        if len(reached):
            last = reached[-1]
            ask_from = ASKING_MARGIN * float(cheap[: last + 1].min())
            yield Threshold(risk=risk, trust=_floor(float(trust[last])), ask_from=_floor(ask_from))


def _fit_stage(examples: Sequence[Example]) -> Stage:
    masks = [
        (instance_features(mask), is_good)
        for example in examples
        for mask, is_good in zip(example.evidence.instances, example.good_masks, strict=True)
        if is_good is not None
    ]
    frames = [
        (frame_features(example.evidence), example.is_good)
        for example in examples
        if example.is_good is not None
    ]
    return Stage(instance=_fit(masks, "masks"), frame=_fit(frames, "frames"))


def _fit(pairs: Sequence[tuple[Mapping[Feature, float], bool]], noun: str) -> Logistic:
    """Fit scikit-learn's L2-regularized logistic regression to standardized features.

    The coefficients are given in the features' own units. Features that some examples lack are left out.
    """
    check_scikit_learn()
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    good = sum(is_good for _, is_good in pairs)
    if not 0 < good < len(pairs):
        raise ConfigError(
            f"calibration: {good} of {len(pairs)} {noun} are good, but fitting requires good and bad ones; "
            "add labeled images"
        )
    names = sorted(set.intersection(*(set(features) for features, _ in pairs)))
    table: NDArray[np.float64] = np.array([[features[name] for name in names] for features, _ in pairs])
    scaler = StandardScaler().fit(table)
    model = LogisticRegression().fit(scaler.transform(table), [is_good for _, is_good in pairs])
    weights = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - (weights * scaler.mean_).sum())
    rounded = {name: round(float(weight), _DIGITS) for name, weight in zip(names, weights, strict=True)}
    return Logistic(bias=round(bias, _DIGITS), weights=rounded)


def _folds(examples: Sequence[Example]) -> Iterator[tuple[list[Example], list[Example]]]:
    """Yield each group as unseen with the others as seen.

    If the others do not suffice to fit to, as for a single group, folds are fifths of all groups in order;
    fifths that do not suffice either are left out.
    """
    by_group = list(_leave_out(examples, [example.group for example in examples]))
    if all(_suffice(seen) for seen, _ in by_group):
        yield from by_group
        return
    sizes = Counter(example.group for example in examples)
    fifths = {group: iter([n * FOLDS_OF_ONE // size for n in range(size)]) for group, size in sizes.items()}
    by_fifth = _leave_out(examples, [str(next(fifths[example.group])) for example in examples])
    yield from (fold for fold in by_fifth if _suffice(fold[0]))


def _leave_out(
    examples: Sequence[Example], names: Sequence[str]
) -> Iterator[tuple[list[Example], list[Example]]]:
    pairs = list(zip(examples, names, strict=True))
    for left_out in dict.fromkeys(names):
        yield (
            [example for example, name in pairs if name != left_out],
            [example for example, name in pairs if name == left_out],
        )


def _suffice(examples: Sequence[Example]) -> bool:
    """Return whether there are good and bad masks, and good and bad frames."""
    masks = {is_good for example in examples for is_good in example.good_masks}
    frames = {example.is_good for example in examples}
    return {True, False} <= masks and {True, False} <= frames


def _without_mirror(example: Example) -> Example:
    instances = tuple(replace(instance, flip_iou=None) for instance in example.evidence.instances)
    return replace(example, evidence=Evidence(instances))


def _floor(value: float) -> float:
    return float(np.floor(value * 10**_DIGITS) / 10**_DIGITS)
