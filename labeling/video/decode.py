"""Decoding the frames of a clip with exact times, the same whichever shard they are read in."""

from __future__ import annotations  # PyAV's packets are generic only in its stubs

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, TypeGuard

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from labeling.runtime.threads import thread_limit
from labeling.structures.frames import Clip, RgbImage
from labeling.video.color import LumaImage, VideoImage
from labeling.video.containers import main_stream, open_video, read_packets
from labeling.video.images import FileImage
from labeling.video.timestamps import Clock, Timeline, read_timeline

SEEK_MARGINS_S = (Fraction(0), Fraction(1), Fraction(10), Fraction(60))
"""How far before the wanted time a key frame is looked for, until one decodes early enough."""


class DecodedImage(Protocol):
    """Pixels that are read or converted when they are asked for."""

    def to_rgb(self) -> RgbImage:
        """Give upright HxWx3 uint8, contiguous."""
        ...

    def scaled_luma(self, width_px: int) -> LumaImage:
        """Give upright HxW uint8, at most `width_px` wide."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A frame of a video, or an image of a folder, before anything is decided about it."""

    t: Fraction
    """Exact presentation time in seconds; the video's first frame is 0."""
    image: DecodedImage
    name: str = ""
    """File name, for images of a folder."""

    @property
    def t_ms(self) -> int:
        return round(self.t * 1000)

    def to_rgb(self) -> RgbImage:
        """Convert to upright HxWx3 uint8. Raises `NotAVideo` for an unreadable image of a folder."""
        return self.image.to_rgb()

    def scaled_luma(self, width_px: int) -> LumaImage:
        """Give upright HxW uint8 luma, at most `width_px` wide, without converting colors."""
        return self.image.scaled_luma(width_px)


@dataclass(slots=True)
class DecodeStats:
    """What could not be used of a clip; filled while it is decoded."""

    damaged: int = 0
    """Frames lost: packets that did not decode, frames that the decoder had to patch up, and all that
    follow them up to the next key frame, since they build on what is missing."""
    misplaced: int = 0
    """Frames dropped because their time was not after the previous frame's."""


class _DamageSeenByThreads(Exception):
    """Threads lose healthy frames around a damaged one: the stretch is decoded again on one thread."""


def decode_clip(
    clip: Clip, *, with_lead_in: bool = False, stats: DecodeStats | None = None
) -> Iterator[Decoded]:
    """Give the frames with `start_s` <= t < `end_s` in order of time, or the images of a folder.

    Times and pixels of a frame do not depend on where the clip begins. A frame without a time stamp
    lies one frame period after its predecessor; a frame whose time is not after its predecessor's is
    dropped. AVI stores no presentation times, so frames that are coded out of order take the stored
    times in order. After damage, frames are left out up to the next key frame; `tally` counts them.

    `with_lead_in` also gives the one frame before the first, with t < `start_s`, if there is one.
    An image of a folder has t = position in ms; it may turn out to be unreadable when it is read.

    Raises:
        SourceError: the file cannot be opened; see `probe_video`.
    """
    if clip.path is None:
        for file in clip.images:
            yield Decoded(Fraction(file.position, 1000), FileImage(file.path), file.name)
        return
    before: Decoded | None = None
    for decoded in _decode_before_and_from(clip.path, clip.start_s, stats or DecodeStats()):
        if decoded.t < clip.start_s:
            before = decoded
            continue
        if clip.end_s is not None and decoded.t >= clip.end_s:
            return
        if with_lead_in and before is not None:
            yield before
        before = None
        yield decoded


def _decode_before_and_from(path: Path, start_s: Fraction, stats: DecodeStats) -> Iterator[Decoded]:
    """Decode from the nearest key frame that certainly shows a frame before `start_s`."""
    timeline = read_timeline(path)
    margins = SEEK_MARGINS_S if timeline.is_seekable else ()
    for from_s in (start_s - margin_s for margin_s in margins):
        if from_s <= 0:
            break
        frames = _decode_stretch(path, timeline, from_s, stats)
        first = next(frames, None)
        if first is not None and first.t < start_s:
            yield first
            yield from frames
            return
    yield from _decode_stretch(path, timeline, None, stats)


