"""The persons of a calibration, and the thresholds that are tested on them (`labeling.trust.promise`)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from configs.calibration import PersonStep
from labeling.trust.examples import Example
from labeling.trust.regression import floor_number
from labeling.trust.scores import MaskTrust

THRESHOLDS = (0.98, 0.96, 0.94, 0.92, 0.9, 0.88, 0.86, 0.84, 0.82, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)
"""Fixed before anything is seen: thresholds that depend on what is right would void the promise."""
NOT_ASKED = 0.05
"""Share of a step's persons for whom the mirrored image is not measured, those of the lowest trust without it: a fifth of
the persons of the calibration of `lite` reach the rest, a quarter reach all."""
_SEED = 1


class JudgedPerson(NamedTuple):
    """A person of the calibration whose mask was compared with ground truth."""

    unit: str
    trust: float
    """By a fit that has not seen the person's set."""
    cheap_trust: float
    is_good: bool
    student_iou: float
    is_synthetic: bool = False


def judged_persons(example: Example, cheap: MaskTrust, full: MaskTrust) -> Iterator[JudgedPerson]:
    """Yield the persons of a frame whose masks could be judged; `student_iou` must be measured."""
    people = zip(example.evidence.instances, cheap.instances, full.instances, example.good_masks, strict=True)
    for evidence, cheap_trust, trust, is_good in people:
        if is_good is not None and evidence.student_iou is not None:
            unit = f"{example.group}/{example.unit}"
            beside = evidence.student_iou
            yield JudgedPerson(unit, trust, cheap_trust, is_good, beside, example.is_synthetic)


def find_steps(
    persons: Sequence[JudgedPerson], *, promise_on_composites: bool = False
) -> tuple[PersonStep, ...]:
    """Return a step for each threshold that any person reaches, from the highest to the lowest.

    Composites are persons, but no units: with the shipped calibration of `lite`, of the hard ones with a trust of 0.5
    or more 8 % are bad among composites and 34 % among real images, so they promise nothing about these.
    """
    order = np.random.default_rng(_SEED).permutation(len(persons))
    shuffled = [persons[number] for number in order]
    steps = (_step(threshold, shuffled, promise_on_composites) for threshold in THRESHOLDS)
    return tuple(step for step in steps if step is not None)


def _step(
    threshold: float, persons: Sequence[JudgedPerson], promise_on_composites: bool
) -> PersonStep | None:
    """Return the step of a threshold; the first person of each unit in the given order is the drawn one."""
    reached = [person for person in persons if person.trust >= threshold]
    if not reached:
        return None
    ask_from = floor_number(float(np.quantile([person.cheap_trust for person in reached], NOT_ASKED)))
    reached = [person for person in reached if person.cheap_trust >= ask_from]
    drawn: dict[str, JudgedPerson] = {}
    for person in reached:
        if promise_on_composites or not person.is_synthetic:
            drawn.setdefault(person.unit, person)
    return PersonStep(
        trust=threshold,
        ask_from=ask_from,
        persons=len(reached),
        bad=sum(not person.is_good for person in reached),
        units=len(drawn),
        bad_units=sum(not person.is_good for person in drawn.values()),
    )
