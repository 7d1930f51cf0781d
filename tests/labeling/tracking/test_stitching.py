"""Tracks of neighboring shards are joined, and people are numbered in order of appearance."""

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import BoxXywh, Mask, fill_box
from labeling.structures.tracks import ShardTrack, TrackEdge
from labeling.tracking.edges import EdgeRecorder
from labeling.tracking.stitching import NumberedTrack, link_shards, number_tracks

SIZE_HW = (120, 400)
BLUE, RED = (20, 40, 200), (200, 30, 30)
Walk = tuple[int, float, tuple[int, int, int]]
"""Number in the shard, left edge at the border, and color of a person who walks right."""


def record(
    people: Sequence[Walk],
    start_s: int,
    end_s: int | None,
    *,
    cut_s: float | None = None,
    with_cut: bool = False,
) -> tuple[ShardTrack, ...]:
    """Return the tracks of people who walk 40 px per second and are at their place at 10 s."""
    edges = EdgeRecorder(start_s, end_s)
    stored: dict[int, list[int]] = {number: [] for number, *_ in people}
    shot = start_s * 1000
    for step in range(2 * start_s, 2 * (end_s or start_s + 10)):
        t = Fraction(step, 2)
        if cut_s is not None and t >= cut_s:
            shot = round(cut_s * 1000)
        rgb = np.full((*SIZE_HW, 3), 128, dtype=np.uint8)
        instances = []
        for number, x, color in people:
            box: BoxXywh = (round(x + 40 * float(t - 10)), 30, 20, 60)
            mask = fill_box(box, SIZE_HW)
            rgb[mask.to_array()] = color
            if mask:
                instances.append(Instance(mask, 0.9, box, track_id=number))
                stored[number].append(round(1000 * t))
        frame = Frame("v", round(1000 * t), rgb, shot, t=t)
        untracked = [replace(one, track_id=None) for one in instances]
        edges.observe(frame, untracked, instances)
    present = {number: times for number, times in stored.items() if times}
    return edges.tracks(present, last_shot=shot, starts_with_cut=with_cut)


def test_people_are_joined_by_place_and_color() -> None:
    before = record([(1, 100, BLUE), (2, 220, RED)], 0, 10)
    after = record([(1, 220, RED), (2, 100, BLUE), (3, 310, BLUE)], 10, 20)
    assert link_shards(before, after) == {1: 2, 2: 1}
    blue = record([(1, 100, BLUE)], 0, 10)
    near_other, own_color_farther = (1, 92, RED), (2, 113, BLUE)
    assert link_shards(blue, record([near_other, own_color_farther], 10, 20)) == {2: 1}
    assert link_shards(blue, record([(1, 250, BLUE)], 10, 20)) == {}


def test_edges_survive_their_json() -> None:
    before = record([(1, 100, BLUE), (2, 220, RED)], 0, 10)
    after = record([(4, 100, BLUE), (5, 220, RED)], 10, 20)

    def reread(edge: TrackEdge | None) -> TrackEdge | None:
        return TrackEdge.from_json(json.loads(json.dumps(edge.to_json()))) if edge else None

    reread_before = [replace(track, begin=reread(track.begin), end=reread(track.end)) for track in before]
    reread_after = [replace(track, begin=reread(track.begin), end=reread(track.end)) for track in after]
    assert link_shards(reread_before, reread_after) == {4: 1, 5: 2}
    end = before[0].end
    assert end is not None
    assert end.velocity_xy == pytest.approx((40, 0))


@pytest.mark.parametrize("cut", ["before the border", "at the border", "after the border"])
def test_nothing_is_joined_across_a_cut(cut: str) -> None:
    before = record([(1, 100, BLUE)], 0, 10)
    cut_s = 9.75 if cut == "before the border" else None
    at_border = cut == "at the border"
    after = record([(1, 100, BLUE)], 10, 20, with_cut=at_border)
    assert link_shards(before, after) == ({} if at_border else {1: 1})
    if cut == "before the border":  # and after the last sampled frame
        edges = EdgeRecorder(0, 10)
        frame = Frame("v", 9500, np.zeros((*SIZE_HW, 3), dtype=np.uint8), 0, t=Fraction(19, 2))
        one = Instance(Mask.from_array(np.ones(SIZE_HW)), 0.9, (0, 0, 400, 120), track_id=1)
        edges.observe(frame, [], [one])
        assert edges.tracks({1: [9500]}, last_shot=9750, starts_with_cut=False)[0].end is None
        assert edges.tracks({1: [9500]}, last_shot=0, starts_with_cut=False)[0].end is not None
        assert cut_s
    if cut == "after the border":
        late = record([(1, 100, BLUE)], 10, 20, cut_s=10.5)
        assert late[0].begin is not None


def test_only_the_edges_of_a_shard_have_a_state_and_the_last_shard_has_no_end() -> None:
    (track,) = record([(1, 100, BLUE)], 0, 30)
    assert (track.begin is None, track.end is None) == (True, True)  # it comes in after 7 s and leaves
    (last,) = record([(1, 100, BLUE)], 10, None)
    assert last.begin is not None
    assert last.end is None


def test_free_numbers_follow_the_order_of_appearance_and_given_ones_stay() -> None:
    shards = [
        [NumberedTrack(3, None, is_given=False), NumberedTrack(1, None, is_given=False)],
        [NumberedTrack(40, None, is_given=True), NumberedTrack(2, 1, is_given=False)],
        [],
        [NumberedTrack(1, None, is_given=False)],
    ]
    assert number_tracks(shards, known={}, first_free=41) == [{3: 41, 1: 42}, {40: 40, 2: 42}, {}, {1: 43}]
    again = number_tracks(shards[1:], known={1: 42, 3: 41}, first_free=43)
    assert again == [{40: 40, 2: 42}, {}, {1: 43}]
