"""ByteTrack (Zhang et al., ECCV 2022) of the library `trackers`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from configs.tracking import ByteTrackBlock
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance

_FRAMES_PER_S = 30.0
"""Unit of the library's buffer; with time stamps the frame rate has no other effect."""


class ByteTracker:
    """Boxes and motion only.

    An instance of low score that continues no track stays without one, and so does the first of every track.
    """

    def __init__(self, block: ByteTrackBlock) -> None:
        self._block = block
        self._shot: int | None = None
        self._tracker: Any = None
        self._last_number = 0
        self._numbers: dict[int, int] = {}
        """Our number of each of the library's."""

    def update(self, frame: Frame, instances: Sequence[Instance]) -> tuple[Instance, ...]:
        """See `Tracker.update`."""
        if self._tracker is None or frame.shot != self._shot:
            self._restart(frame.shot)
        self._last_number = max([self._last_number, *(one.track_id or 0 for one in instances)])
        untracked = [n for n, instance in enumerate(instances) if instance.track_id is None]
        numbers = self._track(float(frame.t), [instances[n] for n in untracked])
        of_instance = dict(zip(untracked, numbers, strict=True))
        return tuple(
            replace(one, track_id=of_instance[n]) if n in of_instance else one
            for n, one in enumerate(instances)
        )

    def _restart(self, shot: int) -> None:
        from trackers import ByteTrackTracker

        self._shot, self._numbers = shot, {}
        self._tracker = ByteTrackTracker(
            lost_track_buffer=round(self._block.lost_s * _FRAMES_PER_S),
            frame_rate=_FRAMES_PER_S,
            track_activation_threshold=self._block.high_score,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=self._block.min_iou,
            high_conf_det_threshold=self._block.high_score,
        )

    def _track(self, now_s: float, instances: Sequence[Instance]) -> list[int | None]:
        import supervision

        boxes = np.array([one.mask.box_xywh for one in instances], dtype=np.float64).reshape(-1, 4)
        corners = np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        detections = supervision.Detections(
            xyxy=corners,
            confidence=np.array([one.score for one in instances]),
            data={"position": np.arange(len(instances))},
        )
        tracked = self._tracker.update(detections, timestamp=now_s)
        numbers: list[int | None] = [None] * len(instances)
        for position, number in zip(tracked.data.get("position", ()), tracked.tracker_id, strict=True):
            if number >= 0:
                numbers[int(position)] = self._number(int(number))
        return numbers

    def _number(self, theirs: int) -> int:
        if theirs not in self._numbers:
            self._last_number = self._numbers[theirs] = self._last_number + 1
        return self._numbers[theirs]
