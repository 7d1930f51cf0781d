"""Safe opening of video files, with a precise error for each failure."""

from __future__ import annotations  # PyAV's packets are generic only in its stubs

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from configs.errors import EmptyVideo, NotAVideo, SourceNotFound, TruncatedVideo, UnsupportedVideo

FORMATS = (
    "mov", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "live_flv", "asf", "ogg",
    "nut", "mxf", "gxf", "dv", "dhav", "ivf", "obu", "gif", "apng", "h264", "hevc", "vvc", "m4v",
    "mjpeg", "mpjpeg", "smjpeg", "yuv4mpegpipe", "wtv", "rm", "vc1", "av1", "3gp", "mp4", "swf",
)  # fmt: skip
"""FFmpeg's names of the formats that may be opened. Still images are read elsewhere; playlists and
scripts (hls, concat, dash) are refused, since they would open other files and URLs."""

_SEGMENT_ID = 0x18538067
_NO_MOVING_IMAGE = (
    Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
)  # cover art of a song, preview strips, AVIF stills


def open_video(path: Path) -> InputContainer:
    """Open a local file for reading; the caller closes it.

    Raises:
        SourceNotFound: the file does not exist, or may not be read.
        EmptyVideo: it has no bytes.
        TruncatedVideo: it begins like a video, but its index is missing.
        NotAVideo: the bytes are something else.
    """
    if not path.is_file():
        raise SourceNotFound(f"{path} is not a file: check the name")
    if path.stat().st_size == 0:
        raise EmptyVideo(f"{path} has no bytes: record or fetch it again")
    try:
        return av.open(
            str(path.absolute()),
            options={"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except PermissionError as exc:
        raise SourceNotFound(f"{path} may not be read: give this user permission to read it") from exc
    except EOFError as exc:
        raise EmptyVideo(f"{path} ends before its first frame: record or fetch it again") from exc
    except av.FFmpegError as exc:
        if _begins_like_a_video(path):
            raise TruncatedVideo(
                f"{path} begins like a video but its index is missing or damaged ({exc.strerror}): "
                "fetch it again, it is probably truncated"
            ) from exc
        raise NotAVideo(f"{path} is not a readable video ({exc.strerror}): check what it is") from exc


def main_stream(container: InputContainer, path: Path) -> VideoStream:
    """Choose the video stream: the first with moving images, preferably of a default track."""
    if not container.streams:
        raise EmptyVideo(f"{path} has no streams: record or fetch it again")
    moving = moving_streams(container)
    if not moving:
        raise NotAVideo(f"{path} has no video stream ({container.format.name}): check what it is")
    stream = next((s for s in moving if s.disposition & Disposition.default), moving[0])
    if cast(object, stream.codec_context) is None:
        raise UnsupportedVideo(f"{path}: there is no decoder for its video; convert it, for example to H.264")
    return stream


def moving_streams(container: InputContainer) -> list[VideoStream]:
    return [s for s in container.streams.video if not s.disposition & _NO_MOVING_IMAGE]


def read_packets(
    container: InputContainer, stream: VideoStream, *, from_key: bool
) -> Iterator[Packet[VideoStream] | None]:
    """Yield a stream's packets, then None, which flushes the decoder.

    With `from_key`, packets before the first key frame are skipped. Packets without bytes (AVI's
    repeated frames) are skipped: a decoder would take them for the end. A read error is the end.
    """
    packets = container.demux(stream)
    has_started = not from_key
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            break
        has_started = has_started or packet.is_keyframe
        if has_started and packet.size:
            yield packet
    yield None


def _begins_like_a_video(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == b"ftyp":
        return head[8:12] not in {b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"}
    return (
        head[4:8] in {b"moov", b"mdat", b"wide", b"skip", b"free"}  # QuickTime without a ftyp box
        or head.startswith((b"\x1aE\xdf\xa3", b"FLV\x01", b"\x30\x26\xb2\x75", b"OggS"))
        or (head.startswith(b"RIFF") and head[8:12] == b"AVI ")
    )


def matroska_bytes(path: Path) -> int | None:
    """Return the bytes that a Matroska or WebM file says it has; None if it does not say.

    RFC 8794: an element's id and size are numbers whose first byte tells their length. The header is followed by the
    segment, which is the rest of the file; all ones are the unknown size of a live stream.
    """
    with path.open("rb") as file:
        for _ in range(2):  # the header, and the segment
            element, size = _read_vint(file, keeps_marker=True), _read_vint(file)
            if element == _SEGMENT_ID:
                return None if size is None else file.tell() + size
            if size is None:
                return None
            file.seek(size, 1)
    return None


def _read_vint(file: BinaryIO, *, keeps_marker: bool = False) -> int | None:
    """Return a number of 1 to 8 bytes; None if it is unknown or missing."""
    first = file.read(1)
    length = 9 - first[0].bit_length() if first and first[0] else 0
    rest = file.read(length - 1) if length else b""
    if not length or len(rest) < length - 1:
        return None
    value = int.from_bytes(first + rest)
    ones = (1 << 7 * length) - 1
    if keeps_marker:
        return value
    return None if value & ones == ones else value & ones
