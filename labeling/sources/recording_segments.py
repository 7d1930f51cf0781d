"""One file of a recording: packets copied into a container, or frames encoded again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.video.stream import VideoStream

from configs.errors import UnsupportedVideo
from labeling.storage.atomic import storage_errors

COPIED_INTO = {
    "av1": ".mp4", "h264": ".mp4", "hevc": ".mp4", "mjpeg": ".mp4", "mpeg4": ".mp4", "vp9": ".mp4",
    "mpeg1video": ".mkv", "mpeg2video": ".mkv", "vp8": ".mkv",
}  # fmt: skip
"""Codecs whose packets are copied, and the container that keeps their exact timestamps."""
MAX_GAP_S = 10.0
"""A stream whose timestamps jump by more, forward or back, continues in a new file."""
_UNTIMED_FORMATS = frozenset({"mpjpeg", "mjpeg", "jpeg_pipe", "image2"})
"""Formats without timestamps: a frame's time is its arrival."""
_ENCODER: Final = "libx264"
_ENCODER_OPTIONS = {"crf": "16", "preset": "veryfast"}
"""Visually lossless: masks are drawn on these frames."""


class SegmentTimeline:
    """Gives every packet of a connection rising timestamps, and detects jumps."""

    def __init__(self, container: InputContainer) -> None:
        self._untimed = not _UNTIMED_FORMATS.isdisjoint(container.format.name.split(","))
        self._start_s = time.monotonic()
        self._last: int | None = None

    def stamp(self, packet: "av.Packet[Any]") -> bool:
        """Set `dts` and `pts`; return False if the packet does not continue the earlier ones."""
        time_base = packet.time_base or Fraction(1, 1000)
        if self._untimed:
            packet.pts = packet.dts = int((time.monotonic() - self._start_s) / time_base)
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is None:
            dts = self._last + 1 if self._last is not None else 0
        gap_s = (dts - self._last) * time_base if self._last is not None else 0
        continuous = -MAX_GAP_S < gap_s < MAX_GAP_S
        if continuous and self._last is not None:
            dts = max(dts, self._last + 1)
        packet.dts = self._last = dts
        packet.pts = max(packet.pts, dts) if packet.pts is not None else dts
        return continuous


def date_back(packet: "av.Packet[Any]", following: "av.Packet[Any]") -> None:
    """Give a packet without timestamps those just before the following packet's: RTSP's first has none."""
    if packet.dts is None and packet.pts is None and following.dts is not None:
        packet.dts = packet.pts = following.dts - max(packet.duration or 0, 1)


def open_segment(stream: VideoStream, path: Path) -> "SegmentWriter":
    """Start a file at `path` plus the suffix that fits the stream's codec."""
    suffix = COPIED_INTO.get(stream.codec_context.name)
    if suffix:
        try:
            return _CopiedSegment(stream, path.with_suffix(suffix))
        except (FFmpegError, ValueError):  # the stream's header lacks what the container's header needs
            path.with_suffix(suffix).unlink(missing_ok=True)
    with _write_errors(path):
        return _EncodedSegment(stream, path.with_suffix(".mp4"))


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors into ours: those of the disk, and those of a stream that does not fit."""
    with storage_errors(path):
        try:
            yield
        except FFmpegError as exc:
            if isinstance(exc, OSError):
                raise
            raise UnsupportedVideo(
                f"the stream cannot be recorded ({exc.strerror}); select another stream of the camera"
            ) from exc


class SegmentWriter:
    """A file that takes packets in decoding order, stamped by one `SegmentTimeline`; its first frame is at time 0."""

    def __init__(self, path: Path) -> None:
        self.started_at = datetime.now(UTC)
        self._path = path
        self._first_pts: int | None = None
        self._duration = Fraction(0)
        with storage_errors(path):
            path.touch()
        self._container = av.open(str(path), "w")

    @property
    def duration_s(self) -> float:
        return float(self._duration)

    def write(self, packet: "av.Packet[Any]") -> None:
        """Add a packet, moved to the segment's own time."""
        dts, pts = packet.dts or 0, packet.pts or 0
        if self._first_pts is None:
            self._first_pts = pts  # dts, which is earlier, may become negative
        packet.dts, packet.pts = dts - self._first_pts, pts - self._first_pts
        end = (packet.pts + (packet.duration or 0)) * (packet.time_base or Fraction(0))
        self._duration = max(self._duration, end)
        self._add(packet)

    def finish(self) -> Path:
        """Close the file and return its path."""
        with _write_errors(self._path):
            self._container.close()
        return self._path

    def _add(self, packet: "av.Packet[Any]") -> None:
        raise NotImplementedError


class _CopiedSegment(SegmentWriter):
    def __init__(self, stream: VideoStream, path: Path) -> None:
        super().__init__(path)
        try:
            self._stream = self._container.add_stream_from_template(stream)
            self._container.start_encoding()
        except BaseException:
            self._container.close()
            raise

    def _add(self, packet: "av.Packet[Any]") -> None:
        packet.stream = self._stream
        with _write_errors(self._path):
            self._container.mux(packet)


class _EncodedSegment(SegmentWriter):
    def __init__(self, stream: VideoStream, path: Path) -> None:
        super().__init__(path)
        self._stream = self._container.add_stream(
            _ENCODER, rate=stream.average_rate or 25, options=_ENCODER_OPTIONS
        )
        self._stream.width = stream.codec_context.width // 2 * 2
        self._stream.height = stream.codec_context.height // 2 * 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = stream.time_base or Fraction(1, 1000)

    def finish(self) -> Path:
        self._encode(None)
        return super().finish()

    def _add(self, packet: "av.Packet[Any]") -> None:
        with suppress(InvalidDataError):  # a damaged frame is left out
            for frame in packet.decode():
                self._encode(frame)

    def _encode(self, frame: av.VideoFrame | None) -> None:
        if frame:
            frame = frame.reformat(self._stream.width, self._stream.height, "yuv420p")
        with _write_errors(self._path):
            self._container.mux(self._stream.encode(frame))
