"""Progress of a run by video: sums over shards, titles of shards, frames to review."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from db.frames.listing import video_title
from db.models.core import DecisionRow, ShardRow, VideoRow
from db.models.review import ConsensusRow
from db.sql.reading import count_rows
from labeling.text.titles import shard_title


@dataclass(slots=True)
class VideoWork:
    """The work of one run on one video, summed over shards."""

    video_id: str
    done: int = 0
    """Shards that are done."""
    left: int = 0
    """Shards that are not done."""
    counts: dict[str, int] = field(default_factory=dict)
    """Frames per stage."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds per stage; decoding and storing overlap the other stages."""
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


def run_work(session: Session, run_id: str) -> VideoWork:
    """Return the sum over all videos of a run."""
    total = VideoWork("")
    columns = (ShardRow.state, ShardRow.error_code, ShardRow.counts, ShardRow.seconds)
    for shard in session.execute(select(*columns).where(ShardRow.run_id == run_id)).tuples():
        total.add(*shard)
    return total


def video_works(session: Session, run_id: str) -> list[VideoWork]:
    """Return the videos of a run: those with failures first, then by number of hard frames, descending."""
    works: dict[str, VideoWork] = {}
    columns = (ShardRow.video_id, ShardRow.state, ShardRow.error_code, ShardRow.counts, ShardRow.seconds)
    for video_id, *shard in session.execute(select(*columns).where(ShardRow.run_id == run_id)).tuples():
        works.setdefault(video_id, VideoWork(video_id)).add(*shard)
    return sorted(
        works.values(), key=lambda work: (not work.failures, -work.counts.get("hard", 0), work.video_id)
    )


def title_of(session: Session, video_id: str) -> str:
    return video_title(session, session.get_one(VideoRow, video_id))


def title_of_shard(session: Session, shard: ShardRow) -> str:
    """Return a title with the time range; a shard without an end takes the duration of its video."""
    video, end_ms = session.get_one(VideoRow, shard.video_id), shard.end_ms
    if end_ms is None and video.duration_ms and video.duration_ms > shard.start_ms:
        end_ms = video.duration_ms
    images = video.kind == "images"
    return shard_title(video_title(session, video), shard.start_ms, end_ms, images=images)


def shards_ended(session: Session, run_id: str) -> tuple[int, set[int]]:
    """Return how many shards of a run are done, and the ids of those that failed."""
    failed = select(ShardRow.id).where(ShardRow.run_id == run_id, ShardRow.state == "failed")
    done = count_rows(session, ShardRow, ShardRow.run_id == run_id, ShardRow.state == "done")
    return done, set(session.scalars(failed))


def count_for_people(session: Session, run_id: str) -> int:
    """Return how many frames of a run are to be reviewed and have no consensus yet."""
    has_consensus = exists().where(ConsensusRow.frame_id == DecisionRow.frame_id)
    to_review = (DecisionRow.run_id == run_id) & (DecisionRow.decision == "review")
    return count_rows(session, DecisionRow, to_review, ~has_consensus)
