"""Fitting a calibration to frames with ground truth, and testing it on frames that it has not seen.

Folds are whole labeled sets (or videos), because neighboring images are nearly the same: a calibration,
thresholds included, is judged on sets that had no part in it. Only where there are too few sets, folds are
fifths of each set.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from configs.calibration import Calibration, PersonCalibration, Stage, Threshold
from labeling.trust.evidence import Evidence
from labeling.trust.examples import Example
from labeling.trust.found import fit_found
from labeling.trust.person_steps import find_steps, judged_persons
from labeling.trust.regression import fit_logistic, floor_number
from labeling.trust.scores import (
    MaskTrust,
    frame_features,
    instance_features,
    measure_by_stage,
)

RISKS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5)
"""Risks for which thresholds are computed."""
FOLDS_OF_ONE = 5
"""Parts into which each set is divided, in order, where there are too few sets."""
ASKING_MARGIN = 0.7
"""The mirrored image is measured from this share of the lowest cheap trust of an accepted frame. On left-out sets that
accepts the same frames as always measuring it, up to 0.8, and measures 6 of 53 hard frames."""


def fit_calibration(  # noqa: PLR0913 - the examples, and what the file records about its fit
    examples: Sequence[Example],
    *,
    teacher: str,
    good_from: float,
    weights_sha256: str = "",
    settings: Mapping[str, Any] | None = None,
    hard_below: float = 0.5,
    promise_on_composites: bool = False,
) -> Calibration:
    """Fit to all examples; the thresholds come from folds, so from examples not fitted to.

    `hard_below` is the IoU with the student around a person below which the person is hard. With `promise_on_composites`,
    they count as videos, too, for a promise about videos like the mixture.
    """
    known = [example for example in examples if example.evidence.instances and not example.is_synthetic]
    sees_mirrored = any(example.evidence.flip_iou is not None for example in known)
    predicted = list(_predict_folds(known))
    return Calibration(
        teacher=teacher,
        weights_sha256=weights_sha256,
        settings=dict(settings or {}),
        good_from=good_from,
        cheap=_fit_stage([without_mirror(example) for example in known]),
        full=_fit_stage(known) if sees_mirrored else None,
        thresholds=tuple(_find_thresholds(predicted)),
        persons=_fit_persons(examples, predicted, hard_below, promise_on_composites),
        fitted_on=dict(Counter(example.group for example in examples)),
    )


def _fit_persons(
    examples: Sequence[Example],
    predicted: Sequence[tuple[Example, MaskTrust, MaskTrust]],
    hard_below: float,
    promise_on_composites: bool,
) -> PersonCalibration | None:
    """Return the steps of hard and easy persons; None if the student's share in them was not measured."""
    composites = [one for one in examples if one.is_synthetic and one.evidence.instances]
    if composites:
        real = [example for example, *_ in predicted]
        predicted = [*predicted, *_predict_with(_fit_stages(real), composites)]
    persons = [person for row in predicted for person in judged_persons(*row)]
    if not persons:
        return None
    is_hard = [person.student_iou < hard_below for person in persons]
    hard = [person for person, is_one in zip(persons, is_hard, strict=True) if is_one]
    easy = [person for person, is_one in zip(persons, is_hard, strict=True) if not is_one]
    return PersonCalibration(
        hard=find_steps(hard, promise_on_composites=promise_on_composites),
        easy=find_steps(easy, promise_on_composites=promise_on_composites),
        hard_below=hard_below,
        found=fit_found([one for one in examples if not one.is_synthetic]),
    )


def _predict_folds(examples: Sequence[Example]) -> Iterator[tuple[Example, MaskTrust, MaskTrust]]:
    """Yield each example with its trust without and with the mirrored image, fitted to the other folds."""
    for seen, unseen in leave_groups_out(examples):
        yield from _predict_with(_fit_stages(seen), unseen)


def _fit_stages(examples: Sequence[Example]) -> tuple[Stage, Stage]:
    """Return the stages without and with the mirrored image."""
    return _fit_stage([without_mirror(example) for example in examples]), _fit_stage(examples)


def _predict_with(
    stages: tuple[Stage, Stage], examples: Sequence[Example]
) -> Iterator[tuple[Example, MaskTrust, MaskTrust]]:
    cheap, full = stages
    for example in examples:
        cheap_trust = measure_by_stage(without_mirror(example).evidence, cheap)
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
            yield Threshold(
                risk=risk, trust=floor_number(float(trust[last])), ask_from=floor_number(ask_from)
            )


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
    return Stage(instance=fit_logistic(masks, "masks"), frame=fit_logistic(frames, "frames"))


def leave_groups_out(examples: Sequence[Example]) -> Iterator[tuple[list[Example], list[Example]]]:
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


def without_mirror(example: Example) -> Example:
    """Return the example as the cheap stage knows it."""
    instances = tuple(replace(instance, flip_iou=None) for instance in example.evidence.instances)
    without = Evidence(instances, student_outside=example.evidence.student_outside)
    return replace(example, evidence=without)
