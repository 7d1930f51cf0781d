"""Frames of a run that are done, and an estimate of all: for progress bars."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.frames.listing import load_sources, video_title
from db.models.core import ImageRow, RunRow, ShardRow, VideoRow


@dataclass(frozen=True, slots=True)
class VideoProgress:
    """One video or set of images of a run."""

    video_id: str
    title: str
    done: int
    """Frames of shards that are done."""
    hard: int
    expected: int
    """Frames that will have been sampled at the end, estimated from the duration."""
    is_finished: bool
    """No shard is left to do."""


def frame_progress(session: Session, run_id: str) -> list[VideoProgress]:
    """Return the videos of a run, in the order of their shards."""
    run = session.get(RunRow, run_id)
    if run is None:
        return []
    shards: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    columns = (ShardRow.video_id, ShardRow.state, ShardRow.counts)
    query = select(*columns).where(ShardRow.run_id == run_id).order_by(ShardRow.planned_at, ShardRow.video_id)
    for video_id, state, counts in session.execute(query).tuples():
        shards.setdefault(video_id, []).append((state, counts))
    of_run = select(ShardRow.video_id).where(ShardRow.run_id == run_id)
    videos = {row.id: row for row in session.scalars(select(VideoRow).where(VideoRow.id.in_(of_run)))}
    load_sources(session, list(videos))
    every_s = run.config.get("sampling", {}).get("every_s", 0.5)
    return [
        _video_progress(session, videos[video_id], of_video, every_s) for video_id, of_video in shards.items()
    ]


def _video_progress(
    session: Session, video: VideoRow, shards: list[tuple[str, dict[str, Any]]], every_s: float
) -> VideoProgress:
    done = sum(counts.get("sampled", 0) for _, counts in shards)
    is_finished = all(state != "planned" for state, _ in shards)
    return VideoProgress(
        video.id,
        video_title(session, video),
        done=done,
        hard=sum(counts.get("hard", 0) for _, counts in shards),
        expected=done if is_finished else max(done, _expected(session, video, every_s)),
        is_finished=is_finished,
    )


def _expected(session: Session, video: VideoRow, every_s: float) -> int:
    if video.kind == "images":
        of_set = select(func.count()).select_from(ImageRow).where(ImageRow.video_id == video.id)
        return session.scalar(of_set) or 0
    seconds = (video.duration_ms or 0) / 1000 - sum(end - start for start, end in video.gaps or ()) / 1000
    numerator, _, denominator = (video.fps or "25").partition("/")
    per_s: float = 1 / every_s if every_s else int(numerator) / int(denominator or 1)
    frames: int = round(seconds * per_s)
    return max(1, frames)
