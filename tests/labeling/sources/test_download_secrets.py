"""Cookies and passwords reach only the server that they are for."""

import traceback
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.utils import DownloadError

from configs.errors import ConfigError, SourceError
from labeling.sources.expand import expand_sources
from labeling.sources.source import FailedSource, SourceItem
from labeling.sources.urls import _Page, _PageReader
from labeling.sources.ytdlp import YtDlpLogger
from tests.labeling.sources.downloads import INGEST, SECRETS, VIDEO, get, get_one, only_this_machine, site
from tests.servers import Site, send_file, send_page

__all__ = ["only_this_machine", "site"]


COOKIES = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\ts3cr3t\n"


@pytest.mark.slow
def test_cookies_are_sent_and_their_file_is_unchanged(site: Site, tmp_path: Path) -> None:
    seen: list[str | None] = []

    def answer(handler: Any) -> None:
        seen.append(handler.headers.get("Cookie"))
        send_file(VIDEO, Set_Cookie="session=changed; Path=/")(handler)

    site.pages["/a.mp4"] = answer
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(COOKIES)
    home = tmp_path / "home"
    get_one(site.url("/a.mp4"), home, INGEST.model_copy(update={"cookies_file": cookies}))
    assert seen[0] == "session=s3cr3t"
    assert cookies.read_text() == COOKIES
    assert not any(b"s3cr3t" in path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_a_broken_cookies_file_ends_the_run_without_showing_it(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(COOKIES + "session s3cr3t\n")
    with pytest.raises(ConfigError) as failed:
        get(site.url("/a.mp4"), tmp_path / "home", INGEST.model_copy(update={"cookies_file": cookies}))
    assert "line 3" in str(failed.value)
    assert "s3cr3t" not in str(failed.value) + "".join(capfd.readouterr())
    with pytest.raises(ConfigError):
        get(
            site.url("/a.mp4"),
            tmp_path / "home",
            INGEST.model_copy(update={"cookies_file": tmp_path / "none"}),
        )


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/a.mp4", "/gone.mp4", "/page", "/cut.mp4"])
def test_a_password_reaches_only_its_server(
    site: Site, tmp_path: Path, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[str | None] = []

    def answer(handler: Any) -> None:
        seen.append(handler.headers.get("Authorization"))
        send_file(VIDEO)(handler)

    site.pages |= {"/a.mp4": answer, "/page": send_page("<html>hunter</html>")}
    site.pages["/cut.mp4"] = send_file(VIDEO, stop_at=100)
    found = get(site.url(path).replace("//", "//me:$PW@"), tmp_path)
    if path == "/a.mp4":
        assert seen[0] == "Basic bWU6aHVudGVyMg=="
    shown = [repr(item) for item in found]
    shown += [
        "".join(traceback.format_exception(item.error)) for item in found if isinstance(item, FailedSource)
    ]
    shown += [path.read_text() for path in tmp_path.rglob("*.json")]
    shown += capfd.readouterr()
    assert not any("hunter2" in text for text in shown)


class LeakyDownloader:
    """A downloader whose extractor puts the whole address into its error message."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}

    def extract_info(self, url: str, **_: object) -> None:
        raise DownloadError(f"ERROR: [odd] Unable to read {url}, for user me with hunter2")


def test_an_error_message_with_the_password_is_redacted(tmp_path: Path) -> None:
    (origin,) = expand_sources(["http://me:$PW@127.0.0.1/a.mp4"], environment=SECRETS)
    assert isinstance(origin, SourceItem)
    reader = _PageReader(LeakyDownloader(), YtDlpLogger(), tmp_path, tmp_path, INGEST)
    with pytest.raises(SourceError) as failed:
        list(reader.fetch(_Page(origin)))
    assert str(failed.value).startswith(
        "http://me:$PW@127.0.0.1/a.mp4: Unable to read http://***@127.0.0.1/a.mp4, for"
    )
    assert "hunter2" not in "".join(traceback.format_exception(failed.value))


@pytest.mark.slow
def test_nothing_is_printed(site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    site.pages["/a.mp4"] = send_file(VIDEO)
    get(site.url("/a.mp4"), tmp_path)
    get(site.url("/gone.mp4"), tmp_path)
    assert capfd.readouterr() == ("", "")
