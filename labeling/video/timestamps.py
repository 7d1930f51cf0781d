"""Time stamps of a file as exact seconds since its first frame."""

from __future__ import annotations  # PyAV's packets are generic only in its stubs

import math
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from configs.errors import EmptyVideo
from labeling.video.containers import main_stream, open_video, read_packets
from labeling.video.cursors import FileKey, file_key
from labeling.video.recordings import ContinuousTime

RESTARTING_FORMATS = frozenset({"mpegts", "mpeg", "flv", "live_flv", "matroska", "webm", "asf", "nut", "ogg"})
"""Formats whose stamps can start again in the middle; the index of others, such as MP4, has durations instead."""

FALLBACK_STEP_S = Fraction(1, 25)
"""Time between frames without time stamps, in a stream without a frame rate."""
LARGEST_STEP_S = Fraction(10)
"""A longer frame, or time between two, is a wrong stamp or a gap, unless the video has so few frames."""
LARGEST_RATE_ERROR = 4
"""So many times the usual frame rate or duration is a wrong stamp."""

STAMPS_READ = 4
"""If so many frames at the beginning have the same stamp, the file has no times."""

SEEKABLE_CODECS = frozenset({
    "h264", "hevc", "vp8", "vp9", "av1", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2",
    "msmpeg4v3", "h263", "wmv1", "wmv2", "wmv3", "vc1", "theora", "mjpeg", "ffv1", "prores", "dnxhd",
    "dvvideo",
})  # fmt: skip
"""Codecs whose key frames decode without earlier frames. Others (gif, screen codecs) are read from the
start."""

UNSTAMPED_FORMATS = frozenset({"mpeg"})
"""Formats that stamp only some frames: MPEG program streams (.mpg, .vob). After a seek, their times were
off by one frame."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Parameters that map the time stamps of a file to seconds since its first frame."""

    origin: int | None
    """Time stamp of the first frame; None if frames have none: then they are `step_s` apart."""
    time_base: Fraction
    step_s: Fraction
    is_stored_order: bool
    """The n-th displayed frame has the n-th stored time stamp: AVI has no presentation times."""
    is_seekable: bool
    from_key: bool
    """Packets before the first key frame are skipped."""
    is_joined: bool = False
    """Recordings were joined, so that the time stamps start again in the middle."""

    def stamp_before(self, t: Fraction) -> int:
        """Return the last time stamp before `t` seconds."""
        return (self.origin or 0) + math.ceil(t / self.time_base) - 1


class FrameClock:
    """Assigns times to the frames of one pass through a file."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._stored: deque[int] = deque()
        self._last: Fraction | None = None
        self._continuous = ContinuousTime(timeline.step_s) if timeline.is_joined else None

    def note_packet(self, packet: Packet[VideoStream]) -> None:
        if self._timeline.is_stored_order and packet.dts is not None:
            self._stored.append(packet.dts)

    def drop_packet(self) -> None:
        """Drop the stored time of a packet that did not decode."""
        if self._stored:
            self._stored.popleft()

    def next_time(self, frame: av.VideoFrame) -> Fraction | None:
        """Return the time of the next displayed frame; None if it is not after the previous one."""
        timeline = self._timeline
        stamp = frame.pts
        if timeline.is_stored_order:
            stamp = self._stored.popleft() if self._stored else None
        if stamp is None or timeline.origin is None:
            t = Fraction(0) if self._last is None else self._last + timeline.step_s
        else:
            t = (stamp - timeline.origin) * timeline.time_base
            t = self._continuous.next(t) if self._continuous else t
        if self._last is not None and t <= self._last:
            return None
        self._last = t
        return t


def read_timeline(path: Path) -> Timeline:
    """Find the origin of time by decoding the first frame, on one thread.

    Raises:
        SourceError: the file cannot be opened, or has no frame.
    """
    return _cached_timeline(path, file_key(path) if path.is_file() else None)


@lru_cache(maxsize=64)
def _cached_timeline(path: Path, _key: FileKey | None) -> Timeline:
    timeline = _read_timeline(path, from_key=True) or _read_timeline(path, from_key=False)
    if timeline is None:
        raise EmptyVideo(f"{path} has no frame that can be decoded: record or fetch it again")
    return timeline


def _read_timeline(path: Path, *, from_key: bool) -> Timeline | None:
    with open_video(path) as container:
        stream = main_stream(container, path)
        stream.thread_type = "NONE"
        packets = read_packets(container, stream, from_key=from_key)
        first = list(islice(packets, STAMPS_READ))
        head = first[0]
        frame = head and first_intact_frame(stream, chain(first, packets))
        if head is None or frame is None:
            return None
        is_joined = can_restart(container.format.name) and count_restarts(path) > 0
        is_stored_order = container.format.name == "avi" and stream.codec_context.has_b_frames
        origin = head.dts if is_stored_order else frame.pts
        if _is_one_stamp(first):
            origin = None
        can_seek = (
            stream.codec_context.codec.canonical_name in SEEKABLE_CODECS
            and container.format.name not in UNSTAMPED_FORMATS
        )
        return Timeline(
            origin=origin,
            time_base=stream.time_base or FALLBACK_STEP_S,
            step_s=1 / stream.average_rate if stream.average_rate else FALLBACK_STEP_S,
            is_stored_order=is_stored_order,
            is_seekable=can_seek and not (is_stored_order or is_joined) and origin is not None,
            from_key=from_key,
            is_joined=is_joined,
        )


def _is_one_stamp(packets: Iterable[Packet[VideoStream] | None]) -> bool:
    """Return whether all packets of a file's beginning have the same time, which says nothing then."""
    stamps = [packet.pts for packet in packets if packet is not None]
    return len(stamps) == STAMPS_READ and len(set(stamps)) == 1


def first_intact_frame(
    stream: VideoStream, packets: Iterable[Packet[VideoStream] | None]
) -> av.VideoFrame | None:
    """Return the first frame that decodes without damage; None if there is none."""
    for packet in packets:
        with suppress(av.FFmpegError):
            for frame in stream.decode(packet):
                if not frame.is_corrupt:
                    return frame
    return None


def can_restart(format_name: str) -> bool:
    """Return whether the stamps of an FFmpeg format can start again in the middle."""
    return not RESTARTING_FORMATS.isdisjoint(format_name.split(","))


def count_restarts(path: Path) -> int:
    """Return how often the stamps of a file start again; reads all packets where the format allows that.

    Raises:
        SourceError: the file cannot be opened.
    """
    return _cached_restarts(path, file_key(path) if path.is_file() else None)


@lru_cache(maxsize=64)
def _cached_restarts(path: Path, _key: FileKey | None) -> int:
    with open_video(path) as container:
        if not can_restart(container.format.name):
            return 0
        stream = main_stream(container, path)
        time = ContinuousTime(Fraction(0))
        for packet in read_packets(container, stream, from_key=False):
            stamp = None if packet is None else packet.dts if packet.dts is not None else packet.pts
            if packet is not None and stamp is not None and packet.time_base is not None:
                time.next(stamp * packet.time_base)
    return time.restarts
