"""One authenticated connection to a Label Studio: what is asked again, and what its failures mean.

Reading is repeated while the server cannot be reached, is busy (429) or broken (5xx). Writing never is:
after a timeout nobody knows whether the server did it, so whoever writes must look before writing again.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib.util import find_spec
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import httpx
from pydantic_core import to_json
from tenacity import Retrying, before_sleep_log, retry_if_exception_type, stop_after_attempt, wait_exponential

from labeling.errors import (
    LabelStudioDenied,
    LabelStudioError,
    LabelStudioMissing,
    LabelStudioRefused,
    LabelStudioUnreachable,
)

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio

LONGEST_DETAIL = 300
"""Characters of the server's own words in a message; a page of HTML helps nobody."""
_CONNECT_LIMIT_S = 10.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a server is waited for."""

    timeout_s: float = 60.0
    """For an answer, or a part of a long one."""
    attempts: int = 5
    """How often something is read at most."""
    first_pause_s: float = 0.5
    """Between attempts; doubled each time."""
    longest_pause_s: float = 8.0


DEFAULT_RETRY_POLICY = RetryPolicy()

Answer = TypeVar("Answer")
Upload = tuple[str, tuple[str, bytes]]
"""Field of a form, file name and content."""

_log = logging.getLogger(__name__)


class Connection:
    """Label Studio's SDK, its login, and requests beside it for what the SDK does slowly.

    `sdk` may be used within `read` and `write` only: they turn its exceptions into ours.
    """

    def __init__(self, url: str, token: str, retry_policy: RetryPolicy) -> None:
        """Check both; nothing is sent.

        Raises:
            LabelStudioUnreachable: not an HTTP URL.
            LabelStudioDenied: no token, one that cannot be sent, or one that has expired.
            LabelStudioMissing: label-studio-sdk is not installed.
        """
        address = _parse_url(url)
        self.url = str(address).rstrip("/")
        self.token_kind = _kind_of(token)
        self._retry_policy = retry_policy
        timeout = httpx.Timeout(retry_policy.timeout_s, connect=min(retry_policy.timeout_s, _CONNECT_LIMIT_S))
        # A proxy from the environment cannot reach this machine's own loopback.
        self._http = httpx.Client(
            timeout=timeout,
            trust_env=address.host not in _LOOPBACK,
            event_hooks={"response": [self._check_status]},
        )
        with self._failures():
            self.sdk = _make_sdk(f"{self.url}/", token, self._http)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, call: Callable[[], Answer]) -> Answer:
        """Call until it answers; what it does must be safe to repeat.

        Raises:
            LabelStudioUnreachable: no good answer at any attempt.
            LabelStudioDenied: 401 or 403.
            LabelStudioRefused: another error.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(LabelStudioUnreachable),
            stop=stop_after_attempt(self._retry_policy.attempts),
            wait=wait_exponential(
                multiplier=self._retry_policy.first_pause_s, max=self._retry_policy.longest_pause_s
            ),
            before_sleep=before_sleep_log(_log, logging.INFO),
            reraise=True,
        )
        answer: Answer = retrying(self.write, call)
        return answer

    def write(self, call: Callable[[], Answer]) -> Answer:
        """Call once.

        Raises:
            LabelStudioUnreachable: no answer, or 429 or 5xx: it may have been done all the same.
            LabelStudioDenied: 401 or 403.
            LabelStudioRefused: another error: it was not done.
        """
        with self._failures():
            return call()

    def get(self, path: str, **query: object) -> Any:
        """The JSON that a path answers with; repeated as `read` says."""
        return self.read(lambda: self._request("GET", path, query, None, None))

    def get_pages(self, path: str, **query: object) -> Iterator[Any]:
        """What is listed under a path that answers in pages."""
        for number in count(1):
            page = self.get(path, page=number, **query)
            yield from page["results"]
            if not page["next"]:
                return

    def post(
        self, path: str, body: object = None, *, files: Sequence[Upload] | None = None, **query: object
    ) -> Any:
        """Send JSON or files, once; the JSON of the answer."""
        return self.write(lambda: self._request("POST", path, query, body, files))

    def patch(self, path: str, body: object) -> Any:
        """Send JSON, once; the JSON of the answer."""
        return self.write(lambda: self._request("PATCH", path, {}, body, None))

    def delete(self, path: str) -> None:
        """Once."""
        self.write(lambda: self._request("DELETE", path, {}, None, None))

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: object,
        files: Sequence[Upload] | None,
    ) -> Any:
        """The SDK's own request would encode the body twice, which triples the time of a large one.

        Masks are long lists of numbers: pydantic writes them five times as fast as the standard library.
        """
        # The SDK has no public way to its login; this one has been there since 1.0.
        headers = self.sdk._client_wrapper.get_headers()
        content = None if files or body is None else to_json(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        answer = self._http.request(
            method,
            f"{self.url}{path}",
            params={name: str(value) for name, value in query.items()},
            headers=headers,
            content=content,
            files=list(files) if files else None,
        )
        return answer.json() if answer.content else None

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what httpx and the SDK raise into our errors."""
        from label_studio_sdk.core.api_error import ApiError
        from label_studio_sdk.core.parse_error import ParsingError

        try:
            yield
        except httpx.TimeoutException as exc:
            raise LabelStudioUnreachable(
                f"Label Studio at {self.url} did not answer within {self._retry_policy.timeout_s:g} s: "
                "look whether it is busy, or raise the time limit"
            ) from exc
        except httpx.HTTPError as exc:
            raise LabelStudioUnreachable(
                f"Label Studio at {self.url} cannot be reached ({type(exc).__name__}: {exc}): "
                "start it (`maskmill review up`), or check its URL"
            ) from exc
        except (ApiError, ParsingError, ValueError, AttributeError) as exc:
            # Of an expired token, the SDK itself says so. ValueError: what it took for JSON is none.
            if isinstance(exc, ApiError) and exc.status_code == HTTPStatus.UNAUTHORIZED:
                self._deny(exc.status_code, _detail(exc.body))
            raise LabelStudioError(
                f"{self.url} answers, but not as Label Studio does ({type(exc).__name__}): check the URL"
            ) from exc

    def _check_status(self, answer: httpx.Response) -> None:
        """Of every answer, to the SDK or to us, before anybody else reads it."""
        if answer.is_success:
            return
        answer.read()
        status, detail = answer.status_code, _detail(answer.text)
        request = f"{answer.request.method} {answer.request.url.path}"
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._deny(status, detail)
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise LabelStudioUnreachable(
                f"Label Studio at {self.url} is busy or broken ({request}: status {status}, {detail}): "
                "try again later; its log says more"
            )
        if target := answer.headers.get("Location"):
            raise LabelStudioRefused(
                f"Label Studio at {self.url} sends us to {target}: use that address", status=status
            )
        raise LabelStudioRefused(
            f"Label Studio at {self.url} refused {request} (status {status}): {detail}", status=status
        )

    def _deny(self, status: int, detail: str) -> NoReturn:
        raise LabelStudioDenied(_explain_denial(self.url, self.token_kind, status, detail))


def _make_sdk(url: str, token: str, http: httpx.Client) -> "LabelStudio":
    """Without repetitions of its own: it would repeat writing too."""
    if find_spec("label_studio_sdk") is None:
        raise LabelStudioMissing("label-studio-sdk is not installed: pip install 'maskmill[review]'")
    from label_studio_sdk import LabelStudio

    return LabelStudio(base_url=url, api_key=token, httpx_client=http, max_retries=0)


def _parse_url(text: str) -> httpx.URL:
    """Errors do not repeat the URL: it may hold a password."""
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL:
        raise LabelStudioUnreachable(
            "Label Studio's URL cannot be read; wants http(s)://host[:port]"
        ) from None
    # httpx takes any text for a host, and writes in per cents what cannot be in one.
    is_host = url.host and "%" not in url.host and 0 < (url.port or 80) < 1 << 16
    if url.scheme not in {"http", "https"} or not is_host or url.userinfo:
        raise LabelStudioUnreachable(
            "Label Studio's URL must begin with http:// or https://, name a host, and hold no password"
        )
    return url.copy_with(query=None, fragment=None)


def _kind_of(token: str) -> str:
    """A personal access token is a JWT: three parts, of which the first is an object in base64."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise LabelStudioDenied(
            "Label Studio's token is empty or no token: in Label Studio, Account & Settings shows one"
        )
    return "personal access token" if token.startswith("ey") and token.count(".") == 2 else "legacy token"  # noqa: PLR2004


def _explain_denial(url: str, kind: str, status: int, detail: str) -> str:
    said = f"Label Studio at {url} refuses the {kind} (status {status}: {detail})"
    if status == HTTPStatus.FORBIDDEN:
        return f"{said}: its user may not do this; ask an administrator for the right, or use another's token"
    if kind == "legacy token":
        return (
            f"{said}: it is wrong, or legacy tokens are disabled in the organization. Account & Settings > "
            f"Personal Access Token at {url}/user/account makes another; Organization > API Tokens Settings "
            "allows legacy ones"
        )
    return (
        f"{said}: it is wrong, expired or revoked; Account & Settings > Personal Access Token at "
        f"{url}/user/account makes another"
    )


def _detail(body: object) -> str:
    """The server's own words, without the page around them."""
    told = _parse_json(body) if isinstance(body, str) else body
    if isinstance(told, dict):
        told = told.get("validation_errors") or told.get("detail") or told
    text = str(told).strip()
    return "no explanation" if not text or text.startswith("<") else text[:LONGEST_DETAIL]


def _parse_json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
