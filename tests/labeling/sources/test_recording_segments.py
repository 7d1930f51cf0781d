"""Timestamps that jump, repeat or are missing."""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import pytest

from labeling.sources.recording_segments import SegmentTimeline, date_back
from tests.fakes.videos import encode_numbers

MS = Fraction(1, 1000)


@pytest.fixture
def timeline() -> Iterator[SegmentTimeline]:
    with av.open(io.BytesIO(encode_numbers([0])), "r") as container:
        yield SegmentTimeline(container)


def packet(dts: int | None, pts: int | None = None) -> "av.Packet[Any]":
    made: av.Packet[Any] = av.Packet(1)
    made.time_base = MS
    made.dts, made.pts = dts, dts if pts is None else pts
    return made


def test_equal_timestamps_are_made_to_rise(timeline: SegmentTimeline) -> None:
    stamped = []
    for dts in (100, 100, 90, 140):
        stamped_packet = packet(dts)
        assert timeline.stamp(stamped_packet)
        stamped.append((stamped_packet.dts, stamped_packet.pts))
    assert stamped == [(100, 100), (101, 101), (102, 102), (140, 140)]


@pytest.mark.parametrize("jump", [20_000, -20_000])
def test_a_jump_of_the_clock_is_reported_once(timeline: SegmentTimeline, jump: int) -> None:
    assert timeline.stamp(packet(50_000))
    assert not timeline.stamp(packet(50_000 + jump))
    assert timeline.stamp(packet(50_040 + jump))


def test_an_image_is_never_shown_before_it_is_decoded(timeline: SegmentTimeline) -> None:
    stamped_packet = packet(100, 60)
    timeline.stamp(stamped_packet)
    assert (stamped_packet.dts, stamped_packet.pts) == (100, 100)


def test_missing_timestamps_continue_the_earlier_ones(timeline: SegmentTimeline) -> None:
    timeline.stamp(packet(100))
    stamped_packet = packet(None)
    assert timeline.stamp(stamped_packet)
    assert (stamped_packet.dts, stamped_packet.pts) == (101, 101)


def test_a_first_packet_without_times_is_dated_by_the_second() -> None:
    first, second = packet(None), packet(5_000_000)
    first.duration = 40
    date_back(first, second)
    assert (first.dts, first.pts) == (4_999_960, 4_999_960)
    date_back(second, packet(7))
    assert second.dts == 5_000_000
