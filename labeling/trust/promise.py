"""A promise about accepted persons: with probability `confidence`, at most `max_bad` of them are bad.

The method is fixed-sequence testing (Angelopoulos, Bates, Candès, Jordan, Lei: Learn then Test, arXiv 2110.01052,
section 2.3.2): thresholds are tested from the highest to the lowest, each with the null hypothesis "more than `max_bad` of
the persons with at least this trust are bad", and the first that cannot be rejected ends the sequence. The last rejected one
holds with the probability `confidence`. The test is exact: Clopper and Pearson's upper bound of a binomial share (1934).

Persons of one video are not independent, so one is drawn of each video, or image without a video; the draws do not depend
on what is right. The sequence starts where the number of units suffices to reject without a bad one, which does not
depend on what is right either. Hard and easy persons have sequences of their own (Mondrian groups: Vovk, 2003): a bound over
all persons together would be kept by the many easy ones.

What it assumes: videos are exchangeable with those of the calibration, so the promise is about a person of a new video of
the same kind, not about each video; and the trust of the calibration's persons comes from fits that have not seen their
video, while the calibration's own regression has seen all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from configs.calibration import PersonStep
from labeling.trust.exact_bounds import bad_at_most

if TYPE_CHECKING:
    from configs.models import Promise, Trust


def fewest_units(bad: int, promise: "Promise") -> int:
    """Return the fewest units with which the promise can be given if `bad` of them are bad.

    >>> from configs.models import Promise
    >>> fewest_units(0, Promise(max_bad=0.05, confidence=0.95))
    59
    """
    count = max(bad + 1, math.ceil(math.log(1 - promise.confidence) / math.log1p(-promise.max_bad)))
    while bad_at_most(bad, count, confidence=promise.confidence) > promise.max_bad:
        count += 1
    return count


def find_promised(steps: Sequence[PersonStep], promise: "Promise") -> PersonStep | None:
    """Return the step of the lowest threshold for which the promise can be given; None: for none."""
    enough = fewest_units(0, promise)
    promised = None
    for step in steps:
        if step.units < enough:
            continue
        if bad_at_most(step.bad_units, step.units, confidence=promise.confidence) > promise.max_bad:
            break
        promised = step
    return promised


def find_likely(steps: Sequence[PersonStep], risk: float) -> PersonStep | None:
    """Return the step of the lowest threshold above which at most this share was bad, of at least 1 / risk persons."""
    reached = [step for step in steps if step.bad <= risk * step.persons and risk * step.persons >= 1]
    return min(reached, key=lambda step: step.trust, default=None)


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why no person of a group can be promised."""

    units: int
    """Units of the calibration at the threshold that is closest to the promise."""
    bad: int
    missing: int
    """Further units, all of them good, with which the promise could be given there."""


def find_shortage(steps: Sequence[PersonStep], promise: "Promise") -> Shortage:
    """Return what is missing at the threshold that requires the fewest further units."""
    none = Shortage(0, 0, fewest_units(0, promise))
    shortages = (
        Shortage(step.units, step.bad_units, max(1, fewest_units(step.bad_units, promise) - step.units))
        for step in steps
    )
    return min((none, *shortages), key=lambda one: (one.missing, -one.units))


def chosen_step(steps: tuple[PersonStep, ...], settings: "Trust") -> PersonStep | None:
    """Return the step whose threshold the settings choose; None: no person of this group is accepted."""
    return _chosen_step(steps, settings.accept, settings.accept_risk)


@lru_cache(maxsize=64)  # each frame asks
def _chosen_step(steps: tuple[PersonStep, ...], promise: "Promise | None", risk: float) -> PersonStep | None:
    return find_promised(steps, promise) if promise else find_likely(steps, risk)


def describe_shortages(settings: "Trust") -> list[str]:
    """Return a sentence for each group for which the promise cannot be given; none if nothing was promised."""
    calibration = settings.calibration.persons if settings.calibration else None
    if settings.unit == "frame" or calibration is None or settings.accept is None:
        return []
    groups = {"hard": calibration.hard, "easy": calibration.easy}
    return [
        _describe(name, find_shortage(steps, settings.accept), settings.accept)
        for name, steps in groups.items()
        if find_promised(steps, settings.accept) is None
    ]


def _describe(group: str, shortage: Shortage, promise: "Promise") -> str:
    return (
        f"no {group} person is accepted: at most {promise.max_bad:.0%} bad masks cannot be promised with a confidence of "
        f"{promise.confidence:.0%} from {shortage.units} videos and single images with an accepted {group} person, of "
        f"which {shortage.bad} had a bad one; at least {shortage.missing} more reviewed ones without a bad mask are required"
    )
