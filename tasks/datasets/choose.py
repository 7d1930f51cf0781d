"""Choose the frames of a dataset version."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db.datasets.selection import choice_of, credits_of_runs, runs_of_query
from db.frames.dataset import FrameChoice, SelectedFrame, selected_frames
from db.models.core import RunRow
from labeling.datasets.versions.content import VideoCredit
from labeling.datasets.versions.query import FrameQuery

_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class ChosenFrames:
    """Frames by video and time; arrays of the same length, because there may be millions."""

    runs: tuple[RunRow, ...]
    choice: FrameChoice
    credits: dict[str, VideoCredit]
    """Of all videos of the runs."""
    video_ids: tuple[str, ...]
    """Sorted; `videos` has positions in it."""
    ids: NDArray[np.int64]
    keys: NDArray[np.int64]
    """`frame_key` of each frame."""
    videos: NDArray[np.int64]
    run_of: NDArray[np.int64]
    """Position of the run in `runs` that a frame is taken from."""

    @property
    def used_videos(self) -> list[str]:
        """The videos that have frames, sorted."""
        return [self.video_ids[number] for number in np.unique(self.videos).tolist()]

    def rows(self, session: Session, run: int, kept: NDArray[np.bool_]) -> Iterator[SelectedFrame]:
        """Read again the frames that are taken from a run and `kept`, by video and time."""
        wanted = np.sort(self.ids[kept & (self.run_of == run)])
        for row in selected_frames(session, self.runs[run].id, self.choice):
            position = int(np.searchsorted(wanted, row.id))
            if position < len(wanted) and wanted[position] == row.id:
                yield row


def choose_frames(session: Session, query: FrameQuery) -> ChosenFrames:
    """Read which frames a query takes; one that several runs have is taken from the first.

    Raises:
        ConfigError: there is no such run.
    """
    runs = tuple(runs_of_query(session, query))
    credits = credits_of_runs(session, runs)
    video_ids = tuple(sorted(credits))
    numbers = {video_id: number for number, video_id in enumerate(video_ids)}
    choice = choice_of(query, credits.values())
    parts: list[NDArray[np.int64]] = []
    for number, run in enumerate(runs):
        part = _read(session, run.id, choice, numbers, number)
        known = np.concatenate([before[:, 0] for before in parts]) if parts else part[:0, 0]
        parts.append(part[~np.isin(part[:, 0], known)])
    found = np.concatenate(parts)
    found = found[np.lexsort((found[:, 1], found[:, 2]))]
    return ChosenFrames(runs, choice, credits, video_ids, *found.T.copy())


def _read(
    session: Session, run_id: str, choice: FrameChoice, numbers: dict[str, int], run: int
) -> NDArray[np.int64]:
    frames = selected_frames(session, run_id, choice)
    values = (value for row in frames for value in (row.id, row.key, numbers[row.video_id], run))
    return np.fromiter(values, dtype=np.int64).reshape(-1, _COLUMNS)
