"""Joins the tracks of neighboring shards, and numbers the people of a video.

Both are pure functions of what the shards stored, so the order in which shards are done does not matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labeling.structures.masks import box_iou_matrix
from labeling.structures.tracks import LINK_S, ShardTrack, TrackEdge
from labeling.tracking.association import IMPOSSIBLE, FloatArray, assign, combine_costs, histogram_distances
from labeling.tracking.motion import gated_distances, is_in_view, place_of, predict_box

MAX_LINK_COST = 0.7
"""Largest cost at which two tracks are the same person."""


@dataclass(frozen=True, slots=True)
class NumberedTrack:
    """What decides about the number of a track in its video."""

    number: int
    """In its shard."""
    previous: int | None
    """Number in the preceding shard of the track that it continues."""
    is_given: bool


def link_shards(before: Sequence[ShardTrack], after: Sequence[ShardTrack]) -> dict[int, int]:
    """Return, for tracks of a shard that continue one of the shard before, the numbers of both (after: before)."""
    ended = [(track.number, track.end) for track in before if track.end and not track.is_given]
    began = [(track.number, track.begin) for track in after if track.begin and not track.is_given]
    if not ended or not began:
        return {}
    costs = _link_costs([edge for _, edge in ended], [edge for _, edge in began])
    pairs = assign(costs, max_cost=MAX_LINK_COST)
    return {began[column][0]: ended[row][0] for row, column in pairs}


def _link_costs(ended: Sequence[TrackEdge], began: Sequence[TrackEdge]) -> FloatArray:
    """Return the cost of each continuation of each track, (len(ended), len(began))."""
    color = histogram_distances(
        np.stack([edge.colors for edge in ended]), np.stack([edge.colors for edge in began])
    )
    overlap, motion = np.zeros_like(color), np.zeros_like(color)
    for row, end in enumerate(ended):
        for column, begin in enumerate(began):
            overlap[row, column], motion[row, column] = _compare(end, begin)
    return combine_costs(overlap, color, motion)


def _compare(end: TrackEdge, begin: TrackEdge) -> tuple[float, float]:
    """Return the IoU of a box with the predicted one, and the distance over its gate."""
    dt_s = begin.t_s - end.t_s
    if not 0 < dt_s <= LINK_S:
        return 0.0, IMPOSSIBLE
    state, moved = predict_box(end.box_xywh, end.velocity_xy, dt_s)
    if end.size_hw != begin.size_hw or not is_in_view(state, end.size_hw):
        return 0.0, IMPOSSIBLE
    overlap = box_iou_matrix([moved], [begin.box_xywh])[0, 0]
    return float(overlap), float(gated_distances(state, place_of(begin.box_xywh)[None])[0])


def number_tracks(
    shards: Sequence[Sequence[NumberedTrack]], *, known: Mapping[int, int], first_free: int
) -> list[dict[int, int]]:
    """Return the number in the video of each track, by its number in its shard.

    A track that continues another has its number; others get the next free one, in order of appearance.

    Args:
        shards: neighboring shards, each with its tracks in the order in which they appear.
        known: numbers in the video of the tracks of the shard before the first one.
        first_free: no track before has this number or a larger one.

    >>> first = [NumberedTrack(1, None, False), NumberedTrack(2, None, False)]
    >>> second = [NumberedTrack(1, 2, False), NumberedTrack(2, None, False)]
    >>> number_tracks([first, second], known={}, first_free=1)
    [{1: 1, 2: 2}, {1: 2, 2: 3}]
    """
    numbered, before, free = [], dict(known), first_free
    for tracks in shards:
        numbers: dict[int, int] = {}
        for track in tracks:
            if track.is_given:
                numbers[track.number] = track.number
            elif track.previous is not None and track.previous in before:
                numbers[track.number] = before[track.previous]
            else:
                numbers[track.number], free = free, free + 1
        numbered.append(numbers)
        before = numbers
    return numbered
