"""Properties and completeness of a video file, without decoding all of it."""

from __future__ import annotations  # PyAV's packets are generic only in its stubs

import math
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from configs.errors import EmptyVideo, TruncatedVideo, UnsupportedVideo
from labeling.structures.images import SMALLEST_SIDE_PX
from labeling.video.color import upright_hw
from labeling.video.containers import (
    main_stream,
    matroska_bytes,
    moving_streams,
    open_video,
    read_packets,
)
from labeling.video.recordings import ContinuousTime
from labeling.video.timestamps import (
    FALLBACK_STEP_S,
    LARGEST_RATE_ERROR,
    LARGEST_STEP_S,
    count_restarts,
    first_intact_frame,
)

TAIL_MARGINS_S = (5, 60)
"""The file is read from this far before its declared end until a frame decodes; else from the start."""

LARGEST_LACK_S, LARGEST_LACK_SHARE = Fraction(1), Fraction(1, 10)
"""The lesser of these is how far before the declared end the streams of a complete file may end."""

_UNKNOWN_RIFF_SIZE = 0xFFFFFFFF
"""Written by recorders that do not update the header at the end."""


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """Properties of a video that are known before its frames are decoded."""

    duration_s: Fraction
    """From the first frame to the end of the last one."""
    size_hw: tuple[int, int]
    """Upright, in stored pixels, which may not be square."""
    fps: Fraction | None
    """Average; None if the file does not declare it."""
    codec: str
    other_streams: int = 0
    """Further video streams with moving images, such as the rear camera's."""
    lacking_s: Fraction = Fraction(0)
    """The header declares so many seconds more than there are, and nothing says that bytes are missing."""


@dataclass(slots=True)
class _Tail:
    """The last part of a file; times in seconds by its own time stamps."""

    end_s: Fraction | None = None
    """End of the last packet of any stream."""
    video_end_s: Fraction | None = None
    packets: int = 0
    """Video packets; all of them if the file was read from the start."""
    has_frame: bool = False


def probe_video(path: Path) -> VideoFacts:
    """Read a video's header, first frame and end.

    Raises:
        SourceNotFound: the file does not exist, or may not be read.
        NotAVideo: the bytes are something else, or have no moving image.
        EmptyVideo: no bytes, or no frame that can be decoded.
        TruncatedVideo: the bytes end before the declared end.
        UnsupportedVideo: encrypted, no decoder, or smaller than 16 pixels on a side.
    """
    with open_video(path) as container:
        stream = main_stream(container, path)
        _check_index(container, stream, path)
        _check_riff_size(container, path)
        first = _read_first_frame(container, stream, path)
        origin_s = _seconds(first.pts, stream)
        fps = _frame_rate(stream)
        codec = stream.codec_context.codec.canonical_name
        others = len(moving_streams(container)) - 1
        height, width = size_hw = upright_hw(first)
    if min(size_hw) < SMALLEST_SIDE_PX:
        raise UnsupportedVideo(f"{path} is {width}x{height} px, too small to show a person: remove it")
    duration_s, lacking_s = _measure_duration(path, origin_s)
    return VideoFacts(duration_s, size_hw, fps, codec, others, lacking_s)


def refuse_large_frames(path: Path, size_hw: tuple[int, int], max_pixels: int) -> None:
    """Raise `UnsupportedVideo` if the frames of a video have more pixels than `ingest.max_pixels`."""
    height, width = size_hw
    if height * width > max_pixels:
        raise UnsupportedVideo(
            f"{path}: its frames of {width}x{height} px have more pixels than ingest.max_pixels, {max_pixels:,}: "
            "raise it, or scale the video"
        )


def _frame_rate(stream: VideoStream) -> Fraction | None:
    """Return the average rate, or the usual one where a single absurd duration spoils the average."""
    average, usual = stream.average_rate, stream.guessed_rate
    if average and usual and usual > LARGEST_RATE_ERROR * average:
        return usual
    return average or None


def _seconds(stamp: int | None, stream: Stream) -> Fraction | None:
    return None if stamp is None or stream.time_base is None else stamp * stream.time_base


def _check_index(container: InputContainer, stream: VideoStream, path: Path) -> None:
    """Reject a file whose index points behind its last byte."""
    last = stream.index_entries[-1] if len(stream.index_entries) else None
    if last is not None and last.pos + last.size > container.size > 0:
        raise TruncatedVideo(
            f"{path} has {container.size} bytes, but its last frame is at byte {last.pos}: fetch it again"
        )


def _check_riff_size(container: InputContainer, path: Path) -> None:
    """Compare with the size in the header: FFmpeg hides a truncated AVI by shortening its duration."""
    if container.format.name != "avi":
        return
    with path.open("rb") as file:
        declared = int.from_bytes(file.read(8)[4:], "little") + 8
    if container.size < declared < _UNKNOWN_RIFF_SIZE:
        raise TruncatedVideo(f"{path} has {container.size} of {declared} bytes: fetch it again")


