"""Whom to believe about a reviewed frame, and what a review says about the teacher."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Literal

from configs.models import Review
from labeling.comparison.agreement import union_iou
from labeling.review.records import ProposedInstance, ReviewedFrame
from labeling.structures.masks import Mask, iou_matrix, union_masks

Rule = Literal["latest", "agreement"]


@dataclass(frozen=True, slots=True)
class Consensus:
    """The annotation that is believed, and by which rule."""

    frame: ReviewedFrame
    rule: Rule
    annotators: tuple[str, ...]
    """Everybody whose word was weighed, in alphabetical order."""
    agreement: float | None
    """Mean union IoU of all pairs of annotators who found the frame usable; None: fewer than two."""


@dataclass(frozen=True, slots=True)
class InstanceScore:
    """One of the teacher's masks, before and after the review."""

    id: int
    score: float
    """The teacher's confidence."""
    iou: float
    """IoU of the mask before with the mask after; 0 where it was removed."""
    is_untouched: bool
    is_removed: bool


@dataclass(frozen=True, slots=True)
class ReviewScore:
    """What one review teaches about the teacher."""

    instances: tuple[InstanceScore, ...]
    """In the order of the proposed ones; an empty mask is nobody and left out."""
    untouched: int
    removed: int
    added: int
    """People whom the teacher did not see."""
    union_iou: float
    """IoU of everybody before with everybody after; 1 where nobody is in either."""
    seconds_per_mask: float | None
    """Human work by mask that was proposed or added; None: not measured, or no masks."""


def choose_annotation(frames: Sequence[ReviewedFrame], settings: Review) -> Consensus | None:
    """Choose among the annotations of one frame; None: nobody can be believed yet.

    A skipped annotation says nothing. One with problems has lost a region and would make a person
    vanish: it does not count either, unless it says `unusable`. Of several annotations by one
    annotator the last counts.

    `latest`: the annotation that was changed last, whatever it says. `agreement`: where at least half of
    the annotators say `unusable`, it is: a dataset does without a frame in doubt. Else the annotation
    that agrees best with the other usable ones, if the mean IoU of all pairs reaches `min_agreement`;
    a single one has nobody to disagree with and is believed.
    """
    words = _last_words(frames)
    if not words:
        return None
    unusable = [one for one in words if one.verdict == "unusable"]
    usable = [one for one in words if one.verdict != "unusable"]
    agreement = _mean_agreement(usable)
    if settings.consensus == "latest":
        chosen = words[-1]
    elif 2 * len(unusable) >= len(words):
        chosen = unusable[-1]
    elif agreement is None or agreement >= settings.min_agreement:
        chosen = _agrees_best(usable)
    else:
        return None
    return Consensus(chosen, settings.consensus, tuple(sorted(one.annotator for one in words)), agreement)


def score_review(proposed: Sequence[ProposedInstance], frame: ReviewedFrame) -> ReviewScore | None:
    """Compare what the teacher proposed with what a person left; None where that says nothing.

    That is so for skipped and unusable frames, and for those with problems, whose masks are not all there.
    """
    if frame.verdict in ("skipped", "unusable") or frame.problems:
        return None
    shown = [one for one in proposed if one.mask]
    left = {one.source_id: one.mask for one in frame.instances if one.source_id is not None}
    scores = tuple(_score_instance(one, left.get(one.id)) for one in shown)
    added = len(frame.instances) - sum(not one.is_removed for one in scores)
    work = len(shown) + added
    return ReviewScore(
        instances=scores,
        untouched=sum(one.is_untouched for one in scores),
        removed=sum(one.is_removed for one in scores),
        added=added,
        union_iou=_union_iou([one.mask for one in shown], [one.mask for one in frame.instances]),
        seconds_per_mask=None if frame.seconds is None or not work else frame.seconds / work,
    )


def _last_words(frames: Sequence[ReviewedFrame]) -> list[ReviewedFrame]:
    """Each annotator's last annotation that counts, the one that was changed last at the end."""
    counting = [one for one in frames if _counts(one)]
    in_time = sorted(counting, key=lambda one: (one.updated_at, one.number))
    last = {one.annotator: one for one in in_time}
    return [one for one in in_time if last[one.annotator] is one]


def _counts(frame: ReviewedFrame) -> bool:
    return frame.verdict == "unusable" or (frame.verdict != "skipped" and not frame.problems)


def _mean_agreement(frames: Sequence[ReviewedFrame]) -> float | None:
    ious = [_frame_iou(first, second) for first, second in combinations(frames, 2)]
    return fmean(ious) if ious else None


def _agrees_best(frames: Sequence[ReviewedFrame]) -> ReviewedFrame:
    """The highest mean IoU with the others; of equal ones that which was changed last."""

    def agreement(position: int) -> tuple[float, int]:
        others = [one for other, one in enumerate(frames) if other != position]
        ious = [_frame_iou(frames[position], one) for one in others]
        return (fmean(ious) if ious else 1.0), position

    return frames[max(range(len(frames)), key=agreement)]


def _frame_iou(first: ReviewedFrame, second: ReviewedFrame) -> float:
    return _union_iou([one.mask for one in first.instances], [one.mask for one in second.instances])


def _union_iou(first: Sequence[Mask], second: Sequence[Mask]) -> float:
    """1 where nobody is in either: the image's size does not matter then."""
    if not first and not second:
        return 1.0
    size_hw = (*first, *second)[0].size_hw
    return union_iou(union_masks(first, size_hw), union_masks(second, size_hw))


def _score_instance(instance: ProposedInstance, after: Mask | None) -> InstanceScore:
    iou = 0.0 if after is None else float(iou_matrix([instance.mask], [after])[0, 0])
    return InstanceScore(instance.id, instance.score, iou, after == instance.mask, after is None)
