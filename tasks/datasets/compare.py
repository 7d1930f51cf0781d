"""Compare the frames of a dataset version with each other, and with frames that are assigned already."""

from dataclasses import dataclass
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db.datasets.splits import anchor_images, anchors_of
from labeling.datasets.records import SPLITS
from labeling.datasets.splits.assignment import group_key, source_key
from labeling.datasets.splits.neighbors import near_groups, nearest_frames
from labeling.datasets.splits.similarity import NEAR
from labeling.datasets.splits.thumbnail_file import ThumbnailFile
from tasks.datasets.choose import ChosenFrames
from tasks.datasets.describe import describe_frames
from tasks.execution.context import Context


@dataclass(frozen=True, slots=True)
class AnchorFrames:
    """Frames that are assigned already, here or in a dataset to stay away from; in a fixed order."""

    name: str
    is_frozen: bool
    keys: tuple[str, ...]
    """Different `group_key`s."""
    groups: NDArray[np.int64]
    """Of each frame, as position in `keys`."""
    codes: NDArray[np.int8]
    """Of each frame: position in `SPLITS`; -1: of another dataset."""

    def __len__(self) -> int:
        return len(self.groups)

    @classmethod
    def read(cls, session: Session, name: str, *, is_frozen: bool) -> "AnchorFrames":
        sources = {one.video_id: one.source for one in anchors_of(session, name, is_frozen=is_frozen)}
        keys = {video_id: group_key(video_id, source) for video_id, source in sources.items()}
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys.values()))}
        codes = {split: code for code, split in enumerate(SPLITS)}
        frames = anchor_images(session, name, is_frozen=is_frozen)
        values = (
            value
            for video_id, label, _ in frames
            for value in (numbers[keys[video_id]], codes.get(label, -1))  # type: ignore[call-overload]  # a split, or a reason
        )
        table = np.fromiter(values, dtype=np.int64).reshape(-1, 2)
        return cls(name, is_frozen, tuple(numbers), table[:, 0].copy(), table[:, 1].astype(np.int8))


def describe_all(
    context: Context, session: Session, frames: ChosenFrames, known: AnchorFrames, file: ThumbnailFile
) -> list[int]:
    """Fill the file: first the chosen frames, then the known ones; return the chosen ones without a readable image."""
    everything = np.ones(len(frames.ids), dtype=bool)
    by_id = np.argsort(frames.ids)
    rows = chain.from_iterable(frames.rows(session, run, everything) for run in range(len(frames.runs)))
    chosen = ((int(by_id[np.searchsorted(frames.ids, row.id, sorter=by_id)]), row.image) for row in rows)
    unreadable = describe_frames(context, session, chosen, file)
    others = anchor_images(session, known.name, is_frozen=known.is_frozen)
    images = zip(count(len(frames.ids)), (image for _, _, image in others), strict=False)
    describe_frames(context, session, images, file)
    return unreadable


def near_keys(
    frames: ChosenFrames, is_new: NDArray[np.bool_], known: AnchorFrames, file: ThumbnailFile
) -> set[tuple[str, str]]:
    """Return the pairs of `group_key` with near-duplicates, of which at least one frame is new."""
    of_video = [group_key(one, source_key(frames.credits[one])) for one in frames.video_ids]
    keys = list(dict.fromkeys((*of_video, *known.keys)))
    numbers = {key: number for number, key in enumerate(keys)}
    chosen = np.array([numbers[key] for key in of_video], dtype=np.int64)[frames.videos]
    others = np.array([numbers[key] for key in known.keys], dtype=np.int64)[known.groups]
    of_known = np.arange(len(frames.ids), len(frames.ids) + len(known))
    pairs = near_groups(file, np.concatenate([chosen, others]), np.flatnonzero(is_new), of_known)
    return {(keys[one], keys[other]) for one, other in pairs}


def near_other_splits(
    new_frames: NDArray[np.int64], codes: NDArray[np.int8], known: AnchorFrames, file: ThumbnailFile
) -> list[int]:
    """Return those of the new frames, of videos with these splits, that are near known frames of another split or set."""
    first = file.frames - len(known)
    found: list[int] = []
    for code in range(len(SPLITS)):
        rows = new_frames[codes[new_frames] == code]
        columns = first + np.flatnonzero(known.codes != code)
        if len(rows) and len(columns):
            near = nearest_frames(file, rows, columns).similarities >= NEAR
            found += rows[near].tolist()
    return found
