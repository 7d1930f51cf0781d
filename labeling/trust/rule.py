"""The first, simple rule: when a hard frame's teacher is believed without review.

A hard frame's teacher is trusted when nothing speaks against it: it saw somebody wherever the student
did, all its scores are high, the joints lie in the masks, and the mirrored picture gives the same mask.
What was not measured does not speak against it. Cheap signs come first, so that the costly one (the
teacher once more, on the mirrored picture) is only asked for where it decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from configs.models import Trust
from labeling.instances import Instance
from labeling.masks import Mask, flip_mask, union_masks
from labeling.scoring import FrameAgreement, Mismatch, union_iou
from labeling.sentences import say_below, say_masks, say_people, say_share_below

_WHY = {
    "miss": "student missed {people}",
    "split": "student split {people} into {masks}",
    "merge": "student merged {people} into {masks}",
    "boundary": "student's outline of {people} is off",
}
_Side = Literal["teacher", "student"]
_SIDES: tuple[_Side, _Side] = ("teacher", "student")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a teacher's masks besides its own scores."""

    flip_iou: float | None = None
    """IoU of its union with that of the mirrored picture, mirrored back; None: not measured."""
    joints_inside: float | None = None
    """Lowest share of an instance's confident joints inside its mask; None: no joints."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a compared frame, and why, in sentences for people.

    A frame for review has the doubts about the teacher first; then, as for an accepted one, why it
    is hard. An easy frame has no reasons.
    """

    decision: Literal["easy", "accepted", "review"]
    reasons: tuple[str, ...]


def decide(
    agreement: FrameAgreement, teacher: Sequence[Instance], evidence: Evidence, settings: Trust
) -> Decision:
    """Easy where student and teacher agree; else accepted where the teacher is trusted, or review.

    NaN, as a score or as evidence, is a doubt.
    """
    if not agreement.is_hard:
        return Decision("easy", ())
    doubts = [
        *_find_cheap_doubts(agreement, teacher, evidence.joints_inside, settings),
        *_find_flicker(evidence.flip_iou, settings),
    ]
    return Decision("review" if doubts else "accepted", (*doubts, *_say_why_hard(agreement)))


def needs_flip(
    agreement: FrameAgreement,
    teacher: Sequence[Instance],
    settings: Trust,
    *,
    joints_inside: float | None = None,
) -> bool:
    """Whether the mirrored picture's result could change the decision: all cheap signs are good."""
    if not agreement.is_hard or settings.min_flip_iou == 0:
        return False
    return not _find_cheap_doubts(agreement, teacher, joints_inside, settings)


def flip_agreement(teacher: Sequence[Mask], mirrored: Sequence[Mask], size_hw: tuple[int, int]) -> float:
    """Union IoU of a frame's masks with those of the mirrored frame, mirrored back; two empties give 1.

    Raises:
        ModelOutputWrong: a mask has not the size `size_hw`.
    """
    return union_iou(union_masks(teacher, size_hw), flip_mask(union_masks(mirrored, size_hw)))


def _find_cheap_doubts(
    agreement: FrameAgreement, teacher: Sequence[Instance], joints_inside: float | None, settings: Trust
) -> list[str]:
    doubts = []
    extras = _count(agreement.mismatches, "extra", "student")
    if extras:
        doubts.append(f"teacher saw nobody where the student saw {say_people(extras)}")
    elif not any(one.mask for one in teacher):
        doubts.append("teacher saw nobody")
    unsure = [one.score for one in teacher if not one.score >= settings.min_score]
    if unsure:
        doubts.append(f"teacher unsure: lowest score {say_below(min(unsure), settings.min_score)}")
    if joints_inside is not None and not joints_inside >= settings.min_pose_share:
        compared = say_share_below(joints_inside, settings.min_pose_share, what="inside")
        doubts.append(f"joints outside the mask: {compared}")
    return doubts


def _find_flicker(flip_iou: float | None, settings: Trust) -> list[str]:
    if flip_iou is None or flip_iou >= settings.min_flip_iou:
        return []
    values = say_below(flip_iou, settings.min_flip_iou).replace(" <", " with the mirrored picture's <")
    return [f"mask flickers: IoU {values}"]


def _say_why_hard(agreement: FrameAgreement) -> list[str]:
    """Causes, but for extras, which are doubts; then how little the two overlap."""
    people, masks = ({c: _count(agreement.mismatches, c, side) for c in _WHY} for side in _SIDES)
    found = [
        _WHY[cause].format(people=say_people(people[cause]), masks=say_masks(masks[cause]))
        for cause in _WHY
        if people[cause]
    ]
    return [*found, f"student and teacher overlap with IoU {agreement.iou:.2f}"]


def _count(mismatches: Sequence[Mismatch], cause: str, side: _Side) -> int:
    """Instances of one side with this cause."""
    return sum(len(getattr(one, side)) for one in mismatches if one.cause == cause)
