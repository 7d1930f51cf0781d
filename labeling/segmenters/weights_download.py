"""Fetching one file over HTTP: retried, resumed where it was cut, checked before it takes its name."""

import hashlib
import os
from pathlib import Path

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from labeling.errors import WeightsCorrupt, WeightsMissing
from labeling.storage.atomic import storage_errors

ATTEMPTS = 4
TIMEOUT_S = 20.0
FIRST_PAUSE_S = 0.5
"""Before the second attempt; doubled each time."""


def check_sha256(path: Path, sha256: str) -> str:
    """The file's SHA-256, which must begin with `sha256`.

    Raises:
        WeightsCorrupt: it does not.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256):
        raise WeightsCorrupt(
            f"weights {path} have SHA-256 {found}, wanted {sha256}: remove the file and fetch it again"
        )
    return found


def download_file(url: str, target: Path, *, sha256: str, first_pause_s: float = FIRST_PAUSE_S) -> None:
    """Fetch `url` to `target`, which appears only when its SHA-256 begins with `sha256`.

    The bytes go to a file beside it, named for this process; an attempt goes on where the one before
    was cut short.

    Raises:
        WeightsMissing: no answer, or an error, at every attempt.
        WeightsCorrupt: the bytes are others than those published.
        DiskFull, HomeNotWritable: the file cannot be written.
    """
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            _fetch_with_retries(url, part, first_pause_s)
            check_sha256(part, sha256)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def _fetch_with_retries(url: str, part: Path, first_pause_s: float) -> None:
    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=first_pause_s),
        retry=retry_if_exception(_may_pass),
        reraise=True,
    )
    try:
        retrying(_continue_download, url, part)
    except httpx.HTTPStatusError as exc:
        raise WeightsMissing(f"{url} answered HTTP {exc.response.status_code}") from exc
    except httpx.HTTPError as exc:
        raise WeightsMissing(f"{url} cannot be fetched: {type(exc).__name__}: {exc}") from exc


def _continue_download(url: str, part: Path) -> None:
    """Append what is missing of `part`; a server that cannot resume sends all of it again."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT_S, follow_redirects=True) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return  # nothing is missing
        answer.raise_for_status()
        resumes = answer.status_code == httpx.codes.PARTIAL_CONTENT
        with part.open("ab" if resumes else "wb") as file:
            for chunk in answer.iter_bytes():
                file.write(chunk)


def _may_pass(failure: BaseException) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(failure, httpx.HTTPStatusError):
        answer = failure.response
        return (
            answer.status_code in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)
            or answer.is_server_error
        )
    return isinstance(failure, httpx.TransportError)
