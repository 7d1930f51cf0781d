"""Fitting a calibration to frames whose truth is known, and trying it on those that it has not seen.

Folds are whole labelled sets (or videos), since neighbouring pictures say the same again: a calibration
is judged on sets that had no part in it, thresholds included. Only where there are too few sets for that,
folds are fifths of each.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from configs.calibration import Calibration, Feature, Logistic, Stage, Threshold
from labeling.errors import ConfigError, ExtraMissing
from labeling.trust.evidence import Evidence
from labeling.trust.probability import (
    Trust,
    frame_features,
    instance_features,
    measure_by_stage,
    measure_trust,
)

RISKS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5)
"""For which thresholds are told."""
FOLDS_OF_ONE = 5
"""Parts into which sets are divided, in order, where there are too few of them."""
LOST_BY_NOT_ASKING = 0.05
"""Share of the frames accepted at a risk of 5 % that may be lost by asking for fewer mirrored pictures."""
_USUAL_RISK = 0.05
_DIGITS = 6
"""Kept of each number: the files are for people too."""


@dataclass(frozen=True, slots=True)
class Example:
    """A frame whose truth is known."""

    group: str
    """Its labelled set, or video."""
    evidence: Evidence
    """With the mirrored picture's, unless the teacher cannot see those."""
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
    trust: Trust
    accepted: bool
    """At the risk that was asked for."""


def fit_calibration(examples: Sequence[Example], *, teacher: str, good_from: float) -> Calibration:
    """Fit to all examples; thresholds come from folds, so from examples not fitted to.

    Raises:
        ConfigError: too few examples to learn from: all good, or all bad.
    """
    known = [one for one in examples if one.evidence.instances]
    cheap = _fit_stage([_without_mirror(one) for one in known])
    sees_mirrored = any(one.evidence.flip_iou is not None for one in known)
    fitted = Calibration(
        teacher=teacher,
        good_from=good_from,
        cheap=cheap,
        full=_fit_stage(known) if sees_mirrored else None,
        ask_from=0.0,
        thresholds=(),
        fitted_on={group: sum(one.group == group for one in examples) for group in _groups(examples)},
    )
    judged = list(_judge_folds(known))
    thresholds = tuple(_find_thresholds(judged))
    usual = fitted.model_copy(update={"thresholds": thresholds}).accept_from(_USUAL_RISK)
    asked = [cheaply.frame for _, cheaply, fully in judged if usual is not None and fully.frame >= usual]
    ask_from = _floor(float(np.quantile(asked, LOST_BY_NOT_ASKING))) if asked else 0.0
    return fitted.model_copy(update={"thresholds": thresholds, "ask_from": ask_from})


def predict_unseen(examples: Sequence[Example], *, accept_risk: float) -> list[Prediction]:
    """What calibrations say of each group that were fitted, thresholds and all, to the others.

    Frames without masks are left out.

    Raises:
        ConfigError: too few examples to learn from.
    """
    known = [one for one in examples if one.evidence.instances]
    predictions = []
    for seen, unseen in _folds(known):
        calibration = fit_calibration(seen, teacher="", good_from=0.0)
        wanted = calibration.accept_from(accept_risk)
        for example in unseen:
            trust = measure_trust(example.evidence, calibration)
            if trust is not None:
                accepted = wanted is not None and trust.frame >= wanted
                predictions.append(Prediction(example, trust, accepted))
    return predictions


def _judge_folds(examples: Sequence[Example]) -> Iterator[tuple[Example, Trust, Trust]]:
    """Each example with its trust without and with the mirrored picture, fitted to the other folds."""
    for seen, unseen in _folds(examples):
        cheap, full = _fit_stage([_without_mirror(one) for one in seen]), _fit_stage(seen)
        for one in unseen:
            cheaply = measure_by_stage(_without_mirror(one).evidence, cheap)
            yield one, cheaply, measure_by_stage(one.evidence, full)


def _find_thresholds(judged: Sequence[tuple[Example, Trust, Trust]]) -> Iterator[Threshold]:
    """The lowest trust from which on no larger share than each risk was bad."""
    known = [(fully.frame, one.is_good) for one, _, fully in judged if one.is_good is not None]
    ranked = sorted(known, key=lambda pair: -pair[0])
    trust = np.array([value for value, _ in ranked])
    bad = np.cumsum([not is_good for _, is_good in ranked])
    share_of_bad = bad / np.arange(1, len(ranked) + 1)
    is_last_of_equals = np.append(np.diff(trust) != 0, True)
    for risk in RISKS:
        reached = np.flatnonzero((share_of_bad <= risk) & is_last_of_equals)
        if len(reached):
            yield Threshold(risk=risk, trust=_floor(float(trust[reached[-1]])))


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
    the features' own units."""
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler
    except ImportError as exc:
        raise ExtraMissing("fitting wants scikit-learn: pip install 'maskmill[calibrate]'") from exc

    good = sum(is_good for _, is_good in pairs)
    if not 0 < good < len(pairs):
        raise ConfigError(
            f"calibration: {good} of {len(pairs)} {of} are good; it wants good and bad ones to learn from: "
            "add labelled pictures"
        )
    names = sorted(pairs[0][0])
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
