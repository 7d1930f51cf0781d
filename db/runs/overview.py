"""A run by its videos, for those who watch it: sums over shards, names of shards, frames that wait."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from db.frames.listing import video_title
from db.models.core import DecisionRow, ShardRow, VideoRow
from db.models.review import ConsensusRow
from labeling.text.titles import shard_title


@dataclass(slots=True)
class VideoWork:
    """What one run did with one video, summed over its shards as they are read."""

    video_id: str
    done: int = 0
    """Shards."""
    left: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Frames per stage."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds per stage; decoding and storing overlap the rest."""
    failures: dict[str, int] = field(default_factory=dict)
    """Failed shards by code."""

    def add(
        self, state: str, code: str | None, counts: Mapping[str, int], seconds: Mapping[str, float]
    ) -> None:
        self.done += state == "done"
        self.left += state != "done"
        if state == "failed":
            self.failures[code or "error"] = self.failures.get(code or "error", 0) + 1
        for name, frames in counts.items():
            self.counts[name] = self.counts.get(name, 0) + frames
        for stage, wall_s in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + wall_s


def video_works(session: Session, run_id: str) -> list[VideoWork]:
    """The videos of a run: those with failures first, then by their hard frames, most first."""
    works: dict[str, VideoWork] = {}
    columns = (ShardRow.video_id, ShardRow.state, ShardRow.error_code, ShardRow.counts, ShardRow.seconds)
    for video_id, *shard in session.execute(select(*columns).where(ShardRow.run_id == run_id)).tuples():
        works.setdefault(video_id, VideoWork(video_id)).add(*shard)
    return sorted(works.values(), key=lambda w: (not w.failures, -w.counts.get("hard", 0), w.video_id))


def title_of(session: Session, video_id: str) -> str:
    return video_title(session, session.get_one(VideoRow, video_id))


def title_of_shard(session: Session, shard: ShardRow) -> str:
    """The last shard is open, but a person wants to know where it ends."""
    video, end_ms = session.get_one(VideoRow, shard.video_id), shard.end_ms
    if end_ms is None and video.duration_ms and video.duration_ms > shard.start_ms:
        end_ms = video.duration_ms
    images = video.kind == "images"
    return shard_title(video_title(session, video), shard.start_ms, end_ms, images=images)


def shards_ended(session: Session, run_id: str) -> tuple[int, set[int]]:
    """Shards of a run that are done (how many), and that failed (which)."""
    done = (
        select(func.count()).select_from(ShardRow).where(ShardRow.run_id == run_id, ShardRow.state == "done")
    )
    failed = select(ShardRow.id).where(ShardRow.run_id == run_id, ShardRow.state == "failed")
    return session.scalar(done) or 0, set(session.scalars(failed))


def count_for_people(session: Session, run_id: str) -> int:
    """Frames that a run wants reviewed and about which nobody has said anything yet."""
    said = exists().where(ConsensusRow.frame_id == DecisionRow.frame_id)
    wanted = (DecisionRow.run_id == run_id, DecisionRow.decision == "review", ~said)
    return session.scalar(select(func.count()).select_from(DecisionRow).where(*wanted)) or 0
