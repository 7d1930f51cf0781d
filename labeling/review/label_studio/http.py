"""Authenticated JSON requests to a Label Studio server, with retries and clear errors.

Reads are repeated while the server cannot be reached, is busy (429) or fails (5xx). Writes are sent once:
after a timeout it is unknown whether the server executed them, so callers must check before they repeat one.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib.util import find_spec
from itertools import count
from typing import Any, NoReturn

import httpx
from pydantic_core import to_json
from tenacity import Retrying, before_sleep_log, retry_if_exception_type, stop_after_attempt, wait_exponential

from configs.environment import LABEL_STUDIO_URL
from configs.errors import (
    LabelStudioDenied,
    LabelStudioError,
    LabelStudioMissing,
    LabelStudioRefused,
    LabelStudioUnreachable,
)
from labeling.text.json_text import read_json

TESTED_SDK = "2.1"
"""Version for which the tests check the private API."""
MAX_DETAIL = 300
"""Characters of the server's explanation in a message."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Upload = tuple[str, tuple[str, bytes]]
"""Name of a form field, file name and content."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Time limit and number of attempts of a request."""

    timeout_s: float = 60.0
    """For a response, or for a part of a long one."""
    attempts: int = 5
    """Maximum for reads."""
    first_pause_s: float = 0.5
    """Between attempts; doubled each time."""
    longest_pause_s: float = 8.0
    connect_s: float = 10.0
    """Time limit for a connection."""


DEFAULT_RETRY_POLICY = RetryPolicy()
QUICK = RetryPolicy(timeout_s=5, attempts=1, connect_s=3)
"""To find out at once whether a server is there; a busy one needs seconds for its first response."""


class Connection:
    """An authenticated connection; it raises the errors that `LabelStudioClient` lists."""

    def __init__(self, url: str, token: str, retry_policy: RetryPolicy) -> None:
        address = _parse_url(url)
        self.url = str(address).rstrip("/")
        self._key_kind = _token_kind(token)
        self._timeout_s = retry_policy.timeout_s
        self._retrying = Retrying(
            retry=retry_if_exception_type(LabelStudioUnreachable),
            stop=stop_after_attempt(retry_policy.attempts),
            wait=wait_exponential(multiplier=retry_policy.first_pause_s, max=retry_policy.longest_pause_s),
            before_sleep=before_sleep_log(_log, logging.INFO),
            reraise=True,
        )
        self._http = _open_client(address, retry_policy)
        self._http.event_hooks = {"response": [self._check_status]}
        with self._translated_errors():
            self._headers = make_authenticator(f"{self.url}/", token, self._http)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Any:
        """Read the JSON at a path, with retries."""
        return self._retrying(self._send, "GET", path, query)

    def get_pages(self, path: str, **query: object) -> Iterator[Any]:
        """Yield the items of a path that responds in pages."""
        for number in count(1):
            page = self.get(path, page=number, **query)
            yield from page["results"]
            if not page["next"]:
                return

    def post(
        self, path: str, body: object = None, *, files: Sequence[Upload] | None = None, **query: object
    ) -> Any:
        """Send JSON or files, once; returns the JSON of the response."""
        return self._send("POST", path, query, body, files)

    def patch(self, path: str, body: object) -> Any:
        """Send JSON, once; returns the JSON of the response."""
        return self._send("PATCH", path, {}, body)

    def delete(self, path: str) -> None:
        self._send("DELETE", path, {})

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: object = None,
        files: Sequence[Upload] | None = None,
    ) -> Any:
        # pydantic encodes masks, long lists of numbers, five times as fast as the standard library.
        content = None if files or body is None else to_json(body)
        with self._translated_errors():
            headers = dict(self._headers())
            if content is not None:
                headers["Content-Type"] = "application/json"
            response = self._http.request(
                method,
                f"{self.url}{path}",
                params={name: str(value) for name, value in query.items()},
                headers=headers,
                content=content,
                files=list(files) if files else None,
            )
            return read_json(response.content) if response.content else None

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except LabelStudioError:
            raise
        except httpx.HTTPError as exc:
            raise _unreachable(self.url, exc, self._timeout_s) from exc
        except sdk_errors() as exc:
            # The SDK itself reports an expired token. ValueError: the response is not JSON.
            if getattr(exc, "status_code", None) == HTTPStatus.UNAUTHORIZED:
                self._deny(HTTPStatus.UNAUTHORIZED, _detail(getattr(exc, "body", "")))
            raise LabelStudioError(
                f"the server at {self.url} does not respond like Label Studio ({type(exc).__name__}): check the URL"
            ) from exc

    def _check_status(self, response: httpx.Response) -> None:
        """Check every response, also those to the SDK, before it is used."""
        if response.is_success:
            return
        response.read()
        status, detail = response.status_code, _detail(response.text)
        request = f"{response.request.method} {response.request.url.path}"
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._deny(status, detail)
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise LabelStudioUnreachable(
                f"Label Studio at {self.url} is busy or broken ({request}: status {status}, {detail}): "
                "try again later, or read its log"
            )
        if target := response.headers.get("Location"):
            raise LabelStudioRefused(
                f"Label Studio at {self.url} redirects to {target}: use that address", status=status
            )
        raise LabelStudioRefused(
            f"Label Studio at {self.url} refused {request} (status {status}): {detail}", status=status
        )

    def _deny(self, status: int, detail: str) -> NoReturn:
        problem = f"Label Studio at {self.url} refuses the {self._key_kind} (status {status}: {detail})"
        new_token = f"create another in Account & Settings > Personal Access Token at {self.url}/user/account"
        if status == HTTPStatus.FORBIDDEN:
            raise LabelStudioDenied(
                f"{problem}: its user lacks a permission; ask an administrator, or use another user's token"
            )
        if self._key_kind == "legacy token":
            raise LabelStudioDenied(
                f"{problem}: it is wrong, or legacy tokens are disabled in the organization; {new_token}, or "
                "enable legacy tokens in Organization > API Tokens Settings"
            )
        raise LabelStudioDenied(f"{problem}: it is wrong, expired or revoked; {new_token}")


