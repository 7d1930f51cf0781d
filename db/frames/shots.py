"""Shots of a run's videos, which go on where a shard ends and the next one begins."""

from bisect import bisect_right
from dataclasses import dataclass, field
from fractions import Fraction

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models.core import Decision, Frame, Shard, Video
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
        video_id, shot_ms = shot
        starts_ms, frame_ms = self._shards_of(video_id)
        shard = bisect_right(starts_ms, shot_ms) - 1
        if shard < 1 or shot_ms - starts_ms[shard] >= frame_ms:
            return None
        before = (Frame.t_ms < starts_ms[shard], Frame.t_ms >= starts_ms[shard - 1])
        query = (
            select(Decision.shot_ms)
            .join(Frame, Frame.id == Decision.frame_id)
            .where(Decision.run_id == self.run_id, Frame.video_id == video_id, *before)
            .order_by(Frame.t_ms.desc())
            .limit(1)
        )
        shot_ms_before = self.session.scalar(query)
        return None if shot_ms_before is None else (video_id, shot_ms_before)

    def _shards_of(self, video_id: str) -> tuple[list[int], Fraction]:
        """Read of all videos at once: who asks about one asks about many."""
        if self._shards is None:
            query = (
                select(Shard.video_id, Video.fps, Shard.start_ms)
                .join(Video, Video.id == Shard.video_id)
                .where(Shard.run_id == self.run_id)
                .order_by(Shard.video_id, Shard.start_ms)
            )
            self._shards = {}
            for of_video, fps, start_ms in self.session.execute(query).tuples():
                # images have none: each is a shot of its own
                frame_ms = 1000 / Fraction(fps) if fps else Fraction(0)
                self._shards.setdefault(of_video, ([], frame_ms))[0].append(start_ms)
        return self._shards.get(video_id, ([], Fraction(0)))
