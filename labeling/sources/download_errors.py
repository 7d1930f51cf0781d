"""Classification of failed downloads: by exception class, then HTTP status, and by yt-dlp's messages last."""

import errno
import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus

from configs.errors import (
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
_TRANSPORT_CLASSES = {"TransportError", "RequestError", "ConnectionError"}
_BY_STATUS: dict[int, Kind] = {
    401: SourcePrivate,
    402: SourcePrivate,
    404: SourceNotFound,
    407: SourcePrivate,
    410: SourceRemoved,
    429: RateLimited,
    451: SourceGeoBlocked,
}
"""403 is missing: a bot wall, a country or a missing account can be behind it, which only the message tells."""
_BY_MESSAGE: tuple[tuple[Kind, str], ...] = (
    (BotWall, r"not a bot|anti-bot|captcha|unusual traffic|cloudflare"),
    (JsRuntimeMissing, r"no supported javascript runtime|requires? a javascript runtime"),
    (RateLimited, r"rate.?limit|too many requests|try again later"),
    (
        SourceGeoBlocked,
        r"geo.?(restrict|block)|not (made this video )?available (in|from) your|in your country",
    ),
    (
        SourcePrivate,
        r"private|sign in|log ?in|logged in|registered users|members.only|get access to|password",
    ),
    (
        SourcePrivate,
        r"confirm your age|age.restricted|premium|subscri|purchase|requires? (payment|an account)",
    ),
    (SourceRemoved, r"removed|deleted|terminated|taken down|no longer (available|exists?)|copyright"),
    (SourceRemoved, r"video (is )?(unavailable|not available)|isn.t available"),
    (TruncatedVideo, r"bytes read, \d+ more expected|downloaded \d+ bytes, expected|incompleteread"),
    (TruncatedVideo, r"fragment \d+ not found|ended prematurely"),
    (EmptyVideo, r"did not get any data blocks|file is empty"),
    (UnsupportedVideo, r"\bdrm\b|premieres in|live event|not currently live|has not started|ffmpeg"),
    (UnsupportedVideo, r"unusual and will be skipped"),
)
_BY_GENERIC_MESSAGE: tuple[tuple[Kind, str], ...] = (
    (SourceNotFound, r"does not exist|page not found"),
    (NotAVideo, r"unsupported url|no video|not a valid url|requested format|no suitable extractor"),
    (SourceUnreachable, r"timed? ?out|refused|reset by peer|unreachable|name resolution|name or service"),
    (SourceUnreachable, r"getaddrinfo|failed to resolve|connection (aborted|broken)|ssl|certificate|proxy"),
)
_NO_FORMATS = re.compile(r"(?i)requested format|only images are available|no video formats")
_NO_JS = re.compile(r"(?i)no supported javascript runtime|(n challenge|signature) solving failed")
_STATUS_IN_MESSAGE = re.compile(r"(?i)http error (\d{3})\b")


def classify_failure(failure: BaseException | str, *, warnings: Sequence[str] = ()) -> Kind:
    """Return our error class for a failure of yt-dlp; SourceError itself if nothing is known about it.

    `warnings` are yt-dlp's earlier warnings: only they tell that a JavaScript runtime is missing.
    """
    causes = list(_causes(failure)) if isinstance(failure, BaseException) else []
    message = reason_of(str(failure))
    if _NO_FORMATS.search(message) and any(_NO_JS.search(warning) for warning in warnings):
        return JsRuntimeMissing
    message = re.sub(r"(?i)[a-z][a-z0-9+.-]*://\S+|host='[^']*'", "", message)
    statuses = _statuses(causes, message)
    candidates = [kind for cause in causes if (kind := _by_class(cause))]
    candidates += [_BY_STATUS[status] for status in statuses if status in _BY_STATUS]
    candidates += _by_message(message, _BY_MESSAGE)
    if statuses:
        candidates.append(SourcePrivate if HTTPStatus.FORBIDDEN in statuses else SourceUnreachable)
    candidates += _by_message(message, _BY_GENERIC_MESSAGE)
    if any(_TRANSPORT_CLASSES & _class_names(cause) for cause in causes):
        candidates.append(SourceUnreachable)
    return next(iter(candidates), SourceError)


def reason_of(message: str) -> str:
    """Return a message of yt-dlp without colors, extractor, video id and cause: names are not reasons."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", message).removeprefix("ERROR: ").strip()
    plain = re.sub(r"^\[[^\]]+\] (?:[^:\s]+: |Got error: )?", "", plain)
    return re.sub(r" \(caused by .*$", "", plain, flags=re.DOTALL).strip()


def storage_failure(failure: BaseException) -> StorageError | None:
    """Return the failure as a StorageError if the disk caused it and not the source."""
    for cause in _causes(failure):
        number = getattr(cause, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT):
            return DiskFull(f"no space left for downloads ({cause}): free some, then run again")
        if number in (errno.EACCES, errno.EROFS) and isinstance(cause, OSError) and cause.filename:
            return HomeNotWritable(f"cannot write {cause.filename}: {cause.strerror}; change its permissions")
    if re.search(r"unable to (write data|open for writing)", str(failure)):
        return StorageError(f"cannot write downloads: {failure}; check the disk of the home")
    return None


def retry_after_s(failure: BaseException) -> float | None:
    """Return the pause that the server requested, in seconds; a date is ignored."""
    for cause in _causes(failure):
        headers = getattr(getattr(cause, "response", None), "headers", None) or {}
        value = str(headers.get("Retry-After", ""))
        if value.isdigit():
            return float(value)
    return None


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """Yield the exception and all its causes, nearest first; yt-dlp keeps them in several attributes."""
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
    return next((kind for name, kind in _BY_CLASS.items() if name in _class_names(cause)), None)


def _by_message(message: str, table: Sequence[tuple[Kind, str]]) -> list[Kind]:
    return [kind for kind, words in table if re.search(words, message, re.IGNORECASE)]


def _statuses(causes: Sequence[BaseException], message: str) -> list[int]:
    """Return the HTTP statuses of the causes, nearest first, then the one in the message."""
    statuses = [status for cause in causes if isinstance(status := getattr(cause, "status", None), int)]
    match = _STATUS_IN_MESSAGE.search(message)
    return [*statuses, int(match[1])] if match else statuses


def _class_names(error: BaseException) -> set[str]:
    return {base.__name__ for base in type(error).__mro__}
