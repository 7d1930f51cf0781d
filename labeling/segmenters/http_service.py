"""A segmenter behind HTTP: it takes an image by POST and returns its masks.

The request's body is the image as PNG, with the headers `X-Video-Id` and `X-Time-Ms`. The response is

- `image/png`: a label image (`read_label_png`);
- `image/png; map=probability`: 255 times the probability of a person, thresholded at `mask_threshold`;
- `application/json`: a list of COCO results of this image (`read_coco_records`);
- status 204: no person.

Requests that a busy or broken service did not answer (no connection, timeout, 429, 5xx) are repeated with
growing pauses, or after its `Retry-After`. Put secrets in the token, not in the URL: URLs reach logs.
"""

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import cv2
import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from configs.environment import read_variable
from configs.errors import ConfigError, ModelOutputWrong, SegmenterUnreachable
from configs.segmenters import HttpBlock
from labeling.datasets.readers.coco import read_coco_records
from labeling.datasets.readers.coco_categories import person_ids, refuse_other_categories
from labeling.datasets.readers.masks import read_label_png, read_probability_png
from labeling.segmenters.protocol import StatelessSegmenter
from labeling.structures.frames import Frame
from labeling.structures.instances import Instance, ModelCard
from labeling.text.json_text import read_json

BACKOFF_S, LONGEST_PAUSE_S = 0.5, 60.0
"""Pause before the first repetition, doubled each time, and the longest pause, requested or not."""
LARGEST_RESPONSE_BYTES = 64 * 2**20
"""An 8K label image that does not compress at all is 33 MB."""


