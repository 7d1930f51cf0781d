"""What a failed download means, read from yt-dlp's exceptions first and its words second."""

import errno
import re
from collections.abc import Iterator, Sequence

from labeling.errors import (
    BotWall,
    DiskFull,
    EmptyVideo,
    HomeNotWritable,
    JsRuntimeMissing,
    NotAVideo,
    RateLimited,
    SourceError,
    SourceGeoBlocked,
    SourceNotFound,
    SourcePrivate,
    SourceRemoved,
    SourceUnreachable,
    StorageError,
    TruncatedVideo,
    UnsupportedVideo,
)

Kind = type[SourceError]

_BY_CLASS: dict[str, Kind] = {
    "GeoRestrictedError": SourceGeoBlocked,
    "UnsupportedError": NotAVideo,
    "UserNotLive": UnsupportedVideo,
    "ContentTooShortError": TruncatedVideo,
    "IncompleteRead": TruncatedVideo,
}
"""Names of yt-dlp's classes: importing them would load all of it."""

_BY_STATUS: dict[int, Kind] = {
    401: SourcePrivate,
    402: SourcePrivate,
    403: SourcePrivate,
    404: SourceNotFound,
    407: SourcePrivate,
    410: SourceRemoved,
    429: RateLimited,
    451: SourceGeoBlocked,
}

_BY_WORDS: tuple[tuple[str, Kind], ...] = (
    (r"not a bot|anti-bot|captcha|unusual traffic|cloudflare", BotWall),
    (r"no supported javascript runtime|requires? a javascript runtime", JsRuntimeMissing),
    (r"rate.?limit|too many requests|try again later", RateLimited),
    (
        r"geo.?(restrict|block)|not (made this video )?available (in|from) your|in your country",
        SourceGeoBlocked,
    ),
    (
        r"private|sign in|log ?in|logged in|registered users|members.only|get access to|password",
        SourcePrivate,
    ),
    (
        r"confirm your age|age.restricted|premium|subscri|purchase|requires? (payment|an account)",
        SourcePrivate,
    ),
    (r"removed|deleted|terminated|taken down|no longer (available|exists?)|copyright", SourceRemoved),
    (r"video (is )?(unavailable|not available)|isn.t available", SourceRemoved),
    (r"bytes read, \d+ more expected|downloaded \d+ bytes, expected|incompleteread", TruncatedVideo),
    (r"fragment \d+ not found|ended prematurely", TruncatedVideo),
    (r"did not get any data blocks|file is empty", EmptyVideo),
    (r"\bdrm\b|premieres in|live event|not currently live|has not started|ffmpeg", UnsupportedVideo),
    (r"unusual and will be skipped", UnsupportedVideo),
)
_BY_LAST_WORDS: tuple[tuple[str, Kind], ...] = (
    (r"http error (401|402|403|407)\b", SourcePrivate),
    (r"http error 404\b|does not exist|page not found", SourceNotFound),
    (r"http error 410\b", SourceRemoved),
    (r"http error 429\b", RateLimited),
    (r"http error 451\b", SourceGeoBlocked),
    (
        r"unsupported url|no video formats|no video|not a valid url|requested format|no suitable extractor",
        NotAVideo,
    ),
    (
        r"http error \d|timed? ?out|refused|reset by peer|unreachable|name resolution|name or service",
        SourceUnreachable,
    ),
    (r"getaddrinfo|failed to resolve|connection (aborted|broken)|ssl|certificate|proxy", SourceUnreachable),
)
_NO_FORMATS = re.compile(r"(?i)requested format|only images are available|no video formats")
_NO_JS = re.compile(r"(?i)no supported javascript runtime|(n challenge|signature) solving failed")

