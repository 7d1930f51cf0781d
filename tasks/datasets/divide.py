"""Divide the frames of a dataset version into train, val and test."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db.datasets.splits import anchors_of, frame_splits, own_videos
from labeling.datasets.splits.assignment import SPLITS, Assignment, Division, assign_videos
from tasks.datasets.choose import ChosenFrames

IN_THE_SET = "of a video that the frozen set has: it grows by whole videos"


@dataclass(frozen=True, slots=True)
class DividedFrames:
    """The split of each chosen frame."""

    codes: NDArray[np.int8]
    """Positions in `SPLITS`; -1: left out."""
    excluded: dict[str, int]
    """Frames that were left out, by reason."""
    groups: int
    """Groups of videos that were assigned now."""


def divide_frames(
    session: Session, name: str, frames: ChosenFrames, division: Division, *, is_frozen: bool
) -> DividedFrames:
    """Divide frames: those of earlier versions stay where they are, new ones follow their group."""
    own = own_videos(session, name)
    new = [frames.credits[video_id] for video_id in frames.used_videos if video_id not in own]
    assigned = assign_videos(new, anchors_of(session, name, is_frozen=is_frozen), (), division)
    older = _older_codes(session, name, frames)
    codes = np.where(older >= 0, older, _codes_by_video(frames, own, assigned)[frames.videos])
    excluded = Counter(assigned.reasons[_video(frames, at)] for at in np.flatnonzero(codes < 0).tolist())
    if is_frozen:
        is_known = np.isin(frames.videos, [n for n, one in enumerate(frames.video_ids) if one in own])
        excluded[IN_THE_SET] = int((is_known & (older < 0)).sum())
        codes = np.where(is_known, -1, codes)
    return DividedFrames(codes.astype(np.int8), dict(+excluded), assigned.groups)


def _video(frames: ChosenFrames, position: int) -> str:
    return frames.video_ids[int(frames.videos[position])]


def _older_codes(session: Session, name: str, frames: ChosenFrames) -> NDArray[np.int8]:
    """Return the splits of frames that an earlier version has; -1 for the others."""
    rows = ((frame_id, SPLITS.index(split)) for frame_id, split in frame_splits(session, name))  # type: ignore[arg-type]  # the schema allows no other
    known = np.fromiter((value for row in rows for value in row), dtype=np.int64).reshape(-1, 2)
    codes = np.full(len(frames.ids), -1, dtype=np.int8)
    if len(known):
        at = np.minimum(np.searchsorted(known[:, 0], frames.ids), len(known) - 1)
        codes = np.where(known[at, 0] == frames.ids, known[at, 1], -1).astype(np.int8)
    return codes


def _codes_by_video(frames: ChosenFrames, own: dict[str, str], assigned: Assignment) -> NDArray[np.int8]:
    splits = [own.get(one) or assigned.splits.get(one) for one in frames.video_ids]
    return np.array([-1 if one is None else SPLITS.index(one) for one in splits], dtype=np.int8)  # type: ignore[arg-type]  # the schema allows no other
