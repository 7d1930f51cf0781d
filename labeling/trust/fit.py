"""Fitting a calibration to frames whose truth is known, and trying it on those that it has not seen.

Folds are whole labeled sets (or videos), since neighboring images say the same again: a calibration
is judged on sets that had no part in it, thresholds included. Only where there are too few sets for that,
folds are fifths of each.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.calibration import Calibration, Feature, Logistic, Stage, Threshold
from configs.errors import ConfigError
from labeling.errors import ExtraMissing
from labeling.trust.evidence import Evidence
from labeling.trust.scores import (
    MaskTrust,
    frame_features,
    instance_features,
    measure_by_stage,
    predict_trust,
)

RISKS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5)
"""For which thresholds are told."""
FOLDS_OF_ONE = 5
"""Parts into which sets are divided, in order, where there are too few of them."""
ASKING_MARGIN = 0.7
"""Of the lowest cheap trust from which a frame came to be accepted: from there on the mirrored image is asked
for. On sets left out that accepts what always asking accepts, up to 0.8, and asks for 6 of 53 hard frames."""
_DIGITS = 6
"""Kept of each number: the files are for people too."""


@dataclass(frozen=True, slots=True)
class Example:
    """A frame whose truth is known."""

    group: str
    """Its labeled set, or video."""
    evidence: Evidence
    """With the mirrored image's, unless the teacher cannot see those."""
    good_masks: tuple[bool | None, ...]
    """Of each of the evidence's instances; None: nobody can say."""
    is_good: bool | None
    """Whether the union of all masks is; None: nobody can say."""
    is_hard: bool = True
    """Whether student and teacher disagree: only such frames are ever accepted."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a calibration that had not seen an example's group says of it."""

    example: Example
    trust: MaskTrust
    accepted: bool
    """At the risk that was asked for."""


def check_scikit_learn() -> None:
    """Raises `ExtraMissing` where it is not installed; runs do not need it."""
    if find_spec("sklearn") is None:
        raise ExtraMissing("fitting wants scikit-learn: pip install 'maskmill[calibrate]'")


def fit_calibration(
    examples: Sequence[Example],
    *,
    teacher: str,
    good_from: float,
    weights_sha256: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Calibration:
    """Fit to all examples; thresholds come from folds, so from examples not fitted to.

    Raises:
        ConfigError: too few examples to learn from: all good, or all bad.
        ExtraMissing: scikit-learn is not installed.
    """
    known = [one for one in examples if one.evidence.instances]
    sees_mirrored = any(one.evidence.flip_iou is not None for one in known)
    return Calibration(
        teacher=teacher,
        weights_sha256=weights_sha256,
        settings=dict(settings or {}),
        good_from=good_from,
        cheap=_fit_stage([_without_mirror(one) for one in known]),
        full=_fit_stage(known) if sees_mirrored else None,
        thresholds=tuple(_find_thresholds(list(_judge_folds(known)))),
        fitted_on={group: sum(one.group == group for one in examples) for group in _groups(examples)},
    )


def predict_unseen(examples: Sequence[Example], *, accept_risk: float) -> list[Prediction]:
    """What calibrations say of each group that were fitted, thresholds and all, to the others.

    Frames without masks are left out.

    Raises:
        ConfigError: too few examples to learn from.
        ExtraMissing: scikit-learn is not installed.
    """
    known = [one for one in examples if one.evidence.instances]
    predictions = []
    for seen, unseen in _folds(known):
        calibration = fit_calibration(seen, teacher="", good_from=0.0)
        wanted = calibration.threshold(accept_risk)
        for example in unseen:
            cheaply = predict_trust(_without_mirror(example).evidence, calibration)
            trust = predict_trust(example.evidence, calibration)
            if trust is not None and cheaply is not None:
                is_asked = wanted is not None and cheaply.frame >= wanted.ask_from
                accepted = is_asked and wanted is not None and trust.frame >= wanted.trust
                predictions.append(Prediction(example, trust, accepted))
    return predictions


def _judge_folds(examples: Sequence[Example]) -> Iterator[tuple[Example, MaskTrust, MaskTrust]]:
    """Each example with its trust without and with the mirrored image, fitted to the other folds."""
    for seen, unseen in _folds(examples):
        cheap, full = _fit_stage([_without_mirror(one) for one in seen]), _fit_stage(seen)
        for one in unseen:
            cheaply = measure_by_stage(_without_mirror(one).evidence, cheap)
            yield one, cheaply, measure_by_stage(one.evidence, full)


def _find_thresholds(judged: Sequence[tuple[Example, MaskTrust, MaskTrust]]) -> Iterator[Threshold]:
    """The lowest trust from which on no larger share than each risk was bad, by at least 1 / risk frames."""
    known = sorted((one for one in judged if one[0].is_good is not None), key=lambda one: -one[2].frame)
    trust = np.array([fully.frame for _, _, fully in known])
    cheap = np.array([cheaply.frame for _, cheaply, _ in known])
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
        for one in examples
        for mask, is_good in zip(one.evidence.instances, one.good_masks, strict=True)
        if is_good is not None
    ]
    frames = [(frame_features(one.evidence), one.is_good) for one in examples if one.is_good is not None]
    return Stage(instance=_fit(masks, "masks"), frame=_fit(frames, "frames"))


