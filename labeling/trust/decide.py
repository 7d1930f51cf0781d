"""The decision whether a hard frame is accepted without review.

With a calibration, a frame is accepted when its trust reaches the threshold from which the calibration saw
at most `accept_risk` of bad masks. Without one, a frame is accepted when nothing speaks against the teacher:
it found a person wherever the student did, all its scores are high, the keypoints lie in the masks, and the
mirrored image gives the same mask. In both cases further checks, which no calibration knows, may object:
optical flow from the previous frame, the verifier, and the static regions of the whole shot. Evidence that was
not measured does not speak against the teacher. The reasons are codes with values (labeling.structures.reasons).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from configs.categories import PERSON
from configs.models import Trust
from labeling.structures.agreement import FrameAgreement, Mismatch
from labeling.structures.instances import PersonDecision
from labeling.structures.masks import BoxXywh
from labeling.structures.reasons import Reason, ReasonCode
from labeling.trust.evidence import Evidence, SecondOpinion
from labeling.trust.persons import could_accept, decide_people
from labeling.trust.scores import predict_trust

_WHY_HARD: tuple[Literal["miss", "split", "merge", "boundary"], ...] = ("miss", "split", "merge", "boundary")
_Side = Literal["teacher", "student"]
_SIDES: tuple[_Side, _Side] = ("teacher", "student")


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about a compared frame.

    The reasons of a frame for review start with the doubts about the teacher; then, as for an accepted
    frame, they say why it is hard. An easy frame has no reasons.
    """

    decision: Literal["easy", "accepted", "review"]
    reasons: tuple[Reason, ...]
    is_objected: bool = False
    """A check that no calibration knows objected: the frame's trust is not reliable then."""
    people: tuple[PersonDecision, ...] | None = None
    """Of each mask with evidence; None: persons are not decided for themselves."""
    found: float | None = None
    """Probability that the teacher found every person; None: not known."""
    accepted_people: int | None = None
    """Persons that a dataset may use: 0 if another one may be missing; None: as for `people`."""

    @property
    def doubtful_people(self) -> int | None:
        """Persons that are not accepted; None: as for `people`."""
        return None if self.people is None else sum(one != "accepted" for one in self.people)


def decide(agreement: FrameAgreement, evidence: Evidence, settings: Trust) -> Decision:
    """Return easy where student and teacher agree, else accepted or review.

    NaN, as a score or as evidence, is a doubt.
    """
    if not agreement.is_hard:
        return Decision("easy", ())
    if settings.unit == "person":
        return _decide_people(agreement, evidence, settings)
    unknown = _find_uncalibrated(agreement)
    signs = [*_find_cheap_doubts(agreement, evidence, settings), *_find_flicker(evidence.flip_iou, settings)]
    if settings.calibration:
        distrust = unknown or _find_distrust(evidence, settings)
        doubts = [*distrust, *signs] if distrust else []
    else:
        doubts = signs
    objections = _find_objections(evidence, settings)
    doubts = [*doubts, *objections]
    reasons = (*doubts, *_explain_hard(agreement))
    return Decision("review" if doubts else "accepted", reasons, is_objected=bool(objections))


def _decide_people(agreement: FrameAgreement, evidence: Evidence, settings: Trust) -> Decision:
    """Accept the frame if each person is accepted, every person is found, and no check objects."""
    decided = decide_people(evidence, settings)
    objections = _find_objections(evidence, settings)
    unknown = _find_uncalibrated(agreement)  # whether all of these are found is not known either
    is_usable = decided.is_all_found and not objections and not unknown
    doubts = (*unknown, *decided.doubts, *objections)
    return Decision(
        "review" if doubts else "accepted",
        (*doubts, *_explain_hard(agreement)),
        is_objected=bool(objections),
        people=decided.people,
        found=decided.found,
        accepted_people=decided.people.count("accepted") if is_usable else 0,
    )


def would_accept(agreement: FrameAgreement, evidence: Evidence, settings: Trust) -> bool:
    """Return whether the frame, or a person of it, is accepted unless a further check objects."""
    decision = decide(agreement, evidence, settings)
    return decision.decision == "accepted" or bool(decision.accepted_people)


def needs_flip(agreement: FrameAgreement, evidence: Evidence, settings: Trust) -> bool:
    """Return whether the mirrored image's result could change the decision."""
    if not agreement.is_hard:
        return False
    if settings.unit == "person":
        return could_accept(evidence, settings)
    if settings.calibration and _find_uncalibrated(agreement):
        return False
    if settings.calibration:
        threshold = settings.calibration.threshold(settings.accept_risk)
        trust = predict_trust(evidence, settings.calibration)
        return threshold is not None and trust is not None and trust.frame >= threshold.ask_from
    return settings.min_flip_iou > 0 and not _find_cheap_doubts(agreement, evidence, settings)


def find_still_masks(moving_fractions: Sequence[float | None], settings: Trust) -> tuple[Reason, ...]:
    """Return the doubt about masks that did not move in the whole shot, if any; None: not known."""
    still = [
        fraction
        for fraction in moving_fractions
        if fraction is not None and fraction < settings.min_moving_fraction
    ]
    if not still:
        return ()
    return (_below("still_masks", min(still), settings.min_moving_fraction, masks=len(still)),)


def moves_outside(box_xywh: BoxXywh | None) -> tuple[Reason, ...]:
    """Return the doubt about a frame in which something moves outside all masks, if any."""
    if box_xywh is None:
        return ()
    x, y, w, h = (round(side) for side in box_xywh)
    return (Reason.of("moves_outside", x=x, y=y, w=w, h=h),)


