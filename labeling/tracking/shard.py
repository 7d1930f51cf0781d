"""Tracks the people of one shard, and returns what is stored of their tracks."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Self

from configs.tracking import TrackingBlock
from labeling.structures.frames import Clip, Frame, LazyImage
from labeling.structures.instances import Instance
from labeling.structures.records import LabeledFrame
from labeling.structures.tracks import ShardTrack
from labeling.tracking.edges import EdgeRecorder
from labeling.tracking.factory import make_tracker
from labeling.tracking.kept_tracks import KeptTracks
from labeling.tracking.keypoint_tracks import KeypointTracker, KeypointTracking
from labeling.tracking.protocol import Tracker


class ShardTracker:
    """A tracker, the record of its tracks, and the tracker of their keypoints."""

    def __init__(
        self,
        tracker: Tracker,
        edges: EdgeRecorder,
        keypoints: KeypointTracker | None = None,
        kept: KeptTracks | None = None,
    ) -> None:
        self._tracker, self.edges, self._keypoints, self._kept = tracker, edges, keypoints, kept
        self._behind: list[tuple[Frame, Sequence[Instance]]] = []
        """Lazy frames whose numbers were known: the tracker sees them once it is needed."""
        self._is_idle = True

    @classmethod
    def of(
        cls,
        block: TrackingBlock,
        clip: Clip,
        *,
        fill_below: float | None = None,
        kept: KeptTracks | None = None,
    ) -> Self | None:
        """Return the tracker of a clip; None for a folder of images, or if tracking is off.

        `fill_keypoints` fills keypoints below the confidence `fill_below`, if `block.keypoints` is set; None: it
        fills none.
        """
        if block is None or not clip.is_temporal:
            return None
        end_s = None if clip.end_s is None else float(clip.end_s)
        keypoints = None
        if fill_below is not None and block.keypoints:
            keypoints = KeypointTracker(KeypointTracking(min_confidence=fill_below))
        return cls(make_tracker(block), EdgeRecorder(float(clip.start_s), end_s), keypoints, kept)

    def update(self, frame: Frame, instances: Sequence[Instance]) -> tuple[Instance, ...]:
        """See `Tracker.update`. Where all frames so far are known, no pixels are read."""
        numbers = self._kept.follow(frame, instances) if self._kept else None
        if numbers is not None and self._is_idle and isinstance(frame.pixels, LazyImage):
            self._behind.append((frame, instances))
            return tuple(
                replace(one, track_id=number) for one, number in zip(instances, numbers, strict=True)
            )
        self._catch_up()
        tracked = self._follow(frame, instances)
        if self._kept:
            self._kept.add(tracked)
        return tracked

    def _catch_up(self) -> None:
        """Show the tracker the frames that it did not see."""
        for behind in self._behind:
            self._follow(*behind)
        self._behind.clear()
        self._is_idle = False

    def _follow(self, frame: Frame, instances: Sequence[Instance]) -> tuple[Instance, ...]:
        tracked = self._tracker.update(frame, instances)
        self.edges.observe(frame, instances, tracked)
        return tracked

    def _find_end(self) -> None:
        """Bring the edges to the end of the shard."""
        if self._kept is None:
            return
        known = self._kept.end() if self._is_idle else None
        if known is None:
            self._catch_up()
            self._kept.add_end(self.edges.to_values())
        else:
            self.edges.restore(known)

    def fill_keypoints(self, frame: Frame, tracked: tuple[Instance, ...]) -> tuple[Instance, ...]:
        """Return the tracked instances with the keypoints that the teacher dropped; call this for every frame."""
        return self._keypoints.update(frame, tracked) if self._keypoints else tracked

    def tracks(
        self, rows: Iterable[LabeledFrame], *, starts_with_cut: bool, last_shot: int | None
    ) -> tuple[ShardTrack, ...]:
        """Return the tracks of the stored instances."""
        self._find_end()
        stored: dict[int, list[int]] = defaultdict(list)
        for row in rows:
            for one in row.teacher:
                if one.track_id is not None:
                    stored[one.track_id].append(row.key)
        return self.edges.tracks(stored, last_shot=last_shot, starts_with_cut=starts_with_cut)
