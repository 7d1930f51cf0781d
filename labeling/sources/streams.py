"""Opening of cameras and live streams: FFmpeg connects only to what was checked."""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import av
from av.container import InputContainer
from av.error import FFmpegError

from configs.errors import SourceNotFound, SourceUnreachable, UnsupportedVideo
from labeling.sources.http_stream import HttpFile, HttpStreams
from labeling.sources.stream_relay import is_relayed, relay
from labeling.sources.url_policy import PAGE_SCHEMES, check_resolved, check_url, redact_url, url_scheme
from labeling.video.containers import FORMATS

MAX_REDIRECTS = 8
_DEVICE_FORMAT = "v4l2"
_STREAM_FORMATS = ",".join((*FORMATS, "rtsp", "rtp", "aac", "ac3", "eac3", "mp3"))
"""The formats of files, of the protocols themselves, and of sound beside a video. HLS is added where we open its
parts; DASH is not, since FFmpeg would open its parts itself."""
_PROTOCOLS = {
    "rtsp": "rtp,rtsp,tcp", "rtsps": "rtp,rtsp,tcp", "rtmp": "rtmp,tcp", "rtmps": "rtmp,tcp", "tcp": "tcp",
    "udp": "udp", "rtp": "rtp,udp",
}  # fmt: skip
"""What FFmpeg may open for a scheme: never a file, and never HTTP."""
_HTTP_OPTIONS = {
    "format_whitelist": f"{_STREAM_FORMATS},hls",
    "protocol_whitelist": "none",
    # else FFmpeg's HLS reader looks for a connection of its own inside our files, and ends the process
    "http_persistent": "0",
    "http_multiple": "0",
}
_MULTIPART = "multipart/x-mixed-replace"


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A stream that is open."""

    container: InputContainer
    failure: Callable[[], str | None] = lambda: None
    """Return why it ended early, after its end; None if it is not known. Raises UnsupportedVideo for a refused part."""


@contextmanager
def open_stream(url: str, *, timeout_s: float, allow_link_local: bool = False) -> Iterator[OpenStream]:
    """Open a camera, stream or device for the block.

    Raises:
        SourceUnreachable: no connection, or no answer in time; another attempt may succeed.
        SourcePrivate, SourceNotFound, UnsupportedVideo: the answer is final, or an address on the way is refused.
        FFmpegError: what came cannot be read.
    """
    opened: AbstractContextManager[OpenStream]
    if url_scheme(url) in PAGE_SCHEMES:
        opened = _open_http(url, timeout_s=timeout_s, allow_link_local=allow_link_local)
    elif is_relayed(url):
        opened = _open_relayed(url, timeout_s=timeout_s, allow_link_local=allow_link_local)
    else:
        container = _open_here(url, timeout_s=timeout_s, allow_link_local=allow_link_local)
        opened = nullcontext(OpenStream(container))
    with opened as stream, stream.container:
        yield stream


@contextmanager
def _open_http(url: str, *, timeout_s: float, allow_link_local: bool) -> Iterator[OpenStream]:
    with closing(HttpStreams(timeout_s=timeout_s, allow_link_local=allow_link_local)) as streams:
        first = streams.open(url)
        waiting: list[HttpFile] = [first]

        def open_part(address: str, flags: int, options: dict[str, str]) -> Any:
            if streams.refusal:  # a second error in one call of FFmpeg would be printed
                return io.BytesIO()
            return waiting.pop() if waiting else streams.open_entry(address, options)

        try:
            container = av.open(
                first.url,
                format=_http_format(first),
                options=_HTTP_OPTIONS,
                timeout=timeout_s,
                io_open=open_part,
                metadata_errors="replace",
            )
        except FFmpegError:
            if failure := _failure(streams):
                raise SourceUnreachable(failure) from None
            raise
        yield OpenStream(container, lambda: _failure(streams))


def _failure(streams: HttpStreams) -> str | None:
    """Return why the stream ended early; raise UnsupportedVideo if something that it needs was refused."""
    if streams.refusal:
        raise streams.refusal from None
    return streams.failure


def _http_format(file: HttpFile) -> str | None:
    """Return FFmpeg's format where it cannot tell from the bytes alone."""
    if file.is_playlist:
        return "hls"
    return "mpjpeg" if file.media_type == _MULTIPART else None


@contextmanager
def _open_relayed(url: str, *, timeout_s: float, allow_link_local: bool) -> Iterator[OpenStream]:
    for _ in range(MAX_REDIRECTS):
        check_url(url, allow_link_local=allow_link_local)
        check_resolved(url, allow_link_local=allow_link_local)
        with relay(url, timeout_s=timeout_s, allow_link_local=allow_link_local) as relayed:
            try:
                container = av.open(
                    relayed.url,
                    options=_options(url, timeout_s) | relayed.options,
                    timeout=timeout_s,
                    metadata_errors="replace",
                )
            except FFmpegError:
                if relayed.redirect is None:
                    raise
            else:
                yield OpenStream(container)
                return
        url = _redirected(url, relayed.redirect)
    raise SourceUnreachable(f"more than {MAX_REDIRECTS} redirects; use the last address")


def _redirected(url: str, location: str) -> str:
    """Return where an RTSP server redirects to; a password goes to its own host only."""
    if not is_relayed(location) or url_scheme(location) not in {"rtsp", "rtsps"}:
        raise UnsupportedVideo(
            f"{redact_url(url)}: redirects to {redact_url(location)}, which is not RTSP; use its address"
        )
    before, after = urlsplit(url), urlsplit(location)
    user = before.netloc.rpartition("@")[0]
    if not user or "@" in after.netloc or before.hostname != after.hostname:
        return location
    return urlunsplit(after._replace(netloc=f"{user}@{after.netloc}"))


def _open_here(url: str, *, timeout_s: float, allow_link_local: bool) -> InputContainer:
    """Open a device, or a port of this machine that waits for a stream."""
    check_resolved(url, allow_link_local=allow_link_local)
    return av.open(
        url,
        format=_device_format(url),
        options=_options(url, timeout_s),
        timeout=timeout_s,
        metadata_errors="replace",
    )


def _device_format(url: str) -> str | None:
    """Return FFmpeg's driver for a device; None for a URL."""
    if not url.startswith("/"):
        return None
    if not Path(url).exists():
        raise SourceNotFound(f"{url}: no such device; `ls /dev/video*` lists them")
    if _DEVICE_FORMAT not in av.formats_available:
        raise UnsupportedVideo(
            f"{url}: this build of PyAV reads no devices; stream it, for example "
            f"`ffmpeg -f v4l2 -i {url} -f mpegts udp://127.0.0.1:5000`, and record udp://127.0.0.1:5000"
        )
    return _DEVICE_FORMAT


def _options(url: str, timeout_s: float) -> dict[str, str]:
    """Return FFmpeg's limits for the protocol. RTMP gets no timeout: the option would make it listen."""
    scheme = url_scheme(url)
    if scheme is None:
        return {}
    microseconds = str(int(timeout_s * 1_000_000))
    options = {"protocol_whitelist": _PROTOCOLS[scheme], "format_whitelist": _STREAM_FORMATS}
    if scheme in ("rtsp", "rtsps"):
        return options | {"timeout": microseconds, "rtsp_transport": "tcp"}
    if scheme in ("tcp", "udp"):
        return options | {"timeout": microseconds}
    return options
