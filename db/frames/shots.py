"""Shots of a run's videos, which go on where a shard ends and the next one begins."""

from bisect import bisect_right
from dataclasses import dataclass, field
from fractions import Fraction

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.core import DecisionRow, FrameRow, ShardRow, VideoRow
from labeling.review.queue import Shot


@dataclass(slots=True)
class Shots:
    """Looks up where shots of a run began.

    A shard has only its own frames in view, so its first shot is said to begin with it. If that is
    within a frame of the shard's start, it is taken for what the shard before ended with: of a cut in that
    very moment nobody knows.
    """

    session: Session
    run_id: str
    _known: dict[Shot, Shot] = field(default_factory=dict)
    _shards: dict[str, tuple[list[int], Fraction]] | None = None
    """By video: where its shards start, and how long its first frame may take to come, in ms."""

    def whole(self, shot: Shot) -> Shot:
        """The shot as it is known by its first shard."""
        parts = []
        while shot not in self._known and (before := self._before(shot)):
            parts.append(shot)
            shot = before
        began = self._known.setdefault(shot, shot)
        self._known |= dict.fromkeys(parts, began)
        return began

    def _before(self, shot: Shot) -> Shot | None:
        """What the shard before ended with, if this shot began with its shard; None: a cut began it."""
        video_id, shot_start_ms = shot
        starts_ms, frame_ms = self._shards_of(video_id)
        shard = bisect_right(starts_ms, shot_start_ms) - 1
        if shard < 1 or shot_start_ms - starts_ms[shard] >= frame_ms:
            return None
        before = (FrameRow.t_ms < starts_ms[shard], FrameRow.t_ms >= starts_ms[shard - 1])
        query = (
            select(DecisionRow.shot_start_ms)
            .join(FrameRow, FrameRow.id == DecisionRow.frame_id)
            .where(DecisionRow.run_id == self.run_id, FrameRow.video_id == video_id, *before)
            .order_by(FrameRow.t_ms.desc())
            .limit(1)
        )
        shot_ms_before = self.session.scalar(query)
        return None if shot_ms_before is None else (video_id, shot_ms_before)

    def _shards_of(self, video_id: str) -> tuple[list[int], Fraction]:
        """Read of all videos at once: who asks about one asks about many."""
        if self._shards is None:
            query = (
                select(ShardRow.video_id, VideoRow.fps, ShardRow.start_ms)
                .join(VideoRow, VideoRow.id == ShardRow.video_id)
                .where(ShardRow.run_id == self.run_id)
                .order_by(ShardRow.video_id, ShardRow.start_ms)
            )
            self._shards = {}
            for of_video, fps, start_ms in self.session.execute(query).tuples():
                # images have none: each is a shot of its own
                frame_ms = 1000 / Fraction(fps) if fps else Fraction(0)
                self._shards.setdefault(of_video, ([], frame_ms))[0].append(start_ms)
        return self._shards.get(video_id, ([], Fraction(0)))