ADVICE: dict[Kind, str] = {
    SourceNotFound: "check the address",
    SourceUnreachable: "check the address and the network, then run again",
    SourceRemoved: "take it off the list",
    SourcePrivate: "set ingest.cookies_file to the cookies of an account that may see it",
    SourceGeoBlocked: "run from a network where it is shown",
    BotWall: "set ingest.cookies_file, raise ingest.pause_s, and run again later",
    RateLimited: "raise ingest.pause_s and run again later",
    JsRuntimeMissing: "install deno, or node 22 or later; `maskmill doctor` says what is found",
    NotAVideo: "give the address of a video, a playlist or a channel",
    EmptyVideo: "check the address in a browser",
    TruncatedVideo: "run again; if it stays so, the server's file is broken",
    UnsupportedVideo: "take it off the list, or download it another way",
}


def classify_failure(failure: BaseException | str, *, warnings: Sequence[str] = ()) -> Kind:
    """Which of our errors a failure of yt-dlp is; SourceError itself if nothing is known of it.

    `warnings` are what yt-dlp warned of before: that a site could not be read for want of a
    JavaScript runtime is only said there.
    """
    causes = list(_causes(failure)) if isinstance(failure, BaseException) else []
    text = spoken_words(str(failure))
    if _NO_FORMATS.search(text) and any(_NO_JS.search(warning) for warning in warnings):
        return JsRuntimeMissing
    known = [_by_class(cause) for cause in causes]
    for kind in (
        *known,
        _by_words(text, _BY_WORDS),
        *map(_by_status, causes),
        _by_words(text, _BY_LAST_WORDS),
    ):
        if kind is not None:
            return kind
    return SourceUnreachable if any(map(_is_transport, causes)) else SourceError


def spoken_words(message: str) -> str:
    """A message of yt-dlp without colors, extractor, video id and cause: names are no reasons."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", message).removeprefix("ERROR: ").strip()
    plain = re.sub(r"^\[[^\]]+\] (?:[^:\s]+: |Got error: )?", "", plain)
    return re.sub(r" \(caused by .*$", "", plain, flags=re.DOTALL).strip()


def storage_failure(failure: BaseException) -> StorageError | None:
    """The failure as ours, if it was the disk's and not the source's."""
    for cause in _causes(failure):
        number = getattr(cause, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT):
            return DiskFull(f"no room left for downloads ({cause}): free some, then run again")
        if number in (errno.EACCES, errno.EROFS) and isinstance(cause, OSError) and cause.filename:
            return HomeNotWritable(f"cannot write {cause.filename}: {cause.strerror}")
    if re.search(r"unable to (write data|open for writing)", str(failure)):
        return StorageError(f"cannot write downloads: {failure}")
    return None


def retry_after_s(failure: BaseException) -> float | None:
    """How long the server asked to wait, in seconds."""
    for cause in _causes(failure):
        response = getattr(cause, "response", None)
        headers = getattr(response, "headers", None) or {}
        value = str(headers.get("Retry-After", ""))
        if value.isdigit():
            return float(value)
    return None


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """The exception and all it came from, nearest first; yt-dlp keeps them in several places."""
    waiting, seen = [failure], set[int]()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        exc_info = getattr(cause, "exc_info", None) or (None, None, None)
        for deeper in (exc_info[1], getattr(cause, "cause", None), cause.__cause__, cause.__context__):
            if isinstance(deeper, BaseException):
                waiting.append(deeper)


def _by_class(cause: BaseException) -> Kind | None:
    if isinstance(cause, SourceError):
        return type(cause)
    names = (base.__name__ for base in type(cause).__mro__)
    return next((_BY_CLASS[name] for name in names if name in _BY_CLASS), None)


def _by_status(cause: BaseException) -> Kind | None:
    status = getattr(cause, "status", None)
    if not isinstance(status, int):
        return None
    return _BY_STATUS.get(status, SourceUnreachable)


def _by_words(text: str, table: tuple[tuple[str, Kind], ...]) -> Kind | None:
    text = re.sub(r"[a-z][a-z0-9+.-]*://\S+|host='[^']*'", "", text, flags=re.IGNORECASE)
    return next((kind for words, kind in table if re.search(words, text, re.IGNORECASE)), None)


def _is_transport(cause: BaseException) -> bool:
    return any(
        base.__name__ in ("TransportError", "RequestError", "ConnectionError") for base in type(cause).__mro__
    )
