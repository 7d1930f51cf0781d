"""Divide the frames of a dataset version into train, val and test."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db.datasets.splits import anchors_of, frame_splits, own_videos
from db.datasets.strata import causes_of, smallest_found
from labeling.datasets.records import SPLITS
from labeling.datasets.splits.assignment import NO_STRATA, Assignment, assign_videos
from labeling.datasets.splits.stratify import StrataOf, VideoStrata
from labeling.datasets.splits.thumbnail_file import ThumbnailFile
from labeling.students.groups import size_group
from tasks.datasets.choose import ChosenFrames
from tasks.datasets.compare import AnchorFrames, describe_all, near_keys, near_other_splits
from tasks.datasets.order import DatasetOrder
from tasks.execution.context import Context

IN_THE_SET = "of a video that the frozen set has: it grows by whole videos"
UNREADABLE = "without a readable image"
NEAR_OTHERS = "of a known video, and near frames of another split or set"
_CODES = {split: code for code, split in enumerate(SPLITS)}
Codes = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class DividedFrames:
    """The split of each chosen frame."""

    codes: Codes
    """Positions in `SPLITS`; -1: left out."""
    excluded: dict[str, int]
    """Frames that were left out, by reason."""
    groups: int
    """Groups of videos that were assigned now."""


def divide_frames(
    context: Context, session: Session, order: DatasetOrder, frames: ChosenFrames
) -> DividedFrames:
    """Divide frames: those of earlier versions stay where they are, new ones follow their group."""
    name, is_frozen = order.name, order.is_frozen
    older = _older_codes(session, name, frames)
    own = own_videos(session, name)
    known = AnchorFrames.read(session, name, is_frozen=is_frozen)
    with ThumbnailFile(len(frames.ids) + len(known), context.home.root) as file:
        unreadable = describe_all(context, session, frames, known, file)
        near = near_keys(frames, older < 0, known, file)
        own_codes = _codes_by_video(frames, own)[frames.videos]
        is_near = near_other_splits(np.flatnonzero((own_codes >= 0) & (older < 0)), own_codes, known, file)
    new = [frames.credits[video_id] for video_id in frames.used_videos if video_id not in own]
    anchors = anchors_of(session, name, is_frozen=is_frozen)
    strata = NO_STRATA if is_frozen else _strata(session, frames, own_codes)
    assigned = assign_videos(new, anchors, near, order.division, strata)
    codes = np.where(older >= 0, older, _codes_by_video(frames, own | dict(assigned.splits))[frames.videos])
    reasons = dict(_left_out(frames, codes, assigned))
    if is_frozen:
        reasons |= dict.fromkeys(np.flatnonzero((own_codes >= 0) & (older < 0)).tolist(), IN_THE_SET)
        codes[own_codes >= 0] = -1
    else:
        reasons |= dict.fromkeys(is_near, NEAR_OTHERS)
    reasons |= dict.fromkeys((at for at in unreadable if older[at] < 0), UNREADABLE)
    codes[list(reasons)] = -1
    return DividedFrames(codes.astype(np.int8), dict(Counter(reasons.values())), assigned.groups)


def _strata(session: Session, frames: ChosenFrames, known: Codes) -> VideoStrata:
    """Return the strata of chosen frames before their labels are frozen: sizes are those of the teacher's masks.

    `known` has the split of the video of each frame; -1: of a new video.
    """
    names = [
        SPLITS[code] if code >= 0 else frames.video_ids[video]
        for code, video in zip(known, frames.videos, strict=True)
    ]
    found: dict[str, set[str]] = {}
    for number, run in enumerate(frames.runs):
        at = np.flatnonzero(frames.run_of == number)
        of_frame = dict(zip(frames.ids[at].tolist(), (names[one] for one in at), strict=True))
        for frame, (smallest, size_hw) in smallest_found(session, run.id, of_frame).items():
            found.setdefault(of_frame[frame], set()).add(size_group(smallest, size_hw))
        for cause, of_cause in causes_of(session, [run.id], of_frame).items():
            for frame in of_cause:
                found.setdefault(of_frame[frame], set()).add(f"cause {cause}")
    by_split: StrataOf = {split: found.pop(split) for split in SPLITS if split in found}
    return VideoStrata(found, by_split)


def _left_out(frames: ChosenFrames, codes: Codes, assigned: Assignment) -> Iterator[tuple[int, str]]:
    """Yield the positions of frames of videos that are left out, with the reason."""
    for at in np.flatnonzero(codes < 0).tolist():
        yield at, assigned.reasons[frames.video_ids[int(frames.videos[at])]]


def _older_codes(session: Session, name: str, frames: ChosenFrames) -> Codes:
    """Return the splits of frames that an earlier version has; -1 for the others."""
    rows = ((frame_id, _CODES[split]) for frame_id, split in frame_splits(session, name))  # type: ignore[index]  # the schema allows no other
    known = np.fromiter((value for row in rows for value in row), dtype=np.int64).reshape(-1, 2)
    if not len(known):
        return np.full(len(frames.ids), -1, dtype=np.int8)
    at = np.minimum(np.searchsorted(known[:, 0], frames.ids), len(known) - 1)
    return np.where(known[at, 0] == frames.ids, known[at, 1], -1).astype(np.int8)


def _codes_by_video(frames: ChosenFrames, splits: dict[str, str]) -> Codes:
    return np.array([_CODES.get(splits.get(one), -1) for one in frames.video_ids], dtype=np.int8)  # type: ignore[call-overload]  # any text may be asked for
