"""The decision whether a hard frame is accepted without review.

With a calibration, a frame is accepted when its trust reaches the threshold from which the calibration saw
at most `accept_risk` of bad masks. Without one, a frame is accepted when nothing speaks against the teacher:
it found a person wherever the student did, all its scores are high, the keypoints lie in the masks, and the
mirrored image gives the same mask. In both cases further checks, which no calibration knows, may object:
optical flow from the previous frame, the verifier, and the static regions of the whole shot. Evidence that was
not measured does not speak against the teacher. The reasons are sentences for annotators.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from configs.models import Trust
from labeling.structures.agreement import FrameAgreement, Mismatch
from labeling.structures.instances import PersonDecision
from labeling.structures.masks import BoxXywh
from labeling.text.phrases import (
    format_masks,
    format_objects,
    format_people,
    format_percent,
    share_texts_below,
    texts_below,
)
from labeling.trust.evidence import Evidence, SecondOpinion
from labeling.trust.persons import could_accept, decide_people
from labeling.trust.scores import predict_trust

_WHY_HARD = {
    "miss": "the student missed {people}",
    "split": "the student split {people} into {masks}",
    "merge": "the student merged {people} into {masks}",
    "boundary": "the student's outline of {people} is inaccurate",
}
_Side = Literal["teacher", "student"]
_SIDES: tuple[_Side, _Side] = ("teacher", "student")


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about a compared frame.

    The reasons of a frame for review start with the doubts about the teacher; then, as for an accepted
    frame, they say why it is hard. An easy frame has no reasons.
    """

    decision: Literal["easy", "accepted", "review"]
    reasons: tuple[str, ...]
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
    signs = [*_find_cheap_doubts(agreement, evidence, settings), *_find_flicker(evidence.flip_iou, settings)]
    if settings.calibration:
        distrust = _find_distrust(evidence, settings)
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
    is_usable = decided.is_all_found and not objections
    doubts = (*decided.doubts, *objections)
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
    if settings.calibration:
        threshold = settings.calibration.threshold(settings.accept_risk)
        trust = predict_trust(evidence, settings.calibration)
        return threshold is not None and trust is not None and trust.frame >= threshold.ask_from
    return settings.min_flip_iou > 0 and not _find_cheap_doubts(agreement, evidence, settings)


def find_still_masks(moving_fractions: Sequence[float | None], settings: Trust) -> tuple[str, ...]:
    """Return the doubt about masks that did not move in the whole shot, if any; None: not known."""
    still = [
        fraction
        for fraction in moving_fractions
        if fraction is not None and fraction < settings.min_moving_fraction
    ]
    if not still:
        return ()
    share, minimum = share_texts_below(min(still), settings.min_moving_fraction)
    subject = "1 mask barely moves" if len(still) == 1 else f"{len(still)} masks barely move"
    guess = "it may be an object, not a person" if len(still) == 1 else "they may be objects, not people"
    return (f"{subject} ({share} of its pixels, minimum {minimum}): {guess}",)


def format_missed(box_xywh: BoxXywh | None) -> tuple[str, ...]:
    """Return the doubt about a frame in which something moves outside all masks, if any."""
    if box_xywh is None:
        return ()
    x, y, w, h = (round(side) for side in box_xywh)
    return (f"something moves where the teacher found no person: {w}x{h} px at ({x}, {y})",)


def format_gaps(tracks: Sequence[int]) -> tuple[str, ...]:
    """Return the doubt about a frame without people who are tracked before and after it, if any."""
    if not tracks:
        return ()
    have = "has" if len(tracks) == 1 else "have"
    return (f"{format_people(len(tracks))} of the frames before and after it {have} no mask in this one",)


def _find_distrust(evidence: Evidence, settings: Trust) -> list[str]:
    """Return why the calibrated trust does not suffice; empty where it does."""
    if settings.calibration is None:
        return []
    trust = predict_trust(evidence, settings.calibration)
    threshold = settings.calibration.threshold(settings.accept_risk)
    if trust is None:
        return ["the teacher found no person"]
    if threshold is None:
        risk, of_frame = format_percent(settings.accept_risk), format_percent(trust.frame)
        return [f"the calibration has no threshold for a risk of {risk} (trust of this frame: {of_frame})"]
    is_complete = evidence.flip_iou is not None or settings.calibration.full is None
    if is_complete and trust.frame >= threshold.trust:
        return []
    if is_complete or trust.frame < threshold.trust:
        share, minimum = share_texts_below(trust.frame, threshold.trust)
        return [f"the teacher is right with a probability of {share} (minimum {minimum})"]
    return [f"the teacher's scores alone do not suffice without the mirrored image ({trust.frame:.2f})"]


