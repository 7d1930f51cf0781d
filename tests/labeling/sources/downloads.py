"""Downloads from a local server, shared by several test files."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.errors import SourceError
from configs.models import Ingest
from labeling.sources.expand import expand_sources
from labeling.sources.fetching import fetch
from labeling.sources.source import FailedSource, FetchedSource, SourceItem
from tests.fakes.videos import encode_numbers
from tests.servers import Site, serve

INGEST = Ingest(retries=2, backoff_s=0.01, timeout_s=5)
SECRETS = {"PW": "hunter2", "ONE": "hunter21", "TWO": "hunter22"}
VIDEO = encode_numbers(range(30))
OTHER = encode_numbers(range(100, 130))

_contacted: set[str] = set()
_looked_up: set[str] = set()
_listening = False


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening and event == "socket.connect" and isinstance(arguments[1], tuple):
        _contacted.add(str(arguments[1][0]))
    if _listening and event == "socket.getaddrinfo":
        _looked_up.add(str(arguments[0]))


sys.addaudithook(_listen)


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that makes yt-dlp connect to another machine."""
    global _listening  # noqa: PLW0603  # audit hooks cannot be removed, only switched off
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    _contacted.clear()
    _looked_up.clear()
    _listening = True
    yield
    _listening = False
    assert all(address.startswith("127.") for address in _contacted)
    names = {name for name in _looked_up if not name.startswith("127.")}
    assert names <= {"localhost", "no-such-host.invalid"}


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


def get(url: str, home: Path, ingest: Ingest = INGEST) -> list[FetchedSource | FailedSource]:
    (origin,) = expand_sources([url], environment=SECRETS)
    assert isinstance(origin, SourceItem)
    return list(fetch(origin, home, ingest))


def get_one(url: str, home: Path, ingest: Ingest = INGEST) -> FetchedSource:
    (item,) = get(url, home, ingest)
    assert isinstance(item, FetchedSource), item
    return item


def get_error(url: str, home: Path, ingest: Ingest = INGEST) -> SourceError:
    (item,) = get(url, home, ingest)
    assert isinstance(item, FailedSource), item
    return item.error


def content(fetched: FetchedSource) -> bytes:
    assert fetched.path is not None
    return fetched.path.read_bytes()
