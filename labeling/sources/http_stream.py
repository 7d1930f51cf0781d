"""Streams over HTTP for FFmpeg, which opens no connection itself: each request, redirect and playlist entry is checked.

FFmpeg would follow redirects and playlists to any address. It is given these files instead (PyAV's `io_open`), and no
protocol to open others.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import DataHandler, Request

from configs.errors import SourceError, SourceNotFound, SourcePrivate, SourceUnreachable, UnsupportedVideo
from labeling.sources.connections import checked_connections
from labeling.sources.hls import DecryptedFile, absolute_playlist, is_playlist
from labeling.sources.url_policy import (
    PAGE_SCHEMES,
    check_resolved,
    check_url,
    redact_text,
    redact_url,
    url_scheme,
)

MAX_REDIRECTS = 8
MAX_PLAYLIST_BYTES = 8 * 2**20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SKIP_BYTES = 64 * 1024
"""A shorter way forward is read and dropped, which is faster than a new request."""
_HEAD_BYTES = 16
_NO_MORE_ATTEMPTS: dict[int, type[SourceError]] = {
    HTTPStatus.UNAUTHORIZED: SourcePrivate,
    HTTPStatus.FORBIDDEN: SourcePrivate,
    HTTPStatus.NOT_FOUND: SourceNotFound,
    HTTPStatus.GONE: SourceNotFound,
}


class HttpStreams:
    """All requests of one camera or stream: its redirects, playlists, segments and keys."""

    def __init__(self, *, timeout_s: float, allow_link_local: bool = False) -> None:
        """Prepare a session without cookies or passwords; nothing is sent. Close it after use."""
        import requests

        self._session = requests.Session()
        self._session.trust_env = (
            False  # a ~/.netrc holds no camera's password; proxies are read for each URL
        )
        self.timeout_s, self._allow_link_local = timeout_s, allow_link_local
        self._accounts: dict[tuple[str, str], tuple[str, str]] = {}
        self._logins: dict[tuple[str, str], Any] = {}
        self._files: list[HttpFile] = []
        self.refusal: UnsupportedVideo | None = None
        """Why something that a playlist names was not opened; FFmpeg may go on without it."""
        self.failure: str | None = None
        """Why the stream itself ended early. FFmpeg is told of its end only, so that it hands out what it still has."""

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._session.close()

    def open(self, url: str) -> "HttpFile":
        """Open the stream itself.

        Raises:
            UnsupportedVideo: a hop has a refused address or scheme.
            SourcePrivate, SourceNotFound: the answer is final.
            SourceUnreachable: no answer, or one that may be different later.
        """
        self._files.append(HttpFile(self, url))
        return self._files[-1]

    def open_entry(self, url: str, options: Mapping[str, str]) -> Any:
        """Open what a playlist names, with FFmpeg's options: a byte range, or a key.

        An entry that cannot be fetched is empty, since the next one may be there.

        Raises:
            UnsupportedVideo: it is refused; `refusal` keeps the reason.
        """
        encrypted = url.startswith(("crypto+", "crypto:"))
        try:
            file = self._open_entry(url[len("crypto+") :] if encrypted else url, options)
        except UnsupportedVideo as refusal:
            self.refusal = refusal
            raise
        except (SourceNotFound, SourcePrivate, SourceUnreachable):
            return io.BytesIO()
        return DecryptedFile(file, options["key"], options["iv"]) if encrypted else file

    def _open_entry(self, url: str, options: Mapping[str, str]) -> Any:
        if url_scheme(url) == "data":
            return io.BytesIO(DataHandler().data_open(Request(url)).read(MAX_PLAYLIST_BYTES))  # noqa: S310
        if url_scheme(url) not in PAGE_SCHEMES:
            raise UnsupportedVideo(
                f"{redact_url(url)}: a playlist may name http and https addresses only; use another stream"
            )
        end = int(options["end_offset"]) if "end_offset" in options else None
        self._files.append(HttpFile(self, url, begin=int(options.get("offset", 0)), end=end, is_entry=True))
        return self._files[-1]

    def request(self, url: str, headers: Mapping[str, str]) -> tuple[Any, str]:
        """Return the response of the last hop, unread, and its URL without a password."""
        for _ in range(MAX_REDIRECTS):
            check_url(url, allow_link_local=self._allow_link_local)
            check_resolved(url, allow_link_local=self._allow_link_local)
            response, asked = self._ask(url, headers)
            location = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not location:
                self._check_status(response, url)
                return response, asked
            response.close()
            url = _joined(asked, location)
            if url_scheme(url) not in PAGE_SCHEMES:
                raise UnsupportedVideo(
                    f"{redact_url(asked)}: redirects to {redact_url(url)}, which is not http; use its address"
                )
        raise SourceUnreachable(
            f"{redact_url(asked)}: more than {MAX_REDIRECTS} redirects; use its last address"
        )

    def _ask(self, url: str, headers: Mapping[str, str]) -> tuple[Any, str]:
        """Send one request, and again with the URL's password in the way that the server asks for."""
        origin, bare = self._origin_of(url)
        response = self._send(bare, headers, self._logins.get(origin))
        wanted = response.headers.get("WWW-Authenticate", "").lower()
        if response.status_code != HTTPStatus.UNAUTHORIZED or origin not in self._accounts:
            return response, bare
        response.close()
        self._logins[origin] = _login(wanted, *self._accounts[origin])
        return self._send(bare, headers, self._logins[origin]), bare

    def _send(self, url: str, headers: Mapping[str, str], login: Any) -> Any:
        import requests
        import urllib3

        try:
            with checked_connections(allow_link_local=self._allow_link_local) as check, _quiet():
                return self._session.get(
                    url,
                    headers={"Accept": "*/*", "Accept-Encoding": "identity", **headers},
                    auth=login,
                    stream=True,
                    allow_redirects=False,
                    timeout=self.timeout_s,
                    verify=False,  # cameras sign their certificates themselves
                    proxies=requests.utils.get_environ_proxies(url),
                )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as exc:
            if check.refusal:
                raise UnsupportedVideo(f"{redact_url(url)}: {check.refusal}") from None
            raise SourceUnreachable(reason_of(exc, self.timeout_s)) from None

    def _origin_of(self, url: str) -> tuple[tuple[str, str], str]:
        """Return scheme and host with port, and the URL without user and password, which are kept for this origin."""
        parts = urlsplit(url)
        user, at, host = parts.netloc.rpartition("@")
        origin = (parts.scheme.lower(), host.lower())
        if at:
            name, _, password = user.partition(":")
            self._accounts[origin] = (unquote(name), unquote(password))
        return origin, urlunsplit((parts.scheme, host, parts.path, parts.query, ""))

    def _check_status(self, response: Any, url: str) -> None:
        status = response.status_code
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return
        response.close()
        error = _NO_MORE_ATTEMPTS.get(status)
        if error:
            raise error(f"{redact_url(url)}: status {status}; check its address and password")
        raise SourceUnreachable(f"the server answered with status {status}")


