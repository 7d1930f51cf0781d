"""The decision about each of the teacher's persons in a hard frame, and what follows for the frame.

A person is accepted from the threshold of its group on: hard persons, whom the student does not see as the teacher does, and
easy ones have thresholds of their own. No person is accepted in a frame in which another one may be missing, because a
dataset would call that one background.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from configs.calibration import Calibration, PersonCalibration, PersonStep
from configs.categories import PERSON
from configs.models import Trust
from labeling.structures.instances import PersonDecision
from labeling.structures.reasons import Reason
from labeling.trust.evidence import Evidence
from labeling.trust.found import predict_found
from labeling.trust.promise import chosen_step
from labeling.trust.scores import measure_by_stage, predict_trust


@dataclass(frozen=True, slots=True)
class PeopleDecision:
    """The decision about a frame's persons."""

    people: tuple[PersonDecision, ...]
    """In the order of the evidence."""
    found: float | None
    """Probability that the teacher found every person; None: not known, which is no doubt."""
    doubts: tuple[Reason, ...]
    """Why not all persons are accepted; empty: the frame can be accepted."""
    is_all_found: bool


def decide_people(evidence: Evidence, settings: Trust) -> PeopleDecision:
    """Decide about the persons of a hard frame; `settings` have a calibration of persons."""
    whole, calibration = _calibrations(settings)
    trust = predict_trust(evidence, whole)
    if trust is None:
        return PeopleDecision((), None, (Reason.of("no_person"),), is_all_found=False)
    found = predict_found(evidence, calibration)
    is_all_found = found is None or found >= settings.min_found
    people: list[PersonDecision] = []
    doubtful = []
    for one, minimum, of_one in zip(
        evidence.instances, _possible_steps(evidence, settings), trust.instances, strict=True
    ):
        is_complete = whole.full is None or one.flip_iou is not None
        if minimum is not None and is_complete and of_one >= minimum.trust:
            people.append("accepted")
        else:
            people.append("review")
            doubtful.append(of_one)
    doubts = (*_describe_doubtful(doubtful, len(people)), *_describe_missing(found, settings, is_all_found))
    return PeopleDecision(tuple(people), found, doubts, is_all_found)


def could_accept(evidence: Evidence, settings: Trust) -> bool:
    """Return whether the mirrored image could lead to the acceptance of any person."""
    return any(could_accept_each(evidence, settings))


def could_accept_each(evidence: Evidence, settings: Trust) -> list[bool]:
    """Return, for each person, whether the mirrored image could lead to acceptance; empty: for none."""
    _, calibration = _calibrations(settings)
    found = predict_found(evidence, calibration)
    if not evidence.instances or (found is not None and found < settings.min_found):
        return []
    return [step is not None for step in _possible_steps(evidence, settings)]


def _possible_steps(evidence: Evidence, settings: Trust) -> list[PersonStep | None]:
    """Return the step from which each person is accepted; None: it is not, whatever the mirrored image says."""
    whole, calibration = _calibrations(settings)
    hard, easy = (chosen_step(steps, settings) for steps in (calibration.hard, calibration.easy))
    cheap = measure_by_stage(evidence, whole.cheap).instances
    steps: list[PersonStep | None] = []
    for one, of_one in zip(evidence.instances, cheap, strict=True):
        if one.category != PERSON:
            steps.append(None)
            continue
        is_easy = one.student_iou is not None and one.student_iou >= calibration.hard_below
        step = easy if is_easy else hard  # what is not known is hard
        steps.append(step if step is not None and of_one >= step.ask_from else None)
    return steps


def _calibrations(settings: Trust) -> tuple[Calibration, PersonCalibration]:
    if settings.calibration is None or settings.calibration.persons is None:
        raise TypeError("trust.unit: person without a calibration of persons")
    return settings.calibration, settings.calibration.persons


def _describe_doubtful(doubtful: Sequence[float], people: int) -> list[Reason]:
    """Return the doubt about persons, given by their trust."""
    if not doubtful:
        return []
    return [Reason.of("doubtful_people", doubtful=len(doubtful), people=people, value=min(doubtful))]


def _describe_missing(found: float | None, settings: Trust, is_all_found: bool) -> list[Reason]:
    if is_all_found or found is None:
        return []
    return [Reason.of("person_missing", value=found, minimum=settings.min_found)]
