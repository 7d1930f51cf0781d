"""When a hard frame's teacher is believed without review.

With a calibration, a frame is accepted when its trust reaches the threshold at which the calibration saw
no larger share of bad masks than `accept_risk`. Without one, when nothing speaks against the teacher: it
saw somebody wherever the student did, all its scores are high, the joints lie in the masks, and the
mirrored image gives the same mask. Either way three others may object, of whom no calibration knows: the
frame before, from which masks do not jump; a second segmenter; and a whole shot, in which people move and
nothing else does. What was not measured does not speak against the teacher. The signs are told in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from configs.models import Trust
from labeling.structures.agreement import FrameAgreement, Mismatch
from labeling.structures.masks import BoxXywh
from labeling.text.phrases import (
    format_below,
    format_masks,
    format_people,
    format_percent,
    format_share_below,
)
from labeling.trust.evidence import Evidence, SecondOpinion
from labeling.trust.scores import predict_trust

_WHY = {
    "miss": "student missed {people}",
    "split": "student split {people} into {masks}",
    "merge": "student merged {people} into {masks}",
    "boundary": "student's outline of {people} is off",
}
_Side = Literal["teacher", "student"]
_SIDES: tuple[_Side, _Side] = ("teacher", "student")


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a compared frame, and why, in sentences for people.

    A frame for review has the doubts about the teacher first; then, as for an accepted one, why it
    is hard. An easy frame has no reasons.
    """

    decision: Literal["easy", "accepted", "review"]
    reasons: tuple[str, ...]
    is_objected: bool = False
    """Whether somebody objected of whom no calibration knows: its trust is not to be relied on then."""


def decide(agreement: FrameAgreement, evidence: Evidence, settings: Trust) -> Decision:
    """Easy where student and teacher agree; else accepted where the teacher is trusted, or review.

    NaN, as a score or as evidence, is a doubt.
    """
    if not agreement.is_hard:
        return Decision("easy", ())
    signs = [*_find_cheap_doubts(agreement, evidence, settings), *_find_flicker(evidence.flip_iou, settings)]
    if settings.calibration:
        distrust = _find_distrust(evidence, settings)
        doubts = [*distrust, *signs] if distrust else []
    else:
        doubts = signs
    objections = _find_objections(evidence, settings)
    doubts = [*doubts, *objections]
    reasons = (*doubts, *_say_why_hard(agreement))
    return Decision("review" if doubts else "accepted", reasons, is_objected=bool(objections))


def would_accept(agreement: FrameAgreement, evidence: Evidence, settings: Trust) -> bool:
    """Whether it takes an objection to keep a frame from being accepted."""
    return decide(agreement, evidence, settings).decision == "accepted"


def needs_flip(agreement: FrameAgreement, evidence: Evidence, settings: Trust) -> bool:
    """Whether the mirrored image's result could change the decision, by the cheap signs alone."""
    if not agreement.is_hard:
        return False
    if settings.calibration:
        wanted = settings.calibration.threshold(settings.accept_risk)
        trust = predict_trust(evidence, settings.calibration)
        return wanted is not None and trust is not None and trust.frame >= wanted.ask_from
    return settings.min_flip_iou > 0 and not _find_cheap_doubts(agreement, evidence, settings)


def find_still_masks(moving_shares: Sequence[float | None], settings: Trust) -> tuple[str, ...]:
    """The doubt about masks of what has not moved in a whole shot, if there are any; None: unknown."""
    still = [share for share in moving_shares if share is not None and share < settings.min_moving_fraction]
    if not still:
        return ()
    share = format_share_below(min(still), settings.min_moving_fraction, what="of its pixels")
    return (f"{format_masks(len(still))} of what does not move, {share}: a coat, an image?",)


def format_missed(box_xywh: BoxXywh | None) -> tuple[str, ...]:
    """The doubt about a frame in which somebody moves outside all masks, if there is such a place."""
    if box_xywh is None:
        return ()
    x, y, w, h = (round(side) for side in box_xywh)
    return (f"something moves where the teacher saw nobody: {w}x{h} px at ({x}, {y})",)