def _find_cheap_doubts(agreement: FrameAgreement, evidence: Evidence, settings: Trust) -> list[str]:
    doubts = []
    extras = _count(agreement.mismatches, "extra", "student")
    if extras:
        name = format_objects if agreement.category_ious else format_people
        nothing = "nothing" if agreement.category_ious else "no person"
        doubts.append(f"the teacher found {nothing} where the student found {name(extras)}")
    elif not evidence.instances:
        doubts.append("the teacher found no person")
    unsure = [instance.score for instance in evidence.instances if not instance.score >= settings.min_score]
    if unsure:
        score, minimum = texts_below(min(unsure), settings.min_score)
        doubts.append(f"the teacher is unsure: lowest score {score} (minimum {minimum})")
    outside = _format_keypoints_outside(evidence.keypoints_inside, settings)
    return [*doubts, f"keypoints lie outside the mask: {outside}"] if outside else doubts


def _format_keypoints_outside(inside: float | None, settings: Trust) -> str:
    """Return the share inside beside its minimum; empty where it is high enough or not known."""
    if inside is None or inside >= settings.min_keypoints_inside:
        return ""
    share, minimum = share_texts_below(inside, settings.min_keypoints_inside)
    return f"{share} inside (minimum {minimum})"


def _find_flicker(flip_iou: float | None, settings: Trust) -> list[str]:
    if flip_iou is None or flip_iou >= settings.min_flip_iou:
        return []
    iou, minimum = texts_below(flip_iou, settings.min_flip_iou)
    return [f"the mirrored image gives another mask: IoU {iou} (minimum {minimum})"]


def _find_objections(evidence: Evidence, settings: Trust) -> list[str]:
    found = []
    if evidence.flow_iou is not None and not evidence.flow_iou >= settings.min_flow_iou:
        iou, minimum = texts_below(evidence.flow_iou, settings.min_flow_iou)
        found.append(
            f"the mask jumps: IoU {iou} with the previous frame's mask moved by optical flow (minimum {minimum})"
        )
    coherence = evidence.coherence
    if settings.min_coherence and coherence is not None and not coherence >= settings.min_coherence:
        iou, minimum = texts_below(coherence, settings.min_coherence)
        found.append(
            f"a person's mask changes along the motion: IoU {iou} with that in the previous frame (minimum {minimum})"
        )
    return [*found, *(_find_verifier_doubts(evidence.verifier, settings) if evidence.verifier else ())]


def _find_verifier_doubts(opinion: SecondOpinion, settings: Trust) -> list[str]:
    found = []
    if opinion.missed:
        found.append(f"the teacher found no person where the verifier found {format_people(opinion.missed)}")
    if opinion.unseen:
        found.append(f"the verifier found no person where the teacher found {format_people(opinion.unseen)}")
    if opinion.iou is not None and not opinion.iou >= settings.min_verifier_iou:
        iou, minimum = texts_below(opinion.iou, settings.min_verifier_iou)
        found.append(f"the verifier gives another mask: IoU {iou} (minimum {minimum})")
    outside = _format_keypoints_outside(opinion.keypoints_inside, settings)
    return [*found, f"the verifier's keypoints lie outside the mask: {outside}"] if outside else found


def _explain_hard(agreement: FrameAgreement) -> list[str]:
    """Return the causes, except extras, which are doubts; then the union IoU."""
    people, masks = ({c: _count(agreement.mismatches, c, side) for c in _WHY_HARD} for side in _SIDES)
    name = format_objects if agreement.category_ious else format_people
    found = [
        text.format(people=name(people[cause]), masks=format_masks(masks[cause]))
        for cause, text in _WHY_HARD.items()
        if people[cause]
    ]
    shares = ", ".join(f"{category} {iou:.2f}" for category, iou in agreement.category_ious)
    return [*found, f"student and teacher overlap with IoU {shares or f'{agreement.iou:.2f}'}"]


def _count(mismatches: Sequence[Mismatch], cause: str, side: _Side) -> int:
    """Count one side's instances with this cause."""
    return sum(len(getattr(mismatch, side)) for mismatch in mismatches if mismatch.cause == cause)
