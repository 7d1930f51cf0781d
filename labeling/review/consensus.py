"""Choice of one annotation among all annotations of a frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Literal

from configs.models import Review
from labeling.comparison.iou import union_iou
from labeling.review.records import ReviewedFrame
from labeling.structures.masks import union_masks


@dataclass(frozen=True, slots=True)
class Consensus:
    """The chosen annotation of a frame, and the rule that chose it."""

    frame: ReviewedFrame
    rule: Literal["latest", "agreement", "starred"]
    annotators: tuple[str, ...]
    """All annotators whose annotations count, in alphabetical order."""
    agreement: float | None
    """Mean union IoU of all pairs of annotators who found the frame usable; None: fewer than two."""


def choose_annotation(frames: Sequence[ReviewedFrame], settings: Review) -> Consensus | None:
    """Choose among the annotations of one frame; None: there is no consensus yet.

    A starred annotation counts before all others; of several, the one that was changed last. Without one,
    the rule of the settings decides.

    Skipped annotations do not count. An annotation with problems has lost a region, which would remove a
    person, so it counts only if its verdict is `unusable`. Of several annotations by one annotator, the
    last one counts.

    `latest`: the annotation that was changed last, whatever its verdict. `agreement`: if at least half of
    the annotators chose `unusable`, the frame is unusable, because a dataset can do without a doubtful
    frame. Otherwise the annotation that agrees best with the other usable ones, if the mean IoU of all
    pairs reaches `min_agreement`; a single usable annotation is accepted.
    """
    counting = _latest_by_annotator(frames)
    if not counting:
        return None
    unusable = [frame for frame in counting if frame.verdict == "unusable"]
    usable = [frame for frame in counting if frame.verdict != "unusable"]
    agreement = fmean(_frame_iou(*pair) for pair in combinations(usable, 2)) if len(usable) > 1 else None
    rule: Literal["latest", "agreement", "starred"] = settings.consensus
    if starred := [frame for frame in _counting(frames) if frame.is_starred]:
        chosen, rule = starred[-1], "starred"
    elif settings.consensus == "latest":
        chosen = counting[-1]
    elif 2 * len(unusable) >= len(counting):
        chosen = unusable[-1]
    elif agreement is None or agreement >= settings.min_agreement:
        chosen = _best_agreeing(usable)
    else:
        return None
    annotators = tuple(sorted(frame.annotator for frame in counting))
    return Consensus(chosen, rule, annotators, agreement)


def _latest_by_annotator(frames: Sequence[ReviewedFrame]) -> list[ReviewedFrame]:
    """Return each annotator's last annotation that counts, in order of change."""
    by_time = _counting(frames)
    last = {frame.annotator: frame for frame in by_time}
    return [frame for frame in by_time if last[frame.annotator] is frame]


def _counting(frames: Sequence[ReviewedFrame]) -> list[ReviewedFrame]:
    """Return the annotations that count, in order of change."""
    counting = [
        frame
        for frame in frames
        if frame.verdict == "unusable" or (frame.verdict != "skipped" and not frame.problems)
    ]
    return sorted(counting, key=lambda frame: (frame.updated_at, frame.number))


def _best_agreeing(frames: Sequence[ReviewedFrame]) -> ReviewedFrame:
    """Return the frame with the highest mean IoU with the others; of equal ones, the last."""

    def mean_iou(index: int) -> tuple[float, int]:
        ious = [_frame_iou(frames[index], other) for i, other in enumerate(frames) if i != index]
        return (fmean(ious) if ious else 1.0), index

    return frames[max(range(len(frames)), key=mean_iou)]


def _frame_iou(first: ReviewedFrame, second: ReviewedFrame) -> float:
    """Return the IoU of all people of one frame with all people of the other; 1 if neither has any.

    With several categories, it is the lowest of any.
    """
    categories = {one.category for frame in (first, second) for one in frame.instances}
    return min((_category_iou(first, second, category) for category in categories), default=1.0)


def _category_iou(first: ReviewedFrame, second: ReviewedFrame, category: str) -> float:
    masks = [[one.mask for one in frame.instances if one.category == category] for frame in (first, second)]
    size_hw = (*masks[0], *masks[1])[0].size_hw
    return union_iou(union_masks(masks[0], size_hw), union_masks(masks[1], size_hw))
