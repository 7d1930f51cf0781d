"""Freeze the labels of the frames of a dataset version."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import starmap
from typing import TYPE_CHECKING

import numpy as np
from more_itertools import batched
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db.datasets.queries import latest_version, version_rows, version_videos
from db.datasets.writes import FrozenFrame, PlacedFrame, store_labels
from db.frames.dataset import SelectedFrame, frames_with_masks
from db.sql.reading import PAGE
from labeling.datasets.records import SPLITS, DatasetFrame
from labeling.datasets.versions.content import LABELS_DIGITS, VideoCredit, labels_id
from tasks.datasets.choose import ChosenFrames
from tasks.execution.context import Context

if TYPE_CHECKING:
    from tasks.datasets.divide import DividedFrames

_LABELS = np.dtype(f"S{LABELS_DIGITS}")
_TEST = SPLITS.index("test")


@dataclass(frozen=True, slots=True)
class FrozenFrames:
    """The frames of a version, whose labels are stored; by video and time. Arrays of the same length."""

    credits: tuple[VideoCredit, ...]
    """By video id; `videos` has positions in it."""
    ids: NDArray[np.int64]
    keys: NDArray[np.int64]
    videos: NDArray[np.int64]
    codes: NDArray[np.int8]
    """Positions in `SPLITS`."""
    labels: NDArray[np.bytes_]
    """Ids of the labels."""

    def used_credits(self) -> list[VideoCredit]:
        """Return the credits of the videos that have frames, by video id."""
        return [self.credits[number] for number in np.unique(self.videos).tolist()]

    def labels_in_order(self) -> Iterator[str]:
        return (one.decode("ascii") for one in self.labels)

    def placed(self) -> Iterator[PlacedFrame]:
        """Yield the frames as they are stored."""
        columns = (self.labels_in_order(), self.ids, self.videos, self.codes)
        for label, frame_id, video, code in zip(*columns, strict=True):
            yield PlacedFrame(label, int(frame_id), self.credits[int(video)].video_id, SPLITS[int(code)])


def freeze_version(
    context: Context, session: Session, frames: ChosenFrames, divided: "DividedFrames"
) -> FrozenFrames:
    """Store the labels of the frames that are not left out, a page in each transaction."""
    kept = divided.codes >= 0
    ids = frames.ids[kept]
    labels = np.zeros(len(ids), dtype=_LABELS)
    by_id = np.argsort(ids)
    for run in range(len(frames.runs)):
        for page in batched(_frozen(context, session, frames, run, kept), PAGE):
            with context.database.transaction() as writing:
                store_labels(writing, page)
            here = np.searchsorted(ids, [one.frame.id for one in page], sorter=by_id)
            labels[by_id[here]] = [one.labels_id.encode("ascii") for one in page]
    credits = tuple(frames.credits[video_id] for video_id in frames.video_ids)
    return FrozenFrames(credits, ids, frames.keys[kept], frames.videos[kept], divided.codes[kept], labels)


def _frozen(
    context: Context, session: Session, frames: ChosenFrames, run: int, kept: NDArray[np.bool_]
) -> Iterator[FrozenFrame]:
    """Yield the frames that are taken from a run, with their masks and the ids of their labels."""
    for page in batched(frames.rows(session, run, kept), PAGE):
        read = frames_with_masks(session, frames.runs[run].id, context.home, page)
        yield from starmap(_with_id, zip(page, read, strict=True))


def _with_id(row: SelectedFrame, frame: DatasetFrame) -> FrozenFrame:
    return FrozenFrame(labels_id(frame, row.key, row.image, row.reviewer), frame, row.image, row.reviewer)


def with_earlier(session: Session, name: str, new: FrozenFrames) -> FrozenFrames:
    """Add the frames of the latest version of a frozen set, with the labels that they have there."""
    latest = latest_version(session, name)
    if latest is None:
        return new
    credits = {one.video_id: one for one in (*new.credits, *version_videos(session, latest.snapshot_id))}
    numbers = {video_id: number for number, video_id in enumerate(sorted(credits))}
    rows = [
        (row.frame_id, row.key, numbers[row.video_id], row.labels_id.encode())
        for row in version_rows(session, latest)
    ]
    renumbered = np.array([numbers[one.video_id] for one in new.credits], dtype=np.int64)[new.videos]
    ids, keys, videos = (np.array([row[at] for row in rows], dtype=np.int64) for at in range(3))
    videos = np.concatenate([renumbered, videos])
    keys = np.concatenate([new.keys, keys])
    order = np.lexsort((keys, videos))
    return FrozenFrames(
        tuple(credits[video_id] for video_id in sorted(credits)),
        np.concatenate([new.ids, ids])[order],
        keys[order],
        videos[order],
        np.full(len(order), _TEST, dtype=np.int8),
        np.concatenate([new.labels, np.array([row[3] for row in rows], dtype=_LABELS)])[order],
    )
