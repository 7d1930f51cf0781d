"""A frame with accepted persons, checked again at the end of its clip.

A mask that does not move in the whole shot is ignored: it is probably an object, and the rest of the frame does not depend
on it. A person who may be missing concerns the whole frame.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from configs.categories import PERSON
from labeling.review.queue import review_priority
from labeling.structures.instances import Instance
from labeling.structures.reasons import Reason
from labeling.structures.records import LabeledFrame
from labeling.trust.decide import find_still_masks, track_gaps

if TYPE_CHECKING:
    from labeling.trust.checks import EvidenceCollector


def recheck_people(
    evidence: "EvidenceCollector", row: LabeledFrame, missing_tracks: Sequence[int]
) -> LabeledFrame:
    """Return the frame with the decisions that the whole clip leaves; an image without a time stays as it is.

    `missing_tracks` are the people whom `labeling.trust.track_gaps` misses in it.
    """
    settings = evidence.config.trust
    gaps = track_gaps(missing_tracks)
    if row.pts_ms is None or not settings.watches_shots:
        return _decide_again(row, still=(), missed=gaps) if gaps else row
    fractions = evidence.moving_fractions(row.pts_ms, row.teacher)
    is_still = [
        one.category == PERSON and bool(one.mask) and bool(find_still_masks([fraction], settings))
        for one, fraction in zip(row.teacher, fractions, strict=True)
    ]
    moving = [one for one, still in zip(row.teacher, is_still, strict=True) if one.mask and not still]
    missed = (*gaps, *evidence.find_missed(row.pts_ms, moving))
    still = find_still_masks([f for f, is_one in zip(fractions, is_still, strict=True) if is_one], settings)
    return _decide_again(_ignore(row, is_still), still=still, missed=missed)


def _ignore(row: LabeledFrame, is_still: Sequence[bool]) -> LabeledFrame:
    teacher = tuple(
        replace(one, decision="ignored") if still else one
        for one, still in zip(row.teacher, is_still, strict=True)
    )
    return replace(row, teacher=teacher)


def _decide_again(
    row: LabeledFrame, *, still: tuple[Reason, ...], missed: tuple[Reason, ...]
) -> LabeledFrame:
    """Accept the frame if no person waits for review, none may be missing, and some are accepted."""
    people = [one for one in row.teacher if one.decision is not None]
    accepted, doubtful = _count(people, "accepted"), len(people) - _count(people, "accepted")
    is_accepted = bool(accepted) and not _count(people, "review") and not missed
    share = row.agreement.symmetric_difference_share if row.agreement else 0.0
    return replace(
        row,
        decision="accepted" if is_accepted else "review",
        accepted_people=0 if missed else accepted,
        doubtful_people=doubtful,
        reasons=(*missed, *still, *row.reasons),
        priority=review_priority(trust=None, symmetric_difference_share=share) if missed else row.priority,
    )


def _count(people: Sequence[Instance], decision: str) -> int:
    return sum(one.decision == decision for one in people)