class HttpFile:
    """One response as a file for FFmpeg; read in order, and from another place where the server knows ranges."""

    def __init__(
        self,
        streams: HttpStreams,
        url: str,
        *,
        begin: int = 0,
        end: int | None = None,
        is_entry: bool = False,
    ) -> None:
        self._streams, self._end, self._is_entry = streams, end, is_entry
        self._ahead = b""
        self._position = self._target = begin
        self._response, self.url = self._request(url, begin)
        self._position = begin
        self.media_type = (
            str(self._response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()
        )
        self._length = None if is_entry else _length(self._response)
        self._ahead = self._read_some(_HEAD_BYTES)
        if is_playlist(self._ahead) and self.url != url:
            self._ahead = absolute_playlist(self._ahead + self._read_rest(), self.url)

    @property
    def is_playlist(self) -> bool:
        return is_playlist(self._ahead)

    def read(self, size: int) -> bytes:
        """Return at least one byte, fewer than `size` where no more came yet; none at the end."""
        if self._target != self._position:
            self._go_to(self._target)
        piece = self._take(size)
        self._target = self._position
        return piece

    def seekable(self) -> bool:
        return self._length is not None

    def tell(self) -> int:
        return self._target

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Choose where the next read begins; nothing is requested yet."""
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._target, io.SEEK_END: self._length or 0}[whence]
        self._target = max(begin + offset, 0)
        return self._target

    def close(self) -> None:
        self._response.close()

    def _go_to(self, target: int) -> None:
        if 0 < target - self._position <= _SKIP_BYTES:
            self._skip(target - self._position)
            return
        self._response.close()
        self._ahead = b""
        self._response, self.url = self._request(self.url, target)
        self._position = target

    def _request(self, url: str, begin: int) -> tuple[Any, str]:
        last = "" if self._end is None else str(self._end - 1)
        response, final_url = self._streams.request(url, {"Range": f"bytes={begin}-{last}"})
        if begin and response.status_code != HTTPStatus.PARTIAL_CONTENT:
            self._response = response  # the server sends all, whatever is asked for
            self._skip(begin)
        return response, final_url

    def _skip(self, count: int) -> None:
        while count and (piece := self._take(min(count, _SKIP_BYTES))):
            count -= len(piece)

    def _take(self, size: int) -> bytes:
        if self._ahead:
            piece, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            piece = self._read_some(size)
        self._position += len(piece)
        return piece

    def _read_some(self, size: int) -> bytes:
        import urllib3

        try:
            return bytes(self._response.raw.read1(size))
        except (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as exc:
            if not self._is_entry:  # else the next entry may be whole
                self._streams.failure = reason_of(exc, self._streams.timeout_s)
            return b""

    def _read_rest(self) -> bytes:
        text = bytearray()
        while piece := self._read_some(_SKIP_BYTES):
            text += piece
            if len(text) > MAX_PLAYLIST_BYTES:
                raise UnsupportedVideo(
                    f"{redact_url(self.url)}: a playlist of more than {MAX_PLAYLIST_BYTES} bytes; use another"
                )
        return bytes(text)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise UnsupportedVideo(
            f"{redact_url(url)}: redirects to what is not an address; use another"
        ) from None


def _length(response: Any) -> int | None:
    """Return the bytes of the whole file where the server sends any part of it; None else."""
    total = str(response.headers.get("Content-Range", "")).rpartition("/")[2]
    if response.status_code == HTTPStatus.PARTIAL_CONTENT and total.isdecimal():
        return int(total)
    length = str(response.headers.get("Content-Length", ""))
    accepts = response.headers.get("Accept-Ranges", "").lower() == "bytes"
    return int(length) if accepts and response.status_code == HTTPStatus.OK and length.isdecimal() else None


def _login(wanted: str, user: str, password: str) -> Any:
    import requests

    return requests.auth.HTTPDigestAuth(user, password) if "digest" in wanted else (user, password)


def reason_of(failure: Exception, timeout_s: float) -> str:
    """Return why a server did not answer, in a few words and without its URL."""
    causes, cause = [failure], failure
    while (
        cause := cause.__cause__
        or cause.__context__
        or next(  # type: ignore[assignment]
            (part for part in (getattr(cause, "reason", None), *cause.args) if isinstance(part, Exception)),
            None,
        )
    ):
        causes.append(cause)
    if any(isinstance(one, TimeoutError) or "Timeout" in type(one).__name__ for one in causes):
        return f"no data for {timeout_s:g} s"
    known = next(
        (one.strerror for one in reversed(causes) if isinstance(one, OSError) and one.strerror), None
    )
    return redact_text(known or "the stream broke off")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the warning that a certificate is not verified."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
