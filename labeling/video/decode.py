"""Decoding of a clip's frames with exact times that do not depend on the shard."""

from __future__ import annotations  # PyAV's packets are generic only in its stubs

import atexit
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from labeling.runtime.threads import thread_limit
from labeling.structures.frames import Clip, LumaImage, RgbImage
from labeling.video.color import VideoImage
from labeling.video.containers import main_stream, open_video, read_packets
from labeling.video.cursors import Cursor, CursorCache, file_key
from labeling.video.images import FileImage
from labeling.video.timestamps import FrameClock, Timeline, read_timeline

SLOW_SEEK_S = Fraction(10)
"""If the last key frame is further back, the decoder is kept for the next clip."""
SEEK_MARGINS_S = (Fraction(0), Fraction(1), Fraction(10), Fraction(60))
"""Seek this far before the start, in turn, until a frame before the start decodes."""


def to_ms(t_s: Fraction) -> int:
    """Return a time in seconds in milliseconds, rounded.

    >>> to_ms(Fraction(1001, 30000))
    33
    """
    return round(t_s * 1000)


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A frame of a video, or an image of a folder, before it is sampled or rejected."""

    t: Fraction
    """Exact presentation time in seconds; 0 for the first frame of a video, and for an image without a time."""
    pts_ms: int | None
    """Presentation time in ms; None for an image without a time."""
    image: VideoImage | FileImage
    name: str = ""
    """File name, for images of a folder."""
    index: int | None = None
    """Position of an image in its set; None for a frame of a video."""
    is_key: bool = False
    """A frame of a video that needs no other one."""

    def to_rgb(self) -> RgbImage:
        """Convert to upright HxWx3 uint8. Raises `NotAVideo` for an unreadable image of a folder."""
        return self.image.to_rgb()

    def scaled_luma(self, width_px: int) -> LumaImage:
        """Return upright HxW uint8 luma, at most `width_px` wide, without converting colors."""
        return self.image.scaled_luma(width_px)


@dataclass(slots=True)
class DecodeStats:
    """Losses and work while decoding a clip."""

    damaged: int = 0
    """Frames lost: packets that did not decode, frames that the decoder had to conceal, and all frames
    after them up to the next key frame, since they refer to missing ones."""
    decoded: int = field(default=0, compare=False)
    """Frames that the decoder gave, those before the clip included."""


class _DamageInThreads(Exception):
    """A threaded decoder loses intact frames around a damaged one: decode again on one thread."""


def decode_clip(
    clip: Clip, *, with_lead_in: bool = False, stats: DecodeStats | None = None
) -> Iterator[Decoded]:
    """Yield the frames with `start_s` <= t < `end_s` in order of time, or the images of a folder.

    Times and pixels of a frame do not depend on where the clip begins. A frame without a time stamp
    is one frame period after its predecessor; a frame whose time is not after its predecessor's is
    dropped. AVI stores no presentation times: reordered frames take the stored times in order. After
    damage, frames are dropped up to the next key frame; `stats` counts them.

    `with_lead_in` also yields the last frame before `start_s`, if there is one. An image of a folder has an
    index, and a time only if its file has one; it may turn out to be unreadable when its pixels are read.

    Raises:
        SourceError: the file cannot be opened; see `probe_video`.
    """
    if clip.path is None:
        for file in clip.images:
            t = Fraction(file.pts_ms or 0, 1000)
            yield Decoded(t, file.pts_ms, FileImage(file.path, clip.levels), file.name, file.position)
        return
    stats = stats or DecodeStats()
    cursor = _open_cursor(clip.path, clip.start_s)
    reader = cursor.frames
    known = replace(reader.stats)
    try:
        cursor.advance_to(clip.start_s)
        if with_lead_in and cursor.before is not None and _is_within(cursor.peek(), clip):
            yield cursor.before
        while (decoded := cursor.peek()) is not None and _is_within(decoded, clip):
            cursor.step()
            yield decoded
    finally:
        stats.damaged += reader.stats.damaged - known.damaged
        stats.decoded += reader.stats.decoded - known.decoded
        if reader.is_worth_keeping:
            _cursors.keep(reader.key, cursor)
        else:
            reader.close()


def _is_within(decoded: Decoded | None, clip: Clip) -> bool:
    return decoded is not None and (clip.end_s is None or decoded.t < clip.end_s)


def _open_cursor(path: Path, start_s: Fraction) -> Cursor[Decoded, _FrameReader]:
    timeline = read_timeline(path)
    found = _cursors.take(file_key(path), start_s)
    return found or Cursor(_FrameReader(path, start_s, timeline), is_seekable=timeline.is_seekable)


class _FrameReader:
    """The frames of a file from the key frame before a time on."""

    def __init__(self, path: Path, start_s: Fraction, timeline: Timeline) -> None:
        self.stats = DecodeStats()
        self.key = file_key(path)
        self._is_seekable = timeline.is_seekable
        self._frames = _decode_before_and_from(path, start_s, timeline, self.stats)
        self._last_key_s: Fraction | None = None
        self._last_s = Fraction(0)
        self._has_ended = False

    def __iter__(self) -> Iterator[Decoded]:
        return self

    def __next__(self) -> Decoded:
        try:
            decoded = next(self._frames)
        except BaseException:  # the end, or an error: a generator gives nothing afterwards
            self._has_ended = True
            raise
        if decoded.is_key or self._last_key_s is None:
            self._last_key_s = decoded.t
        self._last_s = decoded.t
        return decoded

    @property
    def is_worth_keeping(self) -> bool:
        """Whether to find this position again, much would be decoded a second time."""
        is_far = self._last_s - (self._last_key_s or 0) > SLOW_SEEK_S
        return not self._has_ended and (is_far or not self._is_seekable)

    def close(self) -> None:
        self._frames.close()


_cursors: CursorCache[Decoded, _FrameReader] = CursorCache()
atexit.register(_cursors.close)


def _decode_before_and_from(
    path: Path, start_s: Fraction, timeline: Timeline, stats: DecodeStats
) -> Generator[Decoded, None, None]:
    """Decode from the nearest key frame that yields a frame before `start_s`."""
    margins = SEEK_MARGINS_S if timeline.is_seekable else ()
    for from_s in (start_s - margin_s for margin_s in margins):
        if from_s <= 0:
            break
        frames = _decode_from(path, timeline, from_s, stats)
        first = next(frames, None)
        if first is not None and first.t < start_s:
            yield first
            yield from frames
            return
    yield from _decode_from(path, timeline, None, stats)


def _decode_from(
    path: Path, timeline: Timeline, from_s: Fraction | None, stats: DecodeStats
) -> Iterator[Decoded]:
    """Decode on all threads; at the first damage, start again on one thread."""
    last = Fraction(-1)
    try:
        for decoded in _DecodePass(timeline, stats, is_threaded=True).decode(path, from_s):
            yield decoded
            last = decoded.t
    except _DamageInThreads:
        repeated = _DecodePass(timeline, stats, is_threaded=False).decode(path, from_s)
        yield from (decoded for decoded in repeated if decoded.t > last)


@dataclass(slots=True)
class _DecodePass:
    """One pass through a file, from a key frame to the end."""

    timeline: Timeline
    stats: DecodeStats
    is_threaded: bool
    has_output: bool = False
    is_corrupt: bool = False
    """There was damage and no key frame since: images may be wrong."""
    resume_pts: int | None = None
    """Time stamp of the key frame that ends this; earlier frames may still be in the decoder."""

    def decode(self, path: Path, from_s: Fraction | None) -> Iterator[Decoded]:
        """Decode from the key frame before `from_s`; yields nothing if the file cannot be read there."""
        clock = FrameClock(self.timeline)
        with open_video(path) as container:
            stream = main_stream(container, path)
            stream.thread_type = ThreadType.AUTO if self.is_threaded else ThreadType.NONE
            stream.codec_context.thread_count = thread_limit() or 0  # 0: one per core
            if from_s is not None and not self._seek(container, stream, from_s):
                return
            from_key = self.timeline.from_key or from_s is not None
            for packet in read_packets(container, stream, from_key=from_key):
                for frame in self._decode_packet(stream, packet, clock):
                    if from_s is not None and not self.has_output and frame.pts is None:
                        return
                    t = clock.next_time(frame)
                    if self._is_intact(frame) and t is not None:
                        yield Decoded(t, to_ms(t), VideoImage(frame), is_key=frame.key_frame)

    def _is_intact(self, frame: av.VideoFrame) -> bool:
        self.stats.decoded += 1
        if frame.is_corrupt:
            self._note_damage(is_key=frame.key_frame)
        elif frame.key_frame and frame.pts == self.resume_pts:
            self.is_corrupt = False
        elif self.is_corrupt:
            self.stats.damaged += 1
        is_intact = not (frame.is_corrupt or self.is_corrupt)
        self.has_output = self.has_output or is_intact
        return is_intact

    def _seek(self, container: InputContainer, stream: VideoStream, from_s: Fraction) -> bool:
        try:
            container.seek(self.timeline.stamp_before(from_s), stream=stream)
        except av.FFmpegError:
            return False
        return True

    def _decode_packet(
        self, stream: VideoStream, packet: Packet[VideoStream] | None, clock: FrameClock
    ) -> list[av.VideoFrame]:
        if packet is not None:
            clock.note_packet(packet)
            if self.is_corrupt and self.resume_pts is None and packet.is_keyframe:
                self.resume_pts = packet.pts
        try:
            return stream.decode(packet)
        except av.FFmpegError:
            self._note_damage(is_key=packet is not None and packet.is_keyframe)
            clock.drop_packet()
            return []

    def _note_damage(self, *, is_key: bool) -> None:
        """Count damage, but not before the first output: after a seek, frames lack their references."""
        if self.is_threaded:
            raise _DamageInThreads
        if self.has_output or is_key:
            self.stats.damaged += 1
            self.is_corrupt, self.resume_pts = True, None