def _fit(pairs: Sequence[tuple[Mapping[Feature, float], bool]], of: str) -> Logistic:
    """Logistic regression with scikit-learn's usual L2 penalty on standardised features, written back in
    the features' own units. Features that some lack are left out."""
    check_scikit_learn()
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    good = sum(is_good for _, is_good in pairs)
    if not 0 < good < len(pairs):
        raise ConfigError(
            f"calibration: {good} of {len(pairs)} {of} are good; it wants good and bad ones to learn from: "
            "add labeled images"
        )
    names = sorted(set.intersection(*(set(features) for features, _ in pairs)))
    table: NDArray[np.float64] = np.array([[features[name] for name in names] for features, _ in pairs])
    scaler = StandardScaler().fit(table)
    model = LogisticRegression().fit(scaler.transform(table), [is_good for _, is_good in pairs])
    weights = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - (weights * scaler.mean_).sum())
    rounded = {name: round(float(one), _DIGITS) for name, one in zip(names, weights, strict=True)}
    return Logistic(bias=round(bias, _DIGITS), weights=rounded)


def _folds(examples: Sequence[Example]) -> Iterator[tuple[list[Example], list[Example]]]:
    """Each group once as the one not seen. Where the rest teaches nothing, as with a single group: each fifth
    of all groups in order; what cannot be learnt even so is left out."""
    by_group = list(_leave_out(examples, [one.group for one in examples]))
    places = {group: iter(_fifths(count)) for group, count in Counter(one.group for one in examples).items()}
    by_fifth = _leave_out(examples, [str(next(places[one.group])) for one in examples])
    is_whole = all(_teaches(seen) for seen, _ in by_group)
    yield from by_group if is_whole else [fold for fold in by_fifth if _teaches(fold[0])]


def _leave_out(
    examples: Sequence[Example], names: Sequence[str]
) -> Iterator[tuple[list[Example], list[Example]]]:
    pairs = list(zip(examples, names, strict=True))
    for left_out in dict.fromkeys(names):
        yield (
            [one for one, name in pairs if name != left_out],
            [one for one, name in pairs if name == left_out],
        )


def _fifths(count: int) -> list[int]:
    return [place * FOLDS_OF_ONE // count for place in range(count)]


def _teaches(examples: Sequence[Example]) -> bool:
    """Whether there are good and bad masks, and good and bad frames."""
    masks = {is_good for one in examples for is_good in one.good_masks}
    frames = {one.is_good for one in examples}
    return {True, False} <= masks and {True, False} <= frames


def _groups(examples: Sequence[Example]) -> list[str]:
    return list(dict.fromkeys(one.group for one in examples))


def _without_mirror(example: Example) -> Example:
    instances = tuple(replace(one, flip_iou=None) for one in example.evidence.instances)
    return replace(example, evidence=Evidence(instances))


def _floor(value: float) -> float:
    return float(np.floor(value * 10**_DIGITS) / 10**_DIGITS)
