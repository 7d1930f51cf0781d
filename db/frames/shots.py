"""Shots of a run's videos, joined across the shards that they span."""

from bisect import bisect_right
from dataclasses import dataclass, field
from fractions import Fraction

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.core import DecisionRow, FrameRow, ShardRow, VideoRow
from labeling.review.queue import Shot


@dataclass(slots=True)
class Shots:
    """Looks up where the shots of a run start.

    A shard sees only its own frames, so its first shot starts with the shard. If that start is within one
    frame of the shard's start, the shot is taken for a continuation of the last one of the shard before.
    A scene boundary exactly between two shards is missed.
    """

    session: Session
    run_id: str
    _known: dict[Shot, Shot] = field(default_factory=dict)
    _shards: dict[str, tuple[list[int], Fraction]] | None = None
    """By video: start times of its shards, and the duration of a frame in ms."""

    def whole(self, shot: Shot) -> Shot:
        """Return the shot with the start that its first shard recorded."""
        parts = []
        while shot not in self._known and (before := self._before(shot)):
            parts.append(shot)
            shot = before
        start = self._known.setdefault(shot, shot)
        self._known |= dict.fromkeys(parts, start)
        return start

    def _before(self, shot: Shot) -> Shot | None:
        """Return the last shot of the shard before if this one continues it, else None."""
        video_id, shot_start_ms = shot
        starts_ms, frame_ms = self._shards_of(video_id)
        shard = bisect_right(starts_ms, shot_start_ms) - 1
        if shard < 1 or shot_start_ms - starts_ms[shard] >= frame_ms:
            return None
        # only frames of videos get here: they are found by the index on pts_ms
        before = (
            FrameRow.image_index.is_(None),
            FrameRow.pts_ms < starts_ms[shard],
            FrameRow.pts_ms >= starts_ms[shard - 1],
        )
        query = (
            select(DecisionRow.shot_start_ms)
            .join(FrameRow, FrameRow.id == DecisionRow.frame_id)
            .where(DecisionRow.run_id == self.run_id, FrameRow.video_id == video_id, *before)
            .order_by(FrameRow.pts_ms.desc())
            .limit(1)
        )
        start_before_ms = self.session.scalar(query)
        return None if start_before_ms is None else (video_id, start_before_ms)

    def _shards_of(self, video_id: str) -> tuple[list[int], Fraction]:
        """Look up the shards of a video; those of all videos are read at the first call."""
        if self._shards is None:
            query = (
                select(ShardRow.video_id, VideoRow.fps, ShardRow.start_ms)
                .join(VideoRow, VideoRow.id == ShardRow.video_id)
                .where(ShardRow.run_id == self.run_id)
                .order_by(ShardRow.video_id, ShardRow.start_ms)
            )
            self._shards = {}
            for of_video, fps, start_ms in self.session.execute(query).tuples():
                # a set of images has no frame rate: each image is a shot of its own
                frame_ms = 1000 / Fraction(fps) if fps else Fraction(0)
                self._shards.setdefault(of_video, ([], frame_ms))[0].append(start_ms)
        return self._shards.get(video_id, ([], Fraction(0)))
