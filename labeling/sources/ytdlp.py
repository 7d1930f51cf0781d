"""yt-dlp, set up for unattended use: one video file per video, nothing printed, nothing left behind."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.models import Ingest
from labeling.errors import UnsupportedVideo
from labeling.sources.js_runtime import RUNTIMES
from labeling.sources.url_policy import check_resolved, redact_text

MAX_PAUSE_S = 120.0
"""Between two attempts, whatever the backoff has grown to."""
_COOKIE_FIELDS = 7
_HTTP_ONLY = "#HttpOnly_"


@dataclass
class YtDlpLogger:
    """Takes what yt-dlp says in place of the terminal, and keeps its warnings."""

    warnings: list[str] = field(default_factory=list)

    def debug(self, message: str) -> None:
        """Progress and chatter: nobody asked."""

    def warning(self, message: str) -> None:
        self.warnings.append(redact_text(message))

    def error(self, message: str) -> None:
        """Raised as well: said there."""


def make_downloader(ingest: Ingest, notes: YtDlpLogger, *, allow_link_local: bool) -> Any:
    """A `YoutubeDL` with this run's limits, to be used as a context manager.

    Every address that it asks for, on whatever page it finds it, passes `check_resolved`; one that
    a server redirects to is checked once it has answered, and the answer is not used.

    Raises:
        ConfigError: the cookies file cannot be read or is none.
    """
    import yt_dlp

    downloader = yt_dlp.YoutubeDL(_options(ingest, notes))
    guard = _Guard(downloader.urlopen, allow_link_local=allow_link_local)
    downloader.urlopen = guard.open
    downloader.add_close_hook(guard.close)
    return downloader


def backoff(ingest: Ingest) -> Callable[..., float]:
    """Seconds to wait after so many failed attempts (from 0)."""
    return lambda n: min(ingest.backoff_s * 2.0**n, MAX_PAUSE_S)


def read_cookies(path: Path) -> io.StringIO:
    """A cookies file's text: yt-dlp writes back to what it is given, so it is not given the file.

    Raises:
        ConfigError: not readable, or a line that is not Netscape's; the line itself is not shown.
    """
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"ingest.cookies_file {path}: cannot be read ({exc})") from exc
    for number, line in enumerate(text.splitlines(), start=1):
        cookie = line.removeprefix(_HTTP_ONLY)
        if cookie.strip() and not cookie.startswith("#") and len(cookie.split("\t")) != _COOKIE_FIELDS:
            raise ConfigError(
                f"ingest.cookies_file {path}: line {number} is not {_COOKIE_FIELDS} fields between tabs; "
                "export the cookies in Netscape's format"
            )
    return io.StringIO(text)


def _options(ingest: Ingest, notes: YtDlpLogger) -> dict[str, Any]:
    pause = backoff(ingest)
    return {
        "logger": notes,
        "quiet": True,
        "noprogress": True,
        "color": "never",
        # One stream of video, not taller than wanted, else the smallest: sound is never needed, and so
        # neither is ffmpeg to join it.
        "format": f"bv*[height<=?{ingest.max_height}]/wv*",
        "external_downloader": {"m3u8": "native"},
        "fixup": "never",
        "outtmpl": {"default": "%(format_id).40B.%(ext)s"},
        "updatetime": False,
        "cachedir": False,
        "noplaylist": True,
        # A whole attempt is repeated by us, with a fresh page and the bytes that are there already.
        "retries": 0,
        "fragment_retries": ingest.retries,
        "extractor_retries": ingest.retries,
        "retry_sleep_functions": {"fragment": pause, "extractor": pause},
        "skip_unavailable_fragments": False,
        "socket_timeout": ingest.timeout_s,
        "ratelimit": ingest.rate_limit_bytes,
        "sleep_interval_requests": ingest.pause_s,
        "sleep_interval": ingest.pause_s or None,
        "cookiefile": read_cookies(ingest.cookies_file) if ingest.cookies_file else None,
        "js_runtimes": {name: {} for name in RUNTIMES},
        "match_filter": _refuse_live,
    }


def _refuse_live(info: dict[str, Any], *, incomplete: bool) -> None:
    if info.get("is_live") or info.get("live_status") in ("is_live", "is_upcoming"):
        raise UnsupportedVideo(
            f"{info.get('id')}: a live broadcast; record it as a camera, or wait for its end"
        )


class _Guard:
    """Stands before yt-dlp's `urlopen`: checks addresses, and closes the answers that it leaves open."""

    def __init__(self, urlopen: Callable[[Any], Any], *, allow_link_local: bool) -> None:
        self._urlopen, self._allow_link_local = urlopen, allow_link_local
        self._answers: list[Any] = []

    def open(self, asked: Any) -> Any:
        from yt_dlp.networking import Request
        from yt_dlp.networking.exceptions import HTTPError

        request = Request(asked) if isinstance(asked, str) else asked
        check_resolved(request.url, allow_link_local=self._allow_link_local)
        try:
            answer = self._urlopen(request)
        except HTTPError as exc:
            self._take(exc.response, request)
            raise
        self._take(answer, request)
        return answer

    def close(self) -> None:
        for answer in self._answers:
            answer.close()

    def _take(self, answer: Any, request: Any) -> None:
        """Remember to close it, and refuse it if it came from an address that we would not have asked."""
        self._answers = [*(one for one in self._answers if not one.closed), answer]
        if answer.url != request.url:
            check_resolved(answer.url, allow_link_local=self._allow_link_local)
