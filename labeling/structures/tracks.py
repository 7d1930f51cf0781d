"""The tracks of one shard, as they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from labeling.structures.masks import BoxXywh

LINK_S = 3.0
"""Longest time between a track's end in one shard and its start in the next."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackEdge:
    """The first or last known state of a track."""

    t_s: float
    box_xywh: BoxXywh
    velocity_xy: tuple[float, float]
    """Of the box's center, in pixels per second."""
    colors: NDArray[np.float32]
    """Histogram, see `labeling.tracking.appearance`."""
    size_hw: tuple[int, int]
    """Of the image."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values; the histogram without its empty bins."""
        filled = np.flatnonzero(self.colors)
        return {
            "t_s": round(self.t_s, 4),
            "box_xywh": [round(side, 2) for side in self.box_xywh],
            "velocity_xy": [round(speed, 2) for speed in self.velocity_xy],
            "size_hw": list(self.size_hw),
            "bins": len(self.colors),
            "colors": [[int(number), round(float(self.colors[number]), 4)] for number in filled],
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        colors = np.zeros(tree["bins"], dtype=np.float32)
        for number, share in tree["colors"]:
            colors[number] = share
        x, y, w, h = tree["box_xywh"]
        speed_x, speed_y = tree["velocity_xy"]
        height, width = tree["size_hw"]
        return cls(tree["t_s"], (x, y, w, h), (speed_x, speed_y), colors, (height, width))


@dataclass(frozen=True, slots=True, eq=False)
class ShardTrack:
    """One track within one shard."""

    number: int
    """The `track_id` of its instances within the shard."""
    first_ms: int
    """Time of its first stored instance."""
    last_ms: int
    frames: int
    """Stored frames with it."""
    is_given: bool = False
    """The segmenter gave the number, which is kept."""
    begin: TrackEdge | None = None
    """None: it began later than `LINK_S` after the shard's start, or after a cut."""
    end: TrackEdge | None = None
    """None: it ended earlier than `LINK_S` before the shard's end, or before a cut."""
