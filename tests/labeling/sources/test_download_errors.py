"""Classification of yt-dlp's failures, by exception and by message."""

import sys
from typing import Any

import pytest
from yt_dlp.networking.exceptions import HTTPError, IncompleteRead, TransportError
from yt_dlp.utils import (
    ContentTooShortError,
    DownloadError,
    ExtractorError,
    GeoRestrictedError,
    UnsupportedError,
    UserNotLive,
)

from configs.errors import (
    BotWall,
    EmptyVideo,
    JsRuntimeMissing,
    NotAVideo,
    RateLimited,
    SourceError,
    SourceGeoBlocked,
    SourceNotFound,
    SourcePrivate,
    SourceRemoved,
    SourceUnreachable,
    TruncatedVideo,
    UnsupportedVideo,
)
from labeling.sources.download_errors import classify_failure, reason_of, retry_after_s

NO_RUNTIME = (
    "[youtube] No supported JavaScript runtime could be found. Only deno is enabled by default; to use "
    "another runtime add  --js-runtimes RUNTIME[:PATH]  to your command/config."
)


class Answer:
    """The part of a response that HTTPError requires."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status, self.reason, self.headers = status, "Because", headers


def wrapped(cause: BaseException) -> DownloadError:
    """Wrap a cause as yt-dlp does, in `exc_info`."""
    try:
        raise cause  # noqa: TRY301
    except BaseException:  # noqa: BLE001  # only to fill in sys.exc_info
        return DownloadError(f"ERROR: {cause}", sys.exc_info())


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("[youtube] abc: Sign in to confirm you\u2019re not a bot. Use --cookies for the authentication.", BotWall),
        ("[generic] Got HTTP Error 403 caused by Cloudflare anti-bot challenge; try again with x", BotWall),
        ("[youtube] abc: Private video. Sign in if you've been granted access to this video", SourcePrivate),
        ("[vimeo] 1: This video is only available for registered users. Use --cookies", SourcePrivate),
        ("[youtube] abc: Join this channel to get access to members-only content like this", SourcePrivate),
        ("[youtube] abc: Sign in to confirm your age. This video may be inappropriate", SourcePrivate),
        ("[youtube] abc: Video unavailable. This video has been removed by the uploader", SourceRemoved),
        ("[youtube] abc: Video unavailable", SourceRemoved),
        ("[youtube] abc: This video is no longer available because the account has been terminated", SourceRemoved),
        ("[youtube] abc: Video unavailable. The uploader has not made this video available in your country",
         SourceGeoBlocked),
        ("[x] 1: This video is not available from your location due to geo restriction", SourceGeoBlocked),
        ("[youtube] abc: This content isn't available, try again later. The current session has been rate-limited by "
         "YouTube for up to an hour.", RateLimited),
        ("[x] 1: HTTP Error 429: Too Many Requests", RateLimited),
        ("[generic] private-video: Unable to download webpage: HTTP Error 404: Not Found", SourceNotFound),
        ("unable to download video data: HTTP Error 403: Forbidden", SourcePrivate),
        ("unable to download video data: HTTP Error 502: Bad Gateway", SourceUnreachable),
        ("Unsupported URL: https://example.org/login", NotAVideo),
        ("[youtube] abc: Requested format is not available. Use --list-formats", NotAVideo),
        ("[x] 1: No video formats found!; please report this issue", NotAVideo),
        ("[drm] The requested site is known to use DRM protection", UnsupportedVideo),
        ("[youtube] abc: Premieres in 5 hours", UnsupportedVideo),
        ("\r[download] Got error: 100 bytes read, 900 more expected", TruncatedVideo),
        ("fragment 3 not found, unable to continue", TruncatedVideo),
        ("Did not get any data blocks", EmptyVideo),
        ("[generic] Unable to download webpage: <urlopen error [Errno 111] Connection refused>", SourceUnreachable),
        ("[generic] Unable to download webpage: [Errno -2] Name or service not known", SourceUnreachable),
        ("[generic] Unable to download webpage: The read operation timed out", SourceUnreachable),
        ("[generic] SSL: CERTIFICATE_VERIFY_FAILED certificate verify failed", SourceUnreachable),
        ("[x] 1: an unknown message", SourceError),
    ],
)  # fmt: skip
def test_messages_are_classified(message: str, kind: type[SourceError]) -> None:
    assert classify_failure(message) is kind
    assert classify_failure(f"ERROR: {message}") is kind
    assert classify_failure(DownloadError(f"\x1b[0;31mERROR:\x1b[0m {message}")) is kind


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (GeoRestrictedError("Not here", countries=["NL"]), SourceGeoBlocked),
        (UnsupportedError("https://example.org/private/removed"), NotAVideo),
        (UserNotLive(), UnsupportedVideo),
        (ContentTooShortError(10, 100), TruncatedVideo),
        (IncompleteRead(10, 90), TruncatedVideo),
        (TransportError("it broke"), SourceUnreachable),
        *((HTTPError(Answer(status)), kind) for status, kind in {
            401: SourcePrivate, 403: SourcePrivate, 404: SourceNotFound, 410: SourceRemoved, 429: RateLimited,
            451: SourceGeoBlocked, 418: SourceUnreachable, 500: SourceUnreachable, 503: SourceUnreachable,
        }.items()),
    ],
)  # fmt: skip
def test_exceptions_are_classified_at_any_depth(cause: Any, kind: type[SourceError]) -> None:
    assert classify_failure(cause) is kind
    assert classify_failure(wrapped(cause)) is kind
    assert classify_failure(wrapped(ExtractorError("Unable to download webpage", cause=cause))) is kind


def test_a_missing_runtime_is_recognized_by_an_earlier_warning() -> None:
    failure = DownloadError("ERROR: [youtube] abc: Requested format is not available. Use --list-formats")
    assert classify_failure(failure) is NotAVideo
    assert classify_failure(failure, warnings=["something else"]) is NotAVideo
    assert classify_failure(failure, warnings=["something else", NO_RUNTIME]) is JsRuntimeMissing
    solving = "[youtube] abc: n challenge solving failed: Some formats may be missing."
    assert classify_failure(failure, warnings=[solving]) is JsRuntimeMissing
    private = DownloadError("ERROR: [youtube] abc: Private video. Sign in if you've been granted access")
    assert classify_failure(private, warnings=[NO_RUNTIME]) is SourcePrivate


def test_the_pause_requested_by_the_server_is_found() -> None:
    requested = HTTPError(Answer(429, **{"Retry-After": "17"}))
    assert retry_after_s(wrapped(ExtractorError("x", cause=requested))) == 17.0
    assert retry_after_s(HTTPError(Answer(429))) is None
    assert retry_after_s(HTTPError(Answer(429, **{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}))) is None


def test_only_the_reason_is_shown() -> None:
    message = (
        "\x1b[0;31mERROR:\x1b[0m [generic] clip: Unable to download webpage: HTTP Error 404 (caused by <X>)"
    )
    assert reason_of(message) == "Unable to download webpage: HTTP Error 404"
