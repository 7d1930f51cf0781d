"""Which reviewed frames the masks of an open frame come from, and what the result means for its review."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from labeling.review.queue import Shot


@dataclass(frozen=True, slots=True)
class ReviewedTime:
    """A reviewed frame of a video."""

    frame_id: int
    annotation_id: int
    """Of its consensus."""
    pts_ms: int
    shot: Shot


@dataclass(frozen=True, slots=True)
class OpenTime:
    """A frame of a video without a consensus."""

    frame_id: int
    pts_ms: int
    shot: Shot


@dataclass(frozen=True, slots=True)
class PlannedGap:
    """Open frames that lie between the same reviewed frames; one of the two may be missing."""

    before: ReviewedTime | None
    after: ReviewedTime | None
    frames: tuple[OpenTime, ...]
    """In order of time."""

    @property
    def from_ms(self) -> int:
        return self.before.pts_ms if self.before else self.frames[0].pts_ms

    @property
    def to_ms(self) -> int:
        return self.after.pts_ms if self.after else self.frames[-1].pts_ms


def plan_gaps(
    reviewed: Sequence[ReviewedTime], frames: Sequence[OpenTime], *, window_ms: int
) -> list[PlannedGap]:
    """Assign to each open frame of a video the nearest reviewed frames before and after, by time.

    Only frames of the same shot count, at most `window_ms` away; an open frame without any is left out.

    >>> shot = ("1f0c", 0)
    >>> [gap] = plan_gaps([ReviewedTime(1, 7, 0, shot)], [OpenTime(2, 500, shot)], window_ms=1000)
    >>> gap.before.annotation_id, gap.after, len(gap.frames)
    (7, None, 1)
    """
    by_shot: dict[Shot, list[ReviewedTime]] = {}
    for one in sorted(reviewed, key=lambda one: one.pts_ms):
        by_shot.setdefault(one.shot, []).append(one)
    neighbors = [
        (*_neighbors(by_shot.get(frame.shot, []), frame.pts_ms, window_ms), frame)
        for frame in sorted(frames, key=lambda frame: frame.pts_ms)
    ]
    used = [one for one in neighbors if one[0] or one[1]]
    return [
        PlannedGap(before, after, tuple(frame for *_, frame in group))
        for (before, after), group in groupby(used, key=lambda one: one[:2])
    ]


def _neighbors(
    reviewed: Sequence[ReviewedTime], pts_ms: int, window_ms: int
) -> tuple[ReviewedTime | None, ReviewedTime | None]:
    at = bisect_left(reviewed, pts_ms, key=lambda one: one.pts_ms)
    before = reviewed[at - 1] if at else None
    after = reviewed[at] if at < len(reviewed) else None
    near = (one if one and abs(one.pts_ms - pts_ms) <= window_ms else None for one in (before, after))
    first, last = near
    return first, last


@dataclass(frozen=True, slots=True)
class PropagationQuality:
    """How well the masks carried to a frame agree with the teacher's, over its people."""

    agreement: float | None
    """Lowest IoU of a person; None: no person."""
    confidence: float | None
    """Lowest of a person; None: no person."""
    unmatched: int
    """People whom only the teacher or only the reviewed frames have."""

    def needs_no_review(self, *, min_iou: float, min_confidence: float) -> bool:
        """Return whether every person is in both, and every pair of masks agrees.

        >>> PropagationQuality(0.9, 0.7, 0).needs_no_review(min_iou=0.8, min_confidence=0.5)
        True
        """
        if self.agreement is None or self.confidence is None or self.unmatched:
            return False
        return self.agreement >= min_iou and self.confidence >= min_confidence