def _read_first_frame(container: InputContainer, stream: VideoStream, path: Path) -> av.VideoFrame:
    packets = read_packets(container, stream, from_key=False)
    head = next(packets)
    if head is not None and head.has_sidedata("encryption_info"):
        raise UnsupportedVideo(f"{path} is encrypted: store it decrypted")
    frame = first_intact_frame(stream, chain([head], packets))
    if frame is None:
        raise EmptyVideo(f"{path} has no frame that can be decoded: record or fetch it again")
    return frame


def _measure_duration(path: Path, origin_s: Fraction | None) -> tuple[Fraction, Fraction]:
    """Return the seconds from the first frame to the end of the last, and how many more the header declares.

    Raises:
        TruncatedVideo: the header declares more, and the file has fewer bytes than it should.
    """
    is_joined = count_restarts(path) > 0
    for margin_s in (None,) if is_joined else (*TAIL_MARGINS_S, None):
        with open_video(path) as container:
            stream = main_stream(container, path)
            declared_s = _declared_end(container)
            rate = _frame_rate(stream)
            step_s = 1 / rate if rate else FALLBACK_STEP_S
            if margin_s is not None and not _seek_tail(container, declared_s, margin_s):
                continue
            tail = _read_tail(container, stream, step_s, is_joined=is_joined)
        if tail.has_frame and tail.video_end_s is not None:
            lacking_s = Fraction(0) if is_joined else _lack(tail, declared_s, step_s)
            if lacking_s and _lacks_bytes(path):
                raise TruncatedVideo(
                    f"{path} declares its end at {float(declared_s or 0):.2f} s, but its bytes end "
                    f"{float(lacking_s):.2f} s before: fetch it again"
                )
            return tail.video_end_s - (origin_s or 0), lacking_s
    if not tail.has_frame:
        raise TruncatedVideo(f"{path}: nothing decodes near its end: fetch it again")
    return tail.packets * step_s, Fraction(0)


def _declared_end(container: InputContainer) -> Fraction | None:
    """Return the end by the container's time stamps; None if it is not declared."""
    if container.duration is None or container.duration <= 0:
        return None
    return Fraction(container.duration + (container.start_time or 0), av.time_base)


def _seek_tail(container: InputContainer, declared_s: Fraction | None, margin_s: int) -> bool:
    if declared_s is None:
        return False
    try:
        container.seek(math.floor((declared_s - margin_s) * av.time_base))
    except av.FFmpegError:
        return False
    return True


def _read_tail(container: InputContainer, stream: VideoStream, step_s: Fraction, *, is_joined: bool) -> _Tail:
    """Read all packets to the end, and decode until there is a frame.

    Where recordings are joined, FFmpeg takes intact packets for corrupt ones: their counters start again.
    """
    tail, time = _Tail(), ContinuousTime(step_s)
    with suppress(av.FFmpegError):  # a read error is the end
        for packet in container.demux():
            if not packet.size or (packet.is_corrupt and not is_joined):
                continue
            end_s = _end_of(packet, step_s)
            tail.end_s = _later(tail.end_s, end_s)
            if packet.stream_index == stream.index:
                tail.packets += 1
                if is_joined:  # elsewhere a step back is only the order of decoding, across a gap by hours
                    end_s = end_s and time.next(end_s)
                tail.video_end_s = _later(tail.video_end_s, end_s)
                tail.has_frame = tail.has_frame or _gives_frame(stream, packet)
    tail.has_frame = tail.has_frame or _gives_frame(stream, None)
    return tail


def _end_of(packet: Packet[Stream], step_s: Fraction) -> Fraction | None:
    """Return the end of a packet. Recorders that end in disorder stamp their last one with hours."""
    start_s = _seconds(packet.pts if packet.pts is not None else packet.dts, packet.stream)
    if start_s is None:
        return None
    duration_s = _seconds(packet.duration or None, packet.stream) or step_s
    return start_s + (step_s if duration_s > max(LARGEST_STEP_S, LARGEST_RATE_ERROR * step_s) else duration_s)


def _later(first: Fraction | None, second: Fraction | None) -> Fraction | None:
    return max((t for t in (first, second) if t is not None), default=None)


def _gives_frame(stream: VideoStream, packet: Packet[Stream] | None) -> bool:
    return first_intact_frame(stream, [cast("Packet[VideoStream] | None", packet)]) is not None


def _lack(tail: _Tail, declared_s: Fraction | None, step_s: Fraction) -> Fraction:
    """Return how many seconds before the declared end all streams end; 0 for what a complete file may lack."""
    if declared_s is None or tail.end_s is None:
        return Fraction(0)
    allowed_s = max(2 * step_s, min(LARGEST_LACK_S, declared_s * LARGEST_LACK_SHARE))
    lacking_s = declared_s - tail.end_s
    return lacking_s if lacking_s > allowed_s else Fraction(0)


def _lacks_bytes(path: Path) -> bool:
    """Return whether a file has fewer bytes than its container says; True where a container does not say.

    Recorders of browsers and streams write a duration that was never filmed, or none, and no size.
    """
    with open_video(path) as container:
        names = set(container.format.name.split(","))
        if names & {"mov", "mp4"}:  # its index was compared with its bytes
            return False
        if names & {"matroska", "webm"}:
            return (matroska_bytes(path) or 0) > path.stat().st_size
        if "flv" in names:
            return float(container.metadata.get("filesize", 0) or 0) > path.stat().st_size
    return True
