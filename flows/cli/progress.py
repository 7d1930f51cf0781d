"""Progress that reads what a flow writes: the database, the frames in progress, or the folders of mattes."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from configs.errors import DatabaseError, StorageError
from db.runs.frame_progress import VideoProgress, frame_progress
from flows.cli.working import Update
from labeling.runtime.frame_counts import FramesDone, frames_in_progress
from labeling.runtime.repeat import repeat
from labeling.storage.home import Home
from labeling.text.figures import duration
from tasks.execution.context import open_context

EVERY_S = 0.5


@contextmanager
def watch_progress(home: Path, run_id: str, update: Update) -> Iterator[None]:
    """Report the frames of a run that are done, of each source, until the block ends."""
    root, rate = Home(home.expanduser().resolve()), FrameRate()

    def step() -> None:
        if not root.database.exists():
            return
        with suppress(DatabaseError, StorageError), open_context(root).database.session() as session:
            videos = frame_progress(session, run_id)
            if videos:
                update(*describe_progress(videos, frames_in_progress(), rate))

    with repeat(step, EVERY_S):
        yield


class FrameRate:
    """Frames per second since the first frame of this run that was seen."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None

    def of(self, done: int) -> float | None:
        """Return the rate at `done` frames; None: too early."""
        if self._first is None:
            self._first = (self._clock(), done)
        begin_s, before = self._first
        seconds = self._clock() - begin_s
        return (done - before) / seconds if seconds > 0 and done > before else None


def describe_progress(
    videos: Sequence[VideoProgress], current: Sequence[FramesDone], rate: FrameRate
) -> tuple[str, int, int]:
    """Return a line about the source in progress and the whole run, the frames done, and all of them.

    >>> street = VideoProgress("1f0c", "street.mp4", done=120, hard=40, expected=280, is_finished=False)
    >>> describe_progress([street], [FramesDone("1f0c", 16, 1)], FrameRate())
    ('street.mp4 · 136/280 frames · hard 41', 136, 280)
    """
    live = {video.video_id: [one for one in current if one.video_id == video.video_id] for video in videos}
    done = sum(video.done for video in videos) + sum(one.done for one in current)
    hard = sum(video.hard for video in videos) + sum(one.hard for one in current)
    total = max(done, sum(video.expected for video in videos))
    working_on = [video for video in videos if live[video.video_id]] or [
        v for v in videos if not v.is_finished
    ]
    parts = [f"{done}/{total} frames"]
    if len(videos) > 1 and working_on:
        number = videos.index(working_on[0]) + 1
        own = working_on[0].done + sum(one.done for one in live[working_on[0].video_id])
        parts = [
            f"{own}/{max(own, working_on[0].expected)} frames",
            f"source {number} of {len(videos)}, {parts[0]} in all",
        ]
    parts += _rate_parts(rate, done, total)
    name = working_on[0].title if working_on else "done"
    return " · ".join([name, *parts, f"hard {hard}"]), done, total


def _rate_parts(rate: FrameRate, done: int, total: int) -> list[str]:
    """Return frames per second and the time left, once they are known."""
    frames_s = rate.of(done)
    if not frames_s or done >= total:
        return []
    return [f"{frames_s:.1f} frames/s", f"ETA {duration(round((total - done) / frames_s))}"]


@contextmanager
def watch_mattes(folders: Sequence[Path], update: Update) -> Iterator[None]:
    """Report what is being done with each matte, until the block ends.

    The files that an earlier run left are ignored until they change.
    """
    files = [folder / "progress.json" for folder in folders]
    before = {file: _changed_at(file) for file in files}
    rates: dict[tuple[Path, str], FrameRate] = {}

    def step() -> None:
        changed = [file for file in files if _changed_at(file) != before[file]]
        if not changed:
            return
        latest = max(changed, key=_changed_at)
        with suppress(OSError, ValueError, KeyError):
            state = json.loads(latest.read_bytes())
            done, total = state["frames_done"], state["frames_total"]
            parts = [latest.parent.name, _MATTE_STAGES.get(state["stage"], state["stage"])]
            if total:
                parts.append(f"{done}/{total} frames")
                parts += _rate_parts(rates.setdefault((latest, state["stage"]), FrameRate()), done, total)
            if len(files) > 1:
                parts.append(f"source {files.index(latest) + 1} of {len(files)}")
            update(" · ".join(parts), done, total or None)

    with repeat(step, EVERY_S):
        yield


_MATTE_STAGES = {
    "plate": "searching the background",
    "matte": "cutting people out",
    "encode": "writing videos",
}


def _changed_at(file: Path) -> int:
    """Return when a file changed last; 0 if it is not there."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
