"""What an HTTP server's answer means for a stream: its length, where it leads, the way to log in, why it failed."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

from configs.errors import UnsupportedVideo
from labeling.sources.url_policy import redact_text, redact_url


def joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise UnsupportedVideo(
            f"{redact_url(url)}: redirects to what is not an address; use another"
        ) from None


def length_of(response: Any) -> int | None:
    """Return the bytes of the whole file where the server sends any part of it; None else."""
    total = str(response.headers.get("Content-Range", "")).rpartition("/")[2]
    if response.status_code == HTTPStatus.PARTIAL_CONTENT and total.isdecimal():
        return int(total)
    length = str(response.headers.get("Content-Length", ""))
    accepts = response.headers.get("Accept-Ranges", "").lower() == "bytes"
    return int(length) if accepts and response.status_code == HTTPStatus.OK and length.isdecimal() else None


def login_for(wanted: str, user: str, password: str) -> Any:
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
def without_warnings() -> Iterator[None]:
    """Hide the warning that a certificate is not verified."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
