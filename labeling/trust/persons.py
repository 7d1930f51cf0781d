"""The decision about each of the teacher's persons in a hard frame, and what follows for the frame.

A person is accepted from the threshold of its group on: hard persons, whom the student does not see as the teacher does, and
easy ones have thresholds of their own. No person is accepted in a frame in which another one may be missing, because a
dataset would call that one background.
"""

from dataclasses import dataclass

from configs.calibration import PersonCalibration, PersonStep
from configs.models import Trust
from labeling.structures.instances import PersonDecision
from labeling.text.phrases import format_people, format_percent, format_share_below
from labeling.trust.evidence import Evidence, InstanceEvidence
from labeling.trust.found import predict_found
from labeling.trust.promise import chosen_step
from labeling.trust.scores import predict_trust


@dataclass(frozen=True, slots=True)
class PeopleDecision:
    """The decision about a frame's persons."""

    people: tuple[PersonDecision, ...]
    """In the order of the evidence."""
    found: float | None
    """Probability that the teacher found every person; None: not known, which is no doubt."""
    doubts: tuple[str, ...]
    """Why not all persons are accepted, in sentences for annotators; empty: the frame can be accepted."""
    is_all_found: bool


def decide_people(evidence: Evidence, settings: Trust) -> PeopleDecision:
    """Decide about the persons of a hard frame; `settings` have a calibration of persons."""
    calibration = _calibration(settings)
    trust = predict_trust(evidence, settings.calibration) if settings.calibration else None
    if trust is None:
        return PeopleDecision((), None, ("the teacher found no person",), is_all_found=False)
    found = predict_found(evidence, calibration)
    is_all_found = found is None or found >= settings.min_found
    steps = _Steps(chosen_step(calibration.hard, settings), chosen_step(calibration.easy, settings))
    people: list[PersonDecision] = []
    doubtful = []
    for one, of_one in zip(evidence.instances, trust.instances, strict=True):
        minimum = steps.of(one, calibration)
        is_sure = minimum is not None and of_one >= minimum.trust and _is_complete(one, settings)
        people.append("accepted" if is_sure else "review")
        if not is_sure:
            doubtful.append((of_one, minimum))
    doubts = [*_describe_doubtful(doubtful, len(people)), *_describe_missing(found, settings, is_all_found)]
    return PeopleDecision(tuple(people), found, tuple(doubts), is_all_found)


def could_accept(evidence: Evidence, settings: Trust) -> bool:
    """Return whether the mirrored image could lead to the acceptance of any person."""
    calibration = _calibration(settings)
    trust = predict_trust(evidence, settings.calibration) if settings.calibration else None
    if trust is None:
        return False
    found = predict_found(evidence, calibration)
    if found is not None and found < settings.min_found:
        return False
    steps = _Steps(chosen_step(calibration.hard, settings), chosen_step(calibration.easy, settings))
    minima = (steps.of(one, calibration) for one in evidence.instances)
    return any(
        minimum is not None and of_one >= minimum.ask_from
        for minimum, of_one in zip(minima, trust.instances, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    hard: PersonStep | None
    easy: PersonStep | None

    def of(self, person: InstanceEvidence, calibration: PersonCalibration) -> PersonStep | None:
        """Return the step of the person's group; NaN and what was not measured is hard."""
        is_easy = person.student_iou is not None and person.student_iou >= calibration.hard_below
        return self.easy if is_easy else self.hard


def _calibration(settings: Trust) -> PersonCalibration:
    if settings.calibration is None or settings.calibration.persons is None:
        raise TypeError("trust.unit: person without a calibration of persons")
    return settings.calibration.persons


def _is_complete(person: InstanceEvidence, settings: Trust) -> bool:
    """Return whether all evidence that the calibration weighs is measured."""
    full = settings.calibration.full if settings.calibration else None
    return full is None or person.flip_iou is not None


def _describe_doubtful(doubtful: list[tuple[float, PersonStep | None]], people: int) -> list[str]:
    if not doubtful:
        return []
    trust, minimum = min(doubtful, key=lambda one: one[0])
    subject = (
        format_people(len(doubtful))
        if len(doubtful) == people
        else f"{len(doubtful)} of {format_people(people)}"
    )
    if minimum is None:
        return [f"{subject} may be wrong: the calibration accepts no such person ({format_percent(trust)})"]
    share, least = (
        format_share_below(trust, minimum.trust).split(" < ") if trust < minimum.trust else ("", "")
    )
    lowest = f"lowest probability {share}, minimum {least}" if share else "the mirrored image was not needed"
    return [f"{subject} may be wrong ({lowest})"]


def _describe_missing(found: float | None, settings: Trust, is_all_found: bool) -> list[str]:
    if is_all_found or found is None:
        return []
    share, minimum = format_share_below(found, settings.min_found).split(" < ")
    return [
        f"a person may be missing: every person is found with a probability of {share} (minimum {minimum})"
    ]