def track_gaps(tracks: Sequence[int]) -> tuple[Reason, ...]:
    """Return the doubt about a frame without people who are tracked before and after it, if any."""
    return (Reason.of("track_gap", people=len(tracks)),) if tracks else ()


def _below(code: ReasonCode, value: float, minimum: float, **more: int) -> Reason:
    """Return a reason with a value that is too low; NaN, which JSON does not have, is none."""
    return Reason.of(code, value=None if math.isnan(value) else float(value), minimum=minimum, **more)


def _find_distrust(evidence: Evidence, settings: Trust) -> list[Reason]:
    """Return why the calibrated trust does not suffice; empty where it does."""
    if settings.calibration is None:
        return []
    trust = predict_trust(evidence, settings.calibration)
    threshold = settings.calibration.threshold(settings.accept_risk)
    if trust is None:
        return [Reason.of("no_person")]
    if threshold is None:
        return [Reason.of("no_threshold", risk=settings.accept_risk, value=trust.frame)]
    is_complete = evidence.flip_iou is not None or settings.calibration.full is None
    if is_complete and trust.frame >= threshold.trust:
        return []
    if is_complete or trust.frame < threshold.trust:
        return [_below("low_trust", trust.frame, threshold.trust)]
    return [Reason.of("not_mirrored", value=trust.frame)]


def _find_uncalibrated(agreement: FrameAgreement) -> list[Reason]:
    """Return the doubt about objects of other categories than people, which no calibration knows; empty: there is none."""
    others = [category for category, _ in agreement.category_ious if category != PERSON]
    return [Reason.of("not_calibrated", categories=others)] if others else []


def _find_cheap_doubts(agreement: FrameAgreement, evidence: Evidence, settings: Trust) -> list[Reason]:
    doubts = []
    extras = _count(agreement.mismatches, "extra", "student")
    if extras:
        doubts.append(_counted("student_sees_more", agreement, people=extras))
    elif not evidence.instances:
        doubts.append(_counted("no_person", agreement))
    unsure = [instance.score for instance in evidence.instances if not instance.score >= settings.min_score]
    if unsure:
        doubts.append(_below("low_score", min(unsure), settings.min_score))
    return [*doubts, *_find_keypoints_outside("keypoints_outside", evidence.keypoints_inside, settings)]


def _find_keypoints_outside(code: ReasonCode, inside: float | None, settings: Trust) -> list[Reason]:
    """Return the doubt about the share of keypoints inside the mask, if it is known and too low."""
    if inside is None or inside >= settings.min_keypoints_inside:
        return []
    return [_below(code, inside, settings.min_keypoints_inside)]


def _find_flicker(flip_iou: float | None, settings: Trust) -> list[Reason]:
    if flip_iou is None or flip_iou >= settings.min_flip_iou:
        return []
    return [_below("mirrored_differs", flip_iou, settings.min_flip_iou)]


def _find_objections(evidence: Evidence, settings: Trust) -> list[Reason]:
    found = []
    if evidence.flow_iou is not None and not evidence.flow_iou >= settings.min_flow_iou:
        found.append(_below("mask_jumps", evidence.flow_iou, settings.min_flow_iou))
    coherence = evidence.coherence
    if settings.min_coherence and coherence is not None and not coherence >= settings.min_coherence:
        found.append(_below("mask_changes", coherence, settings.min_coherence))
    return [*found, *(_find_verifier_doubts(evidence.verifier, settings) if evidence.verifier else ())]


def _find_verifier_doubts(opinion: SecondOpinion, settings: Trust) -> list[Reason]:
    found = []
    if opinion.missed:
        found.append(Reason.of("verifier_sees_more", people=opinion.missed))
    if opinion.unseen:
        found.append(Reason.of("verifier_sees_less", people=opinion.unseen))
    if opinion.iou is not None and not opinion.iou >= settings.min_verifier_iou:
        found.append(_below("verifier_differs", opinion.iou, settings.min_verifier_iou))
    outside = _find_keypoints_outside("verifier_keypoints_outside", opinion.keypoints_inside, settings)
    return [*found, *outside]


def _explain_hard(agreement: FrameAgreement) -> list[Reason]:
    """Return the causes, except extras, which are doubts; then the union IoU."""
    people, masks = ({c: _count(agreement.mismatches, c, side) for c in _WHY_HARD} for side in _SIDES)
    found = [
        _counted(cause, agreement, people=people[cause], masks=masks[cause])
        for cause in _WHY_HARD
        if people[cause]
    ]
    shares = {"categories": list(map(list, agreement.category_ious))} if agreement.category_ious else {}
    return [*found, Reason.of("overlap", value=agreement.iou, **shares)]


def _counted(code: ReasonCode, agreement: FrameAgreement, **counts: int) -> Reason:
    """Return a reason about people; about objects where the models have other categories.

    A student that gives one mask for all people has areas, which are not counted as people.
    """
    marks = {
        "are_objects": bool(agreement.category_ious),
        "in_one_mask": agreement.student_is_semantic and code in ("student_sees_more", "boundary"),
    }
    return Reason.of(code, **counts, **{mark: True for mark, holds in marks.items() if holds})


def _count(mismatches: Sequence[Mismatch], cause: str, side: _Side) -> int:
    """Count one side's instances with this cause."""
    return sum(len(getattr(mismatch, side)) for mismatch in mismatches if mismatch.cause == cause)
