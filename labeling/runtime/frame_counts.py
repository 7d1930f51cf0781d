"""Frames done in the clips that this process is working on: they are in the database only when a shard is done."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FramesDone:
    """The state of one clip in progress."""

    video_id: str
    done: int
    """Frames that are rejected or compared."""
    hard: int


_lock = threading.Lock()
_counts: dict[object, FramesDone] = {}


def report_frames(key: object, frames: FramesDone) -> None:
    """Replace the state of the clip `key`."""
    with _lock:
        _counts[key] = frames


def forget_frames(key: object) -> None:
    """Remove a clip that has ended."""
    with _lock:
        _counts.pop(key, None)


def frames_in_progress() -> list[FramesDone]:
    """Return the states of all clips in progress; the last one began last."""
    with _lock:
        return list(_counts.values())