def _find_distrust(evidence: Evidence, settings: Trust) -> list[str]:
    """Why a calibrated teacher is not believed; nothing where it is."""
    if settings.calibration is None:
        return []
    trust = predict_trust(evidence, settings.calibration)
    wanted = settings.calibration.threshold(settings.accept_risk)
    if trust is None:
        return ["no mask of the teacher's to believe"]
    if wanted is None:
        risk = format_percent(settings.accept_risk)
        return [
            f"no trust was ever high enough for a risk of {risk}, this one is {format_percent(trust.frame)}"
        ]
    is_known = evidence.flip_iou is not None or settings.calibration.full is None
    if is_known and trust.frame >= wanted.trust:
        return []
    if is_known or trust.frame < wanted.trust:
        return [f"teacher right with a probability of {format_share_below(trust.frame, wanted.trust)}"]
    return [f"teacher's scores alone, without the mirrored image, are not believed ({trust.frame:.2f})"]


def _find_cheap_doubts(agreement: FrameAgreement, evidence: Evidence, settings: Trust) -> list[str]:
    doubts = []
    extras = _count(agreement.mismatches, "extra", "student")
    if extras:
        doubts.append(f"teacher saw nobody where the student saw {format_people(extras)}")
    elif not evidence.instances:
        doubts.append("teacher saw nobody")
    unsure = [one.score for one in evidence.instances if not one.score >= settings.min_score]
    if unsure:
        doubts.append(f"teacher unsure: lowest score {format_below(min(unsure), settings.min_score)}")
    inside = evidence.keypoints_inside
    if inside is not None and not inside >= settings.min_keypoints_inside:
        compared = format_share_below(inside, settings.min_keypoints_inside, what="inside")
        doubts.append(f"joints outside the mask: {compared}")
    return doubts


def _find_flicker(flip_iou: float | None, settings: Trust) -> list[str]:
    if flip_iou is None or flip_iou >= settings.min_flip_iou:
        return []
    values = format_below(flip_iou, settings.min_flip_iou).replace(" <", " with the mirrored image's <")
    return [f"mask flickers: IoU {values}"]


def _find_objections(evidence: Evidence, settings: Trust) -> list[str]:
    flow = evidence.flow_iou
    found = []
    if flow is not None and not flow >= settings.min_flow_iou:
        found.append(
            f"mask jumps: IoU {format_below(flow, settings.min_flow_iou)} with the frame before, moved along"
        )
    return [*found, *(_find_second_doubts(evidence.verifier, settings) if evidence.verifier else ())]


def _find_second_doubts(second: SecondOpinion, settings: Trust) -> list[str]:
    found = []
    if second.missed:
        found.append(f"teacher saw nobody where the second model saw {format_people(second.missed)}")
    if second.unseen:
        found.append(f"the second model saw nobody where the teacher saw {format_people(second.unseen)}")
    if second.iou is not None and not second.iou >= settings.min_verifier_iou:
        compared = format_below(second.iou, settings.min_verifier_iou)
        found.append(f"the second model sees it differently: IoU {compared}")
    inside = second.keypoints_inside
    if inside is not None and not inside >= settings.min_keypoints_inside:
        compared = format_share_below(inside, settings.min_keypoints_inside, what="inside")
        found.append(f"the second model's joints lie outside the mask: {compared}")
    return found


def _say_why_hard(agreement: FrameAgreement) -> list[str]:
    """Causes, but for extras, which are doubts; then how little the two overlap."""
    people, masks = ({c: _count(agreement.mismatches, c, side) for c in _WHY} for side in _SIDES)
    found = [
        _WHY[cause].format(people=format_people(people[cause]), masks=format_masks(masks[cause]))
        for cause in _WHY
        if people[cause]
    ]
    return [*found, f"student and teacher overlap with IoU {agreement.iou:.2f}"]


def _count(mismatches: Sequence[Mismatch], cause: str, side: _Side) -> int:
    """Instances of one side with this cause."""
    return sum(len(getattr(one, side)) for one in mismatches if one.cause == cause)
