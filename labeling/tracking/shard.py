"""Tracks the people of one shard, and returns what is stored of their tracks."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Self

from configs.tracking import TrackingBlock
from labeling.structures.frames import Clip, Frame
from labeling.structures.instances import Instance
from labeling.structures.records import LabeledFrame
from labeling.structures.tracks import ShardTrack
from labeling.tracking.edges import EdgeRecorder
from labeling.tracking.factory import make_tracker
from labeling.tracking.protocol import Tracker


class ShardTracker:
    """A tracker and the record of its tracks."""

    def __init__(self, tracker: Tracker, edges: EdgeRecorder) -> None:
        self._tracker, self.edges = tracker, edges

    @classmethod
    def of(cls, block: TrackingBlock, clip: Clip) -> Self | None:
        """Return the tracker of a clip; None for a folder of images, or if tracking is off."""
        if block is None or not clip.is_temporal:
            return None
        end_s = None if clip.end_s is None else float(clip.end_s)
        return cls(make_tracker(block), EdgeRecorder(float(clip.start_s), end_s))

    def update(self, frame: Frame, instances: Sequence[Instance]) -> tuple[Instance, ...]:
        """See `Tracker.update`."""
        tracked = self._tracker.update(frame, instances)
        self.edges.observe(frame, instances, tracked)
        return tracked

    def tracks(
        self, rows: Iterable[LabeledFrame], *, starts_with_cut: bool, last_shot: int | None
    ) -> tuple[ShardTrack, ...]:
        """Return the tracks of the stored instances."""
        stored: dict[int, list[int]] = defaultdict(list)
        for row in rows:
            for one in row.teacher:
                if one.track_id is not None:
                    stored[one.track_id].append(row.key)
        return self.edges.tracks(stored, last_shot=last_shot, starts_with_cut=starts_with_cut)