class _RetryableError(Exception):
    """The service may answer a later request."""

    def __init__(self, reason: str, *, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class HttpSegmenter(StatelessSegmenter):
    """Sends each frame to a service, one request at a time."""

    def __init__(self, block: HttpBlock, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Check the URL and the token; nothing is sent.

        Raises:
            ConfigError: the URL is not HTTP, or the environment variable `token_env` has no usable token.
        """
        self._block = block
        self._url = _parse_url(block.url)
        self._sleep = sleep
        self._verify = httpx.create_ssl_context() if self._url.scheme == "https" else False
        self._people = person_ids([], origin="http", person_category=block.person_category)
        _read_token(block.token_env)

    @property
    def shown_url(self) -> str:
        """The URL without its query, which may contain a key."""
        return str(self._url.copy_with(query=None, fragment=None))

    @property
    def card(self) -> ModelCard:
        block = self._block
        chosen = {
            "mask_threshold": block.mask_threshold,
            "min_score": block.min_score,
            "person_category": list(block.person_category),
        }
        settings = json.dumps(chosen, separators=(",", ":"))
        return ModelCard(kind=self._block.kind, name=self.shown_url, weights_sha256="", settings=settings)

    def segment(self, frames: Sequence[Frame]) -> list[list[Instance]]:
        """Segment each frame; instances keep the order of the response.

        Raises:
            SegmenterUnreachable: no response after all repetitions, or a refusal.
            ModelOutputWrong: a response without masks of the frame's size.
        """
        token = _read_token(self._block.token_env)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(headers=headers, timeout=self._block.timeout_s, verify=self._verify) as client:
            return [self._request_with_retries(client, frame) for frame in frames]

    def _request_with_retries(self, client: httpx.Client, frame: Frame) -> list[Instance]:
        attempts = self._block.retries + 1
        retrying = Retrying(
            retry=retry_if_exception_type(_RetryableError),
            stop=stop_after_attempt(attempts),
            wait=_pause_s,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            status, media_type, body = retrying(self._request, client, frame)
        except _RetryableError as exc:
            raise SegmenterUnreachable(
                f"http: {self.shown_url} did not answer in {attempts} attempts (the last: {exc}): "
                "check that the service runs, or raise timeout_s or retries"
            ) from exc
        return self._read_instances(status, media_type, body, frame)

    def _request(self, client: httpx.Client, frame: Frame) -> tuple[int, str, bytes]:
        """Send one request and return status, media type with parameters, and body."""
        headers = {
            "Content-Type": "image/png",
            "Accept": "image/png, application/json",
            "X-Video-Id": frame.video_id,
            "X-Time-Ms": str(frame.key),
        }
        try:
            with client.stream("POST", self._url, content=_encode_png(frame), headers=headers) as response:
                self._check_status(response)
                body = self._read_body(response)
                return response.status_code, response.headers.get("Content-Type", ""), body
        except httpx.TimeoutException as exc:
            raise _RetryableError(f"{type(exc).__name__} after {self._block.timeout_s:g} s") from exc
        except httpx.TransportError as exc:
            raise _RetryableError(f"{type(exc).__name__}: {exc}") from exc
        except httpx.DecodingError as exc:
            raise ModelOutputWrong(
                f"http: {self.shown_url} sent a body that does not match its Content-Encoding ({exc}): "
                "correct the service"
            ) from exc

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == HTTPStatus.TOO_MANY_REQUESTS or response.is_server_error:
            raise _RetryableError(
                f"status {status}", after_s=_retry_after_s(response.headers.get("Retry-After"))
            )
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            source = f"the token in {self._block.token_env}" if self._block.token_env else "token_env"
            raise SegmenterUnreachable(
                f"http: {self.shown_url} denied access (status {status}): check {source}"
            )
        if not response.is_success:
            raise SegmenterUnreachable(
                f"http: {self.shown_url} answered with status {status} instead of 200 or 204: check the URL"
            )

    def _read_body(self, response: httpx.Response) -> bytes:
        """Read the body within `timeout_s` and `LARGEST_RESPONSE_BYTES`."""
        deadline = time.monotonic() + self._block.timeout_s
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > LARGEST_RESPONSE_BYTES:
                raise ModelOutputWrong(
                    f"http: {self.shown_url} sent more than {LARGEST_RESPONSE_BYTES} bytes, which is too "
                    "large for a mask: check the URL"
                )
            if time.monotonic() > deadline:
                raise _RetryableError(f"the response was not complete after {self._block.timeout_s:g} s")
        return bytes(body)

    def _read_instances(self, status: int, content_type: str, body: bytes, frame: Frame) -> list[Instance]:
        origin = f"http: response of {self.shown_url} for {frame.video_id[:12]} at {frame.key} ms"
        if status == HTTPStatus.NO_CONTENT:
            return []
        media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
        if media_type == "application/json":
            return self._read_records(_parse_records(body, origin), frame, origin)
        if media_type != "image/png":
            raise ModelOutputWrong(
                f"{origin}: Content-Type {content_type!r}: send image/png or application/json"
            )
        if "map=probability" in parameters:
            threshold = self._block.mask_threshold
            return read_probability_png(body, frame.size_hw, mask_threshold=threshold, origin=origin)
        return read_label_png(body, frame.size_hw, origin=origin)

    def _read_records(self, records: list[object], frame: Frame, origin: str) -> list[Instance]:
        if not self._block.person_category:
            refuse_other_categories(records, self._people, origin=origin, only_zero=True)
        return read_coco_records(
            records, frame.size_hw, origin=origin, people=self._people, min_score=self._block.min_score
        )


def _parse_url(text: str) -> httpx.URL:
    """Parse the URL; errors do not show it, since it may contain a password."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise ConfigError("http: the URL is malformed: write http(s)://host[:port]/path") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigError("http: the URL must begin with http:// or https:// and name a host")
    return url


def _read_token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = (read_variable(variable) or "").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"http: the environment variable {variable} (token_env) is empty or not a token: set it"
        )
    return token


def _pause_s(state: RetryCallState) -> float:
    failure = state.outcome.exception() if state.outcome else None
    requested_s = failure.after_s if isinstance(failure, _RetryableError) else None
    pause_s = BACKOFF_S * 2.0 ** (state.attempt_number - 1) if requested_s is None else requested_s
    return min(pause_s, LONGEST_PAUSE_S)


def _retry_after_s(header: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header (RFC 9110, 10.2.3: seconds, or a date)."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _parse_records(body: bytes, origin: str) -> list[object]:
    try:
        results = read_json(body)
    except ValueError as exc:
        raise ModelOutputWrong(f"{origin}: not JSON ({exc}): correct the service") from exc
    if not isinstance(results, list):
        raise ModelOutputWrong(f"{origin}: must be a list of COCO results, got {type(results).__name__}")
    return results


def _encode_png(frame: Frame) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))[1].tobytes()
