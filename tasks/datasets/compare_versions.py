"""What changed from one dataset version to another; both are read side by side, so that memory does not grow."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from more_itertools import batched
from sqlalchemy.orm import Session

from db.datasets.queries import VersionFrame, find_version, labels_of, version_rows
from db.sql.reading import PAGE
from labeling.datasets.versions.difference import MaskChange, mask_changes

_Pair = tuple[VersionFrame | None, VersionFrame | None]


@dataclass(frozen=True, slots=True)
class FrameChange:
    """A frame that only one version has, or whose labels differ."""

    kind: Literal["added", "removed", "changed"]
    frame: int
    video_id: str
    pts_ms: int | None
    """None: an image without a time."""
    name: str
    """File name of an image; empty for frames of a video."""
    decision: str
    """In the second version, or in the only one that has the frame."""
    reviewers: tuple[str, ...]
    """Whose annotation counts, in either version."""
    masks: tuple[MaskChange, ...] = ()


def compare_versions(session: Session, first: str, second: str) -> Iterator[FrameChange]:
    """Yield the differences by video and time; ConfigError if there is no such version."""
    before, after = (version_rows(session, find_version(session, text)) for text in (first, second))
    differing = (pair for pair in _aligned(before, after) if _differs(pair))
    for page in batched(differing, PAGE):
        people = labels_of(session, [row for pair in page for row in pair if row and all(pair)])
        for one, other in page:
            masks: tuple[MaskChange, ...] = ()
            if one and other:
                masks = mask_changes(people.get(one.labels_id, ()), people.get(other.labels_id, ()))
            yield _change(one, other, masks)


def _differs(pair: _Pair) -> bool:
    one, other = pair
    return one is None or other is None or one.labels_id != other.labels_id


def _aligned(before: Iterator[VersionFrame], after: Iterator[VersionFrame]) -> Iterator[_Pair]:
    """Yield the frames of both versions; each comes by video and key."""
    one, other = next(before, None), next(after, None)
    while one or other:
        here = min(_place(row) for row in (one, other) if row)
        first = one if one and _place(one) == here else None
        second = other if other and _place(other) == here else None
        yield first, second
        one = next(before, None) if first else one
        other = next(after, None) if second else other


def _place(row: VersionFrame) -> tuple[str, int]:
    return row.video_id, row.key


def _change(
    one: VersionFrame | None, other: VersionFrame | None, masks: tuple[MaskChange, ...]
) -> FrameChange:
    row = other or one
    if row is None:
        raise TypeError("a change requires a frame of one of the versions")
    reviewers = dict.fromkeys(found.reviewer for found in (one, other) if found and found.reviewer)
    kind: Literal["added", "removed", "changed"] = "changed"
    if one is None or other is None:
        kind = "added" if one is None else "removed"
    about = (row.video_id, row.pts_ms, row.name, row.decision, tuple(reviewers))
    return FrameChange(kind, row.frame_id, *about, masks)


@dataclass(frozen=True, slots=True)
class VersionChanges:
    """The differences of two versions, counted, and the first ones."""

    frames: dict[str, int]
    """By kind."""
    masks: dict[str, int]
    """In changed frames, by kind."""
    changes: tuple[FrameChange, ...]


def summarize_changes(changes: Iterable[FrameChange], *, limit: int) -> VersionChanges:
    """Count differences, and keep the first `limit`."""
    frames, masks = Counter[str](), Counter[str]()
    kept: list[FrameChange] = []
    for change in changes:
        frames[change.kind] += 1
        masks.update(one.kind for one in change.masks)
        if len(kept) < limit:
            kept.append(change)
    return VersionChanges(dict(sorted(frames.items())), dict(sorted(masks.items())), tuple(kept))