def require_answer(url: str) -> None:
    """Check that some server answers at a URL. It needs no token, and not the second that the SDK's import takes.

    Raises:
        LabelStudioUnreachable: no server answers, or the URL is not valid.
    """
    address = _parse_url(url)
    with _open_client(address, QUICK) as http:
        try:
            http.get(address)
        except httpx.HTTPError as exc:
            raise _unreachable(str(address).rstrip("/"), exc, QUICK.timeout_s) from exc


def _open_client(address: httpx.URL, retry_policy: RetryPolicy) -> httpx.Client:
    connect_s = min(retry_policy.timeout_s, retry_policy.connect_s)
    return httpx.Client(
        timeout=httpx.Timeout(retry_policy.timeout_s, connect=connect_s),
        trust_env=address.host not in _LOOPBACK,  # a proxy cannot reach our loopback address
    )


def _unreachable(url: str, exc: httpx.HTTPError, timeout_s: float) -> LabelStudioUnreachable:
    if isinstance(exc, httpx.TimeoutException) and not isinstance(exc, httpx.ConnectTimeout):
        return LabelStudioUnreachable(
            f"Label Studio at {url} did not answer within {timeout_s:g} s: check whether it is busy, or raise the "
            "time limit"
        )
    return LabelStudioUnreachable(
        f"Label Studio at {url} cannot be reached ({str(exc) or type(exc).__name__}): start it (`maskmill review up`), "
        f"or check {LABEL_STUDIO_URL.name}"
    )


def _parse_url(text: str) -> httpx.URL:
    """Parse and check; errors do not repeat the URL, because it may contain a password."""
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL:
        raise LabelStudioUnreachable("Label Studio's URL is not valid: use http(s)://host[:port]") from None
    # httpx accepts any text as host, and percent-encodes invalid characters.
    is_host = url.host and "%" not in url.host and 0 < (url.port or 80) < 1 << 16
    if url.scheme not in {"http", "https"} or not is_host or url.userinfo:
        raise LabelStudioUnreachable(
            "Label Studio's URL is not valid: use http(s)://host[:port], without a password"
        )
    return url.copy_with(query=None, fragment=None)


def _token_kind(token: str) -> str:
    """A personal access token is a JWT: three parts, of which the first is a JSON object in base64."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise LabelStudioDenied(
            "Label Studio's token is empty or has invalid characters: copy it from Account & Settings there"
        )
    return "personal access token" if token.startswith("ey") and token.count(".") == 2 else "legacy token"  # noqa: PLR2004


def _detail(body: object) -> str:
    """Return the server's explanation, without JSON around it; HTML pages are dropped."""
    detail = body
    if isinstance(body, str):
        try:
            detail = read_json(body)
        except ValueError:
            detail = body
    if isinstance(detail, dict):
        detail = detail.get("validation_errors") or detail.get("detail") or detail
    text = str(detail).strip()
    return "no explanation" if not text or text.startswith("<") else text[:MAX_DETAIL]


def make_authenticator(url: str, token: str, http: httpx.Client) -> Callable[[], Mapping[str, str]]:
    """Return a function that gives the headers of a request, and refreshes the token if necessary.

    label-studio-sdk exchanges personal access tokens for short-lived ones, but has no public access to the
    resulting headers. Its own requests encode large bodies twice, which triples their time.

    Raises:
        LabelStudioMissing: label-studio-sdk is not installed.
        ApiError: the token has expired (an exception of the SDK, see `sdk_errors`).
    """
    if find_spec("label_studio_sdk") is None:
        raise LabelStudioMissing("label-studio-sdk is not installed: pip install 'maskmill[review]'")
    from label_studio_sdk import LabelStudio

    # No retries by the SDK: it would repeat writes too.
    sdk = LabelStudio(base_url=url, api_key=token, httpx_client=http, max_retries=0)
    headers: Callable[[], Mapping[str, str]] = sdk._client_wrapper.get_headers
    return headers


def sdk_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of an authentication: the SDK's, and those of an unexpected response."""
    from label_studio_sdk.core.api_error import ApiError
    from label_studio_sdk.core.parse_error import ParsingError

    return ApiError, ParsingError, ValueError, AttributeError
