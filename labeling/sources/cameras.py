"""Recording of cameras and live streams into files that start with a key frame."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError

from configs.errors import (
    NotAVideo,
    SourceError,
    SourceNotFound,
    SourcePrivate,
    SourceUnreachable,
    UnsupportedVideo,
)
from configs.models import Ingest
from labeling.sources.content_store import move_into_store, staging
from labeling.sources.recording_segments import SegmentTimeline, SegmentWriter, date_back, open_segment
from labeling.sources.streams import OpenStream, open_stream
from labeling.sources.url_policy import PAGE_SCHEMES, name_source, redact_url, url_scheme

MAX_PAUSE_S = 30.0
"""Longest pause between two attempts to reconnect."""
_REFUSALS: dict[type[FFmpegError], type[SourceError]] = {
    av.error.HTTPUnauthorizedError: SourcePrivate,
    av.error.HTTPForbiddenError: SourcePrivate,
    av.error.HTTPNotFoundError: SourceNotFound,
    av.error.FileNotFoundError: SourceNotFound,
    av.error.ProtocolNotFoundError: UnsupportedVideo,
}
"""Errors that another attempt would not change."""


class Interrupt:
    """Holds back the first Ctrl-C until `pass_on`. A second one has its usual effect at once.

    The exception that Python would raise immediately is lost in a callback of a C library or in a finalizer, and
    may interrupt any write halfway.
    """

    def __init__(self) -> None:
        self.came = False
        """Ctrl-C was pressed: finish, then call `pass_on`."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold back Ctrl-C during the block. No effect outside the main thread, or where SIGINT is ignored."""
        usual = signal.getsignal(signal.SIGINT)
        in_main = threading.current_thread() is threading.main_thread()
        if not in_main or usual in (signal.SIG_IGN, None):
            yield
            return

        def keep(signum: int, frame: FrameType | None) -> None:
            self.came = True
            signal.signal(signal.SIGINT, usual)

        signal.signal(signal.SIGINT, keep)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)

    def pass_on(self) -> None:
        """Give a held Ctrl-C its usual effect now."""
        if self.came:
            self.came = False
            signal.raise_signal(signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Recording:
    """One finished file of a camera."""

    path: Path
    started_at: datetime
    """UTC, when its first frame arrived."""
    duration_s: float


def record_camera(
    url: str, folder: Path, ingest: Ingest, *, allow_link_local: bool = False
) -> Iterator[Recording]:
    """Record `ingest.record_s` of a stream or device, in files of about `ingest.segment_s`.

    Packets are copied and not encoded again, if a container can hold them. A file starts with a key frame at time 0.
    After a drop the camera is connected again, at most `ingest.reconnects` times in a row with growing pauses, and a
    new file starts. Recorded files are kept, complete, also when the caller stops early. Ctrl-C ends the recording;
    it has its usual effect when the caller has taken the last file and requests the next.

    Raises:
        SourceUnreachable: all attempts failed; earlier files stay.
        SourcePrivate, SourceNotFound, NotAVideo, UnsupportedVideo: the camera's answer is final.
        DiskFull, HomeNotWritable: the recording cannot be written.
    """
    with staging(folder) as here:
        recorder = _Recorder(url, folder, here, ingest, allow_link_local=allow_link_local)
        recordings = recorder.record()
        try:
            while True:
                with recorder.interrupt.held():
                    recording = next(recordings, None)
                if recording is None:
                    return
                yield recording
                recorder.interrupt.pass_on()  # before the next file is started
        finally:
            recorder.interrupt.pass_on()


class _Recorder:
    """One recording over several connections."""

    def __init__(self, url: str, folder: Path, here: Path, ingest: Ingest, *, allow_link_local: bool) -> None:
        self._url, self._shown = url, redact_url(url)
        self._folder, self._here, self._ingest = folder, here, ingest
        self._allow_link_local = allow_link_local
        self._recorded_s = 0.0
        self._first_at: float | None = None
        self._segments = 0
        self._connection = ExitStack()
        self._drop = "the stream ended"
        self.interrupt = Interrupt()

    def record(self) -> Iterator[Recording]:
        failures = 0
        while not self._is_done():
            for recording in self._record_connection():
                failures = 0
                yield recording
            if self._is_done():
                return
            failures += 1
            if failures > self._ingest.reconnects:
                raise SourceUnreachable(
                    f"{self._shown}: {self._drop}; {self._ingest.reconnects} attempts to reconnect failed; "
                    f"{self._recorded_s:.1f} s were recorded; check the camera and the network"
                )
            self._pause(min(self._ingest.backoff_s * 2.0 ** (failures - 1), MAX_PAUSE_S))

    def _is_done(self, running_s: float = 0.0) -> bool:
        """Return whether Ctrl-C came, or enough was recorded: by the camera's clock, or by ours if it sends little."""
        waited_s = time.monotonic() - self._first_at if self._first_at is not None else 0.0
        return self.interrupt.came or max(self._recorded_s + running_s, waited_s) >= self._ingest.record_s

    def _pause(self, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        while time.monotonic() < until and not self.interrupt.came:
            time.sleep(min(0.1, pause_s))

    def _record_connection(self) -> Iterator[Recording]:
        """Record until done or dropped; `_drop` then holds the reason."""
        with ExitStack() as self._connection:
            stream = self._connect()
            if stream is None:
                return
            container = stream.container
            if not container.streams.video:
                raise NotAVideo(f"{self._shown}: the stream has no video; select another stream")
            timeline = SegmentTimeline(container)
            writer: SegmentWriter | None = None
            try:
                for packet in self._whole_packets(stream):
                    continuous = timeline.stamp(packet)
                    if writer and (not continuous or self._is_full(writer, packet)):
                        finished, writer = writer, None
                        yield self._finish(finished)
                    if writer is None and packet.is_keyframe:
                        writer = self._start_segment(container)
                    if writer:
                        writer.write(packet)
                    if self._is_done(writer.duration_s if writer else 0.0):
                        break
            except BaseException:
                if writer:
                    self._finish(writer)
                raise
            if writer:
                yield self._finish(writer)

    def _is_full(self, writer: SegmentWriter, packet: "av.Packet[Any]") -> bool:
        return packet.is_keyframe and writer.duration_s >= self._ingest.segment_s

    def _whole_packets(self, stream: OpenStream) -> Iterator["av.Packet[Any]"]:
        """Yield the camera's packets until it drops, without the last one, which may be cut short."""
        held: av.Packet[Any] | None = None
        packets = stream.container.demux(stream.container.streams.video[0])
        while not self.interrupt.came:
            try:
                packet = next(packets, None)
            except FFmpegError as exc:
                self._drop = stream.failure() or self._reason_of(exc)
                return
            except SourceUnreachable as exc:  # another place of the file was not answered
                self._drop = str(exc)
                return
            if packet is None or packet.size == 0:
                self._drop = stream.failure() or "the stream ended"
                return
            if packet.is_corrupt:
                continue
            if held:
                date_back(held, packet)
                yield held
            held = packet

    def _connect(self) -> OpenStream | None:
        """Open the stream; return None if another attempt may succeed."""
        try:
            return self._connection.enter_context(
                open_stream(
                    self._url, timeout_s=self._ingest.timeout_s, allow_link_local=self._allow_link_local
                )
            )
        except SourceUnreachable as exc:
            self._drop = str(exc)
            return None
        except FFmpegError as exc:
            # `from None`: the cause holds the URL with its password.
            if isinstance(exc, av.error.InvalidDataError) and url_scheme(self._url) in PAGE_SCHEMES:
                raise NotAVideo(
                    f"{self._shown}: the server's answer is not a video; check the address"
                ) from None
            for refusal, error in _REFUSALS.items():
                if isinstance(exc, refusal):
                    raise error(f"{self._shown}: {exc.strerror}; check its address and password") from None
            self._drop = self._reason_of(exc)
            return None

    def _reason_of(self, failure: FFmpegError) -> str:
        if isinstance(failure, av.error.ExitError):  # PyAV's own time limit
            return f"no data for {self._ingest.timeout_s:g} s"
        return failure.strerror or "the stream broke off"

    def _start_segment(self, container: InputContainer) -> SegmentWriter:
        self._first_at = self._first_at if self._first_at is not None else time.monotonic()
        self._segments += 1
        return open_segment(container.streams.video[0], self._here / str(self._segments))

    def _finish(self, writer: SegmentWriter) -> Recording:
        path = writer.finish()
        self._recorded_s += writer.duration_s
        kept = move_into_store(path, self._folder, suffix=path.suffix)
        return Recording(kept, writer.started_at, writer.duration_s)


def recording_name(url: str, started_at: datetime) -> str:
    """Return the identity of one recording: the camera's address without passwords, and its start."""
    return f"{name_source(url)}#{started_at.astimezone(UTC).isoformat(timespec='milliseconds')}"