def _decode_stretch(
    path: Path, timeline: Timeline, from_s: Fraction | None, stats: DecodeStats
) -> Iterator[Decoded]:
    """Decode on all threads until something is damaged; then the same again on one."""
    last, misplaced = Fraction(-1), stats.misplaced
    try:
        for decoded in _DecodePass(timeline, stats, is_threaded=True).decode(path, from_s):
            yield decoded
            last = decoded.t
    except _DamageSeenByThreads:
        stats.misplaced = misplaced
        repeated = _DecodePass(timeline, stats, is_threaded=False).decode(path, from_s)
        yield from (decoded for decoded in repeated if decoded.t > last)


@dataclass(slots=True)
class _DecodePass:
    """One pass through a file, from a key frame to the end."""

    timeline: Timeline
    stats: DecodeStats
    is_threaded: bool
    has_shown: bool = False
    is_spoiled: bool = False
    """Something before was damaged and no key frame has come since: images may show anything."""
    resume_pts: int | None = None
    """Stamp of the key frame that ends this; frames before it may still be on their way out."""

    def decode(self, path: Path, from_s: Fraction | None) -> Iterator[Decoded]:
        """Decode from the key frame before `from_s`; nothing, if the file cannot be read from there."""
        clock = Clock(self.timeline)
        with open_video(path) as container:
            stream = main_stream(container, path)
            stream.thread_type = ThreadType.AUTO if self.is_threaded else ThreadType.NONE
            stream.codec_context.thread_count = thread_limit() or 0  # 0: one per core
            if from_s is not None and not self._seek(container, stream, from_s):
                return
            from_key = self.timeline.from_key or from_s is not None
            for packet in read_packets(container, stream, from_key=from_key):
                for frame in self._decode_packet(stream, packet, clock):
                    if from_s is not None and not self.has_shown and frame.pts is None:
                        return
                    t = clock.place(frame)
                    if self._is_whole(frame) and self._is_after(t):
                        yield Decoded(t, VideoImage(frame))

    def _is_after(self, t: Fraction | None) -> TypeGuard[Fraction]:
        self.stats.misplaced += t is None
        return t is not None

    def _is_whole(self, frame: av.VideoFrame) -> bool:
        if frame.is_corrupt:
            self._note_damage(is_key=frame.key_frame)
        elif frame.key_frame and frame.pts == self.resume_pts:
            self.is_spoiled = False
        elif self.is_spoiled:
            self.stats.damaged += 1
        is_whole = not (frame.is_corrupt or self.is_spoiled)
        self.has_shown = self.has_shown or is_whole
        return is_whole

    def _seek(self, container: InputContainer, stream: VideoStream, from_s: Fraction) -> bool:
        try:
            container.seek(self.timeline.stamp_before(from_s), stream=stream)
        except av.FFmpegError:
            return False
        return True

    def _decode_packet(
        self, stream: VideoStream, packet: Packet[VideoStream] | None, clock: Clock
    ) -> list[av.VideoFrame]:
        if packet is not None:
            clock.note_packet(packet)
            if self.is_spoiled and self.resume_pts is None and packet.is_keyframe:
                self.resume_pts = packet.pts
        try:
            return stream.decode(packet)
        except av.FFmpegError:
            self._note_damage(is_key=packet is not None and packet.is_keyframe)
            clock.drop_packet()
            return []

    def _note_damage(self, *, is_key: bool) -> None:
        """Before the first frame of a pass, frames around a key frame only miss their predecessors."""
        if self.is_threaded:
            raise _DamageSeenByThreads
        if self.has_shown or is_key:
            self.stats.damaged += 1
            self.is_spoiled, self.resume_pts = True, None
