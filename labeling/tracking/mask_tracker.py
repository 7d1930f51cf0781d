"""Tracks of people by the overlap of their masks, their motion and their colors.

A track is born with the first instance that continues no other track, and is confirmed by the second one. A
track without an instance coasts: its place is predicted from its velocity. It ends when it was not seen for
`lost_s`, or for `unconfirmed_s` before its second instance. All times are in seconds, so that one setting serves
every sampling rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from configs.tracking import MaskTrackingBlock
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import mask_boxes
from labeling.tracking.appearance import Histogram, describe_colors
from labeling.tracking.association import (
    FloatArray,
    assign,
    combine_costs,
    histogram_distances,
    mask_overlaps,
)
from labeling.tracking.crops import MaskCrop, MaskPoints
from labeling.tracking.frame_flow import SmallFrame
from labeling.tracking.kalman import KalmanState
from labeling.tracking.motion import gated_distances, is_in_view, place_stds, predict_motion, start_motion

COLOR_MEMORY = 0.8
"""Share of a track's colors that a new instance leaves unchanged."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What is measured of one instance."""

    place: FloatArray
    """Center x, center y, width and height of the mask's box, in pixels."""
    colors: Histogram
    crop: MaskCrop
    points: MaskPoints


@dataclass(frozen=True, slots=True, eq=False)
class _Track:
    number: int
    state: KalmanState
    colors: Histogram
    points: MaskPoints
    last_s: float
    """Time of its last instance."""
    count: int = 1

    @classmethod
    def start(cls, number: int, seen: _Seen, now_s: float) -> Self:
        return cls(number, start_motion(seen.place), seen.colors, seen.points, now_s)

    def predict(self, dt_s: float) -> Self:
        """Return the track `dt_s` later; its mask moves with its center."""
        state = predict_motion(self.state, dt_s)
        shift = (state.position - self.state.position)[:2]
        moved = replace(self.points, xy=np.asarray(self.points.xy + shift, dtype=np.float32))
        return replace(self, state=state, points=moved)

    def see(self, seen: _Seen, now_s: float) -> Self:
        state = self.state.update(seen.place, position_std=place_stds(float(seen.place[3])))
        colors = COLOR_MEMORY * self.colors + (1 - COLOR_MEMORY) * seen.colors
        return replace(
            self, state=state, colors=colors, points=seen.points, last_s=now_s, count=self.count + 1
        )


class MaskTracker:
    """Gives people of one clip the tracks that they keep; `update` takes its frames in order of time."""

    def __init__(self, block: MaskTrackingBlock) -> None:
        self._block = block
        self._tracks: list[_Track] = []
        self._before: tuple[int, SmallFrame] | None = None
        self._last_number = 0

    def update(self, frame: Frame, instances: Sequence[Instance]) -> tuple[Instance, ...]:
        """See `Tracker.update`."""
        small = SmallFrame.of(frame)
        if self._before is None or (self._before[0], self._before[1].size_hw) != (frame.shot, frame.size_hw):
            self._tracks, self._before = [], None
        untracked = [n for n, instance in enumerate(instances) if instance.track_id is None and instance.mask]
        self._reserve([instance.track_id or 0 for instance in instances])
        seen = _measure(frame, [instances[n] for n in untracked])
        numbers = self._follow(small, seen)
        self._before = frame.shot, small
        track_ids = dict(zip(untracked, numbers, strict=True))
        return tuple(
            replace(instance, track_id=track_ids[n]) if n in track_ids else instance
            for n, instance in enumerate(instances)
        )

    def _reserve(self, numbers: Sequence[int]) -> None:
        """Start own numbers after those that instances bring."""
        self._last_number = max([self._last_number, *numbers])

    def _follow(self, now: SmallFrame, seen: Sequence[_Seen]) -> list[int]:
        """Continue tracks, start new ones; return the number of each instance."""
        before = self._before[1] if self._before else None
        alive = [track for track in self._tracks if self._is_alive(track, now.pts_s)]
        moved = [(track, track.predict(now.pts_s - before.pts_s)) for track in alive] if before else []
        moved = [pair for pair in moved if is_in_view(pair[1].state, now.size_hw)]
        old, predicted = [track for track, _ in moved], [track for _, track in moved]
        pairs = self._match(old, predicted, before, now, seen)
        continued = {row: predicted[row].see(seen[column], now.pts_s) for row, column in pairs}
        number_of = {column: predicted[row].number for row, column in pairs}
        coasting = [track for row, track in enumerate(predicted) if row not in continued]
        born = []
        for column, one in enumerate(seen):
            if column not in number_of:
                self._last_number = number_of[column] = self._last_number + 1
                born.append(_Track.start(self._last_number, one, now.pts_s))
        self._tracks = [*continued.values(), *coasting, *born]
        return [number_of[column] for column in range(len(seen))]

    def _is_alive(self, track: _Track, now_s: float) -> bool:
        limit_s = self._block.lost_s if track.count > 1 else self._block.unconfirmed_s
        return now_s - track.last_s <= limit_s

    def _match(
        self,
        old: Sequence[_Track],
        predicted: Sequence[_Track],
        before: SmallFrame | None,
        now: SmallFrame,
        seen: Sequence[_Seen],
    ) -> list[tuple[int, int]]:
        if before is None or not predicted or not seen:
            return []
        crops = [one.crop for one in seen]
        overlap = mask_overlaps([track.points for track in predicted], crops)
        if flow := before.flow_to(now):
            for row, track in enumerate(old):
                if track.last_s == before.pts_s:
                    moved = replace(track.points, xy=flow.move(track.points.xy))
                    overlap[row] = np.maximum(overlap[row], mask_overlaps([moved], crops)[0])
        places = np.stack([one.place for one in seen])
        motion = np.stack([gated_distances(track.state, places) for track in predicted])
        color = histogram_distances(
            np.stack([track.colors for track in predicted]), np.stack([one.colors for one in seen])
        )
        return assign(combine_costs(overlap, color, motion), max_cost=self._block.max_cost)


def _measure(frame: Frame, instances: Sequence[Instance]) -> list[_Seen]:
    masks = [instance.mask for instance in instances]
    boxes = mask_boxes(masks)
    places = np.column_stack([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]])
    crops = [MaskCrop.of(mask) for mask in masks]
    return [
        _Seen(place, describe_colors(frame.rgb, crop), crop, crop.points())
        for place, crop in zip(places, crops, strict=True)
    ]
