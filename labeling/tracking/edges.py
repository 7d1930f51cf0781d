"""Records the tracks of one shard, with their state in its first and last seconds, from which shards are joined."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh
from labeling.structures.tracks import LINK_S, ShardTrack, TrackEdge
from labeling.tracking.appearance import describe_colors
from labeling.tracking.crops import MaskCrop

VELOCITY_S = 1.0
"""Time over which a velocity is measured."""


@dataclass(slots=True)
class _Path:
    """What is remembered of one track."""

    shot: int
    begin: TrackEdge | None = None
    recent: deque[tuple[float, BoxXywh]] = field(default_factory=deque)
    """Times and boxes of the last `VELOCITY_S`."""
    end: TrackEdge | None = None

    def see(self, t_s: float, box_xywh: BoxXywh) -> None:
        self.recent.append((t_s, box_xywh))
        while t_s - self.recent[0][0] > VELOCITY_S:
            self.recent.popleft()

    def velocity_xy(self) -> tuple[float, float]:
        (first_s, first), (last_s, last) = self.recent[0], self.recent[-1]
        if last_s <= first_s:
            return 0.0, 0.0
        x, y = (
            (last[i] + last[i + 2] / 2 - first[i] - first[i + 2] / 2) / (last_s - first_s) for i in (0, 1)
        )
        return x, y


class EdgeRecorder:
    """Watches the tracked instances of a shard from `start_s` to `end_s` (None: the end of the video).

    Memory does not grow with the shard: only tracks near its start and those seen lately are kept.
    """

    def __init__(self, start_s: float, end_s: float | None) -> None:
        self._start_s, self._end_s = start_s, end_s
        self._paths: dict[int, _Path] = {}
        self._first_shot: int | None = None
        self._given: set[int] = set()

    def observe(self, frame: Frame, given: Sequence[Instance], tracked: Sequence[Instance]) -> None:
        """Take the instances of the next frame, before and after tracking."""
        now_s = float(frame.t)
        self._given |= {one.track_id for one in given if one.track_id is not None}
        if self._first_shot is None:
            self._first_shot = frame.shot
        self._forget(now_s)
        for one in tracked:
            if one.track_id is not None and one.mask:
                self._see(frame, now_s, one.track_id, one)

    def to_values(self) -> list[list[Any]]:
        """Return what `tracks` uses: number, shot and edges of each track, and whether its number was given."""
        return [
            [
                number,
                path.shot,
                path.begin and path.begin.to_json(),
                path.end and path.end.to_json(),
                number in self._given,
            ]
            for number, path in self._paths.items()
        ] + [[number, None, None, None, True] for number in self._given - self._paths.keys()]

    def restore(self, values: Sequence[Sequence[Any]]) -> None:
        """Take the state that `to_values` gave at the end of the same frames."""
        for number, shot, begin, end, is_given in values:
            if shot is not None:
                edges = (edge and TrackEdge.from_json(edge) for edge in (begin, end))
                self._paths[number] = _Path(shot, next(edges), end=next(edges))
            if is_given:
                self._given.add(number)

    def _forget(self, now_s: float) -> None:
        old = [n for n, path in self._paths.items() if not path.begin and now_s - path.recent[-1][0] > LINK_S]
        for number in old:
            del self._paths[number]

    def _see(self, frame: Frame, now_s: float, number: int, one: Instance) -> None:
        is_new = number not in self._paths
        path = self._paths.setdefault(number, _Path(frame.shot))
        path.see(now_s, one.mask.box_xywh)
        path.shot = frame.shot
        if is_new and frame.shot == self._first_shot and now_s - self._start_s <= LINK_S:
            path.begin = self._edge(frame, now_s, one, path)
        elif path.begin and now_s - path.begin.t_s <= VELOCITY_S:
            path.begin = replace(path.begin, velocity_xy=path.velocity_xy())
        if self._end_s is not None and self._end_s - now_s <= LINK_S:
            path.end = self._edge(frame, now_s, one, path)

    def _edge(self, frame: Frame, now_s: float, one: Instance, path: _Path) -> TrackEdge:
        colors = describe_colors(frame.rgb, MaskCrop.of(one.mask))
        return TrackEdge(now_s, one.mask.box_xywh, path.velocity_xy(), colors, frame.size_hw)

    def tracks(
        self, stored: Mapping[int, Sequence[int]], *, last_shot: int | None, starts_with_cut: bool
    ) -> tuple[ShardTrack, ...]:
        """Return the tracks with a stored instance, in the order in which they appear.

        Args:
            stored: times in ms of the stored instances of each track.
            last_shot: the shot at the end of the shard.
            starts_with_cut: the shard's first frame begins a shot.
        """
        tracks = []
        for number, times_ms in stored.items():
            path = self._paths.get(number)
            begin = path.begin if path and not starts_with_cut else None
            end = path.end if path and path.shot == last_shot else None
            span = min(times_ms), max(times_ms), len(times_ms)
            tracks.append(ShardTrack(number, *span, number in self._given, begin, end))
        return tuple(sorted(tracks, key=lambda track: (track.first_ms, track.number)))
