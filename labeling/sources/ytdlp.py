"""yt-dlp configured for unattended use: one file per video, no terminal output, no files left behind."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from configs.errors import ConfigError, UnsupportedVideo
from configs.models import Ingest
from labeling.sources.connections import checked_connections
from labeling.sources.url_policy import check_resolved, redact_text

MAX_PAUSE_S = 120.0
"""Longest pause between two attempts."""
_COOKIE_FIELDS = 7
_HTTP_ONLY = "#HttpOnly_"


@dataclass
class YtDlpLogger:
    """A logger that keeps yt-dlp's warnings and prints nothing."""

    warnings: list[str] = field(default_factory=list)

    def debug(self, message: str) -> None:
        """Ignored: progress messages."""

    def warning(self, message: str) -> None:
        self.warnings.append(redact_text(message))

    def error(self, message: str) -> None:
        """Ignored: yt-dlp also raises it."""


def make_downloader(ingest: Ingest, logger: YtDlpLogger, *, allow_link_local: bool) -> Any:
    """Return a `YoutubeDL` with this run's limits, to be used as a context manager.

    Every address that it requests passes `check_resolved` first, and again as it is connected to: also the target of a
    redirect. Behind a proxy, which connects itself, the target of a redirect is checked when it has answered, and a
    refused answer is not used. Raises ConfigError for an invalid cookies file.
    """
    import yt_dlp

    downloader = yt_dlp.YoutubeDL(_options(ingest, logger))
    guard = _AddressGuard(downloader.urlopen, allow_link_local=allow_link_local)
    downloader.urlopen = guard.open
    downloader.add_close_hook(guard.close)
    return downloader


def backoff(ingest: Ingest) -> Callable[..., float]:
    """Return a function from the number of failed attempts (from 0) to the pause in seconds."""
    return lambda n: min(ingest.backoff_s * 2.0**n, MAX_PAUSE_S)


def _read_cookies(path: Path) -> io.StringIO:
    """Return the text of a cookies file: yt-dlp would write to the file itself. Errors do not show its lines."""
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"ingest.cookies_file {path}: cannot be read ({exc}); check the path") from exc
    for number, line in enumerate(text.splitlines(), start=1):
        cookie = line.removeprefix(_HTTP_ONLY)
        if cookie.strip() and not cookie.startswith("#") and len(cookie.split("\t")) != _COOKIE_FIELDS:
            raise ConfigError(
                f"ingest.cookies_file {path}: line {number} does not have {_COOKIE_FIELDS} fields between tabs; "
                "export the cookies in Netscape's format"
            )
    return io.StringIO(text)


def _options(ingest: Ingest, logger: YtDlpLogger) -> dict[str, Any]:
    pause = backoff(ingest)
    return {
        "logger": logger,
        "quiet": True,
        "noprogress": True,
        "color": "never",
        # The largest video stream whose shorter side is not above max_height, else the smallest: a portrait of
        # 1080x1920 is as sharp as a landscape of 1920x1080. Sound is never needed, so ffmpeg is not
        # needed to merge it.
        "format": "bv*",
        "format_sort": [f"res:{ingest.max_height}"],
        "external_downloader": {"m3u8": "native"},
        "fixup": "never",
        "outtmpl": {"default": "%(format_id).40B.%(ext)s"},
        "updatetime": False,
        "cachedir": False,
        "noplaylist": True,
        # We repeat a whole attempt, with a fresh page and the bytes that are already there.
        "retries": 0,
        "fragment_retries": ingest.retries,
        "extractor_retries": ingest.retries,
        "retry_sleep_functions": {"fragment": pause, "extractor": pause},
        "skip_unavailable_fragments": False,
        "socket_timeout": ingest.timeout_s,
        "ratelimit": ingest.rate_limit_bytes,
        "sleep_interval_requests": ingest.pause_s,
        "sleep_interval": ingest.pause_s or None,
        "cookiefile": _read_cookies(ingest.cookies_file) if ingest.cookies_file else None,
        "js_runtimes": {name: {} for name in RUNTIMES},
        "match_filter": _refuse_live,
    }


def _refuse_live(info: dict[str, Any], *, incomplete: bool) -> None:
    if info.get("is_live") or info.get("live_status") in ("is_live", "is_upcoming"):
        raise UnsupportedVideo(
            f"{info.get('id')}: a live broadcast; record it as a camera, or wait for its end"
        )


class _AddressGuard:
    """Wrapper of yt-dlp's `urlopen` that checks addresses, and closes responses that yt-dlp leaves open."""

    def __init__(self, urlopen: Callable[[Any], Any], *, allow_link_local: bool) -> None:
        self._urlopen, self._allow_link_local = urlopen, allow_link_local
        self._responses: list[Any] = []

    def open(self, url_or_request: Any) -> Any:
        from yt_dlp.networking import Request
        from yt_dlp.networking.exceptions import HTTPError

        request = Request(url_or_request) if isinstance(url_or_request, str) else url_or_request
        check_resolved(request.url, allow_link_local=self._allow_link_local)
        with checked_connections(allow_link_local=self._allow_link_local) as check:
            try:
                response = self._urlopen(request)
            except HTTPError as exc:
                self._accept(exc.response, request)
                raise
            except Exception as exc:
                if check.refusal:  # yt-dlp hides it behind its own
                    raise check.refusal from exc
                raise
        self._accept(response, request)
        return response

    def close(self) -> None:
        for response in self._responses:
            response.close()

    def _accept(self, response: Any, request: Any) -> None:
        """Remember a response to close it later; refuse it if it comes from a refused address."""
        self._responses = [*(known for known in self._responses if not known.closed), response]
        if response.url != request.url:
            check_resolved(response.url, allow_link_local=self._allow_link_local)


RUNTIMES = ("deno", "node", "bun", "quickjs")
"""In yt-dlp's own order of preference. It tries only those in its options, by default only deno."""


class JsRuntimeStatus(NamedTuple):
    """The runtime as `maskmill doctor` shows it."""

    name: str | None
    version: str | None
    ok: bool
    explanation: str


def js_runtime_status() -> JsRuntimeStatus:
    """Return the best runtime that is installed; starts each candidate once to get its version."""
    import yt_dlp
    from yt_dlp.globals import supported_js_runtimes

    found = [info for name in RUNTIMES if (info := supported_js_runtimes.value[name]().info)]
    if not found:
        advice = "none found; YouTube needs one: install deno, or node 22 or later"
        return JsRuntimeStatus(None, None, False, advice)
    best = next((info for info in found if info.supported), found[0])
    if not best.supported:
        explanation = (
            f"{best.name} {best.version} is too old for yt-dlp {yt_dlp.version.__version__}; "
            "install deno, or node 22 or later"
        )
    elif find_spec("yt_dlp_ejs") is None:
        explanation = "the package yt-dlp-ejs is missing: pip install 'yt-dlp[default]'"
    else:
        return JsRuntimeStatus(best.name, best.version, True, f"found at {best.path}")
    return JsRuntimeStatus(best.name, best.version, False, explanation)
