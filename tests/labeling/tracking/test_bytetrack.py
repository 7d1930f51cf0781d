"""ByteTrack of the library `trackers` behind the interface of a tracker."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from configs.tracking import ByteTrackBlock
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance
from labeling.structures.masks import fill_box
from labeling.tracking.factory import make_tracker
from labeling.tracking.protocol import Tracker

pytestmark = pytest.mark.requires("bytetrack", module="trackers")
SIZE_HW = (120, 200)


def person(x: float, *, score: float = 0.9, track_id: int | None = None) -> Instance:
    mask = fill_box((x, 20, 20, 60), SIZE_HW)
    return Instance(mask, score, mask.box_xywh, track_id=track_id)


def track(tracker: Tracker, step: int, *people: Instance, shot: int = 0) -> list[int | None]:
    frame = Frame("v", 100 * step, np.zeros((*SIZE_HW, 3), np.uint8), shot, t=Fraction(step, 10))
    tracked = tracker.update(frame, people)
    assert [replace(one, track_id=None) for one in tracked] == [replace(one, track_id=None) for one in people]
    return [one.track_id for one in tracked]


def test_people_keep_their_numbers_until_a_cut() -> None:
    tracker = make_tracker(ByteTrackBlock())
    found = [track(tracker, step, person(20 + 4 * step), person(150 - 4 * step)) for step in range(8)]
    assert found == [[None, None], *[[1, 2]] * 7]  # the library numbers people from their second frame on
    for step in (8, 9):
        after = track(tracker, step, person(52), person(118), shot=800)
    assert after == [3, 4]


def test_a_low_score_continues_a_track_and_starts_none() -> None:
    tracker = make_tracker(ByteTrackBlock())
    track(tracker, 0, person(20), person(120, score=0.2))
    assert track(tracker, 1, person(22, score=0.2), person(120, score=0.2)) == [1, None]
    assert track(tracker, 2) == []


def test_given_numbers_are_kept_and_not_used_again() -> None:
    tracker = make_tracker(ByteTrackBlock())
    track(tracker, 0, person(20, track_id=5), person(120))
    assert track(tracker, 1, person(20, track_id=5), person(121)) == [5, 6]
