"""Downloads, by the real yt-dlp from a real server on this machine."""

import ipaddress
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.errors import (
    DiskFull,
    EmptyVideo,
    NotAVideo,
    RateLimited,
    SourceError,
    SourceNotFound,
    SourcePrivate,
    SourceRemoved,
    SourceUnreachable,
    TruncatedVideo,
    UnsupportedVideo,
)
from labeling.sources.content_store import sha256_of
from labeling.sources.expand import expand_sources
from labeling.sources.fetching import fetch
from labeling.sources.source import FetchedSource, SourceItem
from tests.fakes.videos import encode_numbers, read_numbers
from tests.labeling.sources.downloads import (
    INGEST,
    OTHER,
    SECRETS,
    VIDEO,
    content,
    get_error,
    get_one,
    only_this_machine,
    site,
)
from tests.servers import Answer, Site, in_turn, send_file, send_page, send_status, serve

__all__ = ["only_this_machine", "site"]


@pytest.mark.slow
def test_a_video_is_downloaded_with_its_metadata(site: Site, tmp_path: Path) -> None:
    site.pages["/a clip.mp4"] = site.pages["/a%20clip.mp4"] = send_file(
        VIDEO, Last_Modified="Wed, 21 Oct 2015 07:28:00 GMT"
    )
    fetched = get_one(site.url("/a%20clip.mp4"), tmp_path)
    assert fetched.path is not None
    sha256 = sha256_of(fetched.path)
    assert fetched.path == tmp_path / sha256[:2] / f"{sha256}.mp4"
    assert content(fetched) == VIDEO
    assert read_numbers(fetched.path) == list(range(30))
    assert fetched.origin == SourceItem(
        site.url("/a%20clip.mp4"),
        "url",
        url=site.url("/a%20clip.mp4"),
        title="a clip",
        upload_date="2015-10-21",
    )


@pytest.mark.slow
def test_nothing_is_downloaded_twice(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = send_file(VIDEO)
    first = get_one(site.url("/a.mp4"), tmp_path)
    requested = len(site.requests)
    assert get_one(site.url("/a.mp4"), tmp_path) == first
    assert len(site.requests) == requested
    assert first.path is not None
    first.path.unlink()
    assert get_one(site.url("/a.mp4"), tmp_path) == first
    assert len(site.requests) > requested


def test_metadata_of_a_list_overrides_that_of_a_known_download(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = send_file(VIDEO)
    first = get_one(site.url("/a.mp4"), tmp_path)
    (origin,) = expand_sources([site.url("/a.mp4")])
    assert isinstance(origin, SourceItem)
    (again,) = fetch(replace(origin, title="Mine", license="CC0"), tmp_path, INGEST)
    assert isinstance(again, FetchedSource)
    assert again.origin == replace(first.origin, title="Mine", license="CC0")


def test_two_urls_of_a_list_that_differ_in_their_secret_are_two_videos(site: Site, tmp_path: Path) -> None:
    def answer(handler: Any) -> None:
        send_file(VIDEO if handler.path.endswith("=hunter21") else OTHER)(handler)

    site.pages["/a.mp4"] = answer
    specs = [site.url("/a.mp4?key=$ONE"), site.url("/a.mp4?key=$TWO")]
    (tmp_path / "list.txt").write_text("\n".join(specs))
    for _ in range(2):  # the second time from what was kept
        origins = list(expand_sources(["list.txt"], folder=tmp_path, environment=SECRETS))
        assert all(isinstance(origin, SourceItem) for origin in origins)
        found = [
            item
            for origin in origins
            if isinstance(origin, SourceItem)
            for item in fetch(origin, tmp_path, INGEST)
        ]
        assert [content(item) for item in found if isinstance(item, FetchedSource)] == [VIDEO, OTHER]
        assert [item.origin.spec for item in found if isinstance(item, FetchedSource)] == specs
    assert not any(b"hunter2" in path.read_bytes() for path in tmp_path.rglob("*.json"))


def test_two_urls_with_the_same_bytes_are_one_file(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = send_file(VIDEO)
    site.pages["/b.mov"] = send_file(VIDEO, kind="video/quicktime")
    assert get_one(site.url("/a.mp4"), tmp_path).path == get_one(site.url("/b.mov"), tmp_path).path


def test_a_file_with_an_unusual_suffix_is_downloaded(site: Site, tmp_path: Path) -> None:
    site.pages["/watch.php"] = send_file(VIDEO)
    assert content(get_one(site.url("/watch.php?id=1"), tmp_path)) == VIDEO


def test_a_redirect_is_followed(site: Site, tmp_path: Path) -> None:
    site.pages["/old"] = send_status(302, Location="/a.mp4")
    site.pages["/a.mp4"] = send_file(VIDEO)
    fetched = get_one(site.url("/old"), tmp_path)
    assert content(fetched) == VIDEO
    assert fetched.origin.spec == site.url("/old")
    assert fetched.origin.url == site.url("/a.mp4")


@pytest.mark.slow
def test_a_page_that_leads_to_a_metadata_service_is_refused(site: Site, tmp_path: Path) -> None:
    site.pages["/old.mp4"] = send_page(
        '<html><video src="http://169.254.169.254/latest/x.mp4"></video></html>'
    )
    failed = get_error(site.url("/old.mp4"), tmp_path)
    assert isinstance(failed, UnsupportedVideo)
    assert "link-local" in str(failed)


@pytest.mark.parametrize("answer", [send_file(VIDEO), send_status(403)])
def test_the_answer_of_a_redirect_to_a_metadata_service_is_neither_used_nor_shown(
    answer: Answer, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.sources.url_policy._METADATA_HOSTS", {"localhost"})
    elsewhere = site.url("/secret.mp4").replace("127.0.0.1", "localhost")
    site.pages |= {"/old.mp4": send_status(302, Location=elsewhere), "/secret.mp4": answer}
    failed = get_error(site.url("/old.mp4"), tmp_path)
    assert isinstance(failed, UnsupportedVideo)
    assert "metadata addresses are refused" in str(failed)


def test_the_target_of_a_redirect_is_checked_before_it_is_asked(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = frozenset({ipaddress.ip_address("127.0.0.2")})
    monkeypatch.setattr("labeling.sources.url_policy._METADATA_ADDRESSES", refused)
    with serve("127.0.0.2") as metadata:
        site.pages["/old.mp4"] = send_status(302, Location=metadata.url("/x.mp4"))
        failed = get_error(site.url("/old.mp4"), tmp_path)
        assert isinstance(failed, UnsupportedVideo)
        assert metadata.requests == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, SourcePrivate), (403, SourcePrivate), (404, SourceNotFound), (410, SourceRemoved), (500, SourceUnreachable),
        (503, SourceUnreachable), (429, RateLimited),
    ],
)  # fmt: skip
def test_an_http_error_is_typed_and_names_the_source(
    site: Site, tmp_path: Path, status: int, error: type[SourceError]
) -> None:
    site.pages["/private/removed.mp4"] = send_status(status)
    url = site.url("/private/removed.mp4")
    failed = get_error(url, tmp_path)
    assert type(failed) is error
    assert url in str(failed)
    assert site.count("/private/removed.mp4") == (3 if error.retryable else 1)


def test_too_many_requests_are_retried(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = in_turn(send_status(429, Retry_After="0"), send_status(429), send_file(VIDEO))
    assert content(get_one(site.url("/a.mp4"), tmp_path)) == VIDEO


def test_an_error_during_the_download_is_retried(site: Site, tmp_path: Path) -> None:
    """The page is read, then its download fails once: both are repeated."""
    site.pages["/a.mp4"] = in_turn(send_file(VIDEO), send_status(503), send_file(VIDEO))
    assert content(get_one(site.url("/a.mp4"), tmp_path)) == VIDEO


def test_a_body_that_always_ends_early_is_truncated(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = send_file(VIDEO, stop_at=len(VIDEO) - 10, ranges=False)
    failed = get_error(site.url("/a.mp4"), tmp_path)
    assert type(failed) is TruncatedVideo
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_body_that_ended_early_is_resumed_where_it_ended(site: Site, tmp_path: Path) -> None:
    cut = len(VIDEO) // 2
    site.pages["/a.mp4"] = in_turn(send_file(VIDEO), send_file(VIDEO, stop_at=cut), send_file(VIDEO))
    assert content(get_one(site.url("/a.mp4"), tmp_path)) == VIDEO
    resumed = [int(requested[6:-1]) for _, _, requested in site.requests if requested]
    assert len(resumed) == 1
    assert 0 < resumed[0] <= cut


def test_a_server_that_cannot_resume_sends_it_all_again(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = in_turn(
        send_file(VIDEO), send_file(VIDEO, stop_at=len(VIDEO) // 2), send_file(VIDEO, ranges=False)
    )
    assert content(get_one(site.url("/a.mp4"), tmp_path)) == VIDEO


def test_an_empty_body_is_an_empty_video(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = send_file(b"")
    assert type(get_error(site.url("/a.mp4"), tmp_path)) is EmptyVideo


def test_a_page_without_a_video_is_not_a_video(site: Site, tmp_path: Path) -> None:
    site.pages["/page.mp4"] = send_page("<html><head><title>Sign in</title></head><body>No.</body></html>")
    assert type(get_error(site.url("/page.mp4"), tmp_path)) is NotAVideo


def test_a_closed_port_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert type(get_error(f"http://127.0.0.1:{port}/a.mp4", tmp_path)) is SourceUnreachable


def test_a_name_that_does_not_resolve_is_unreachable(tmp_path: Path) -> None:
    assert type(get_error("http://no-such-host.invalid/a.mp4", tmp_path)) is SourceUnreachable


@pytest.mark.slow
def test_a_server_that_does_not_answer_times_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.mp4"
        impatient = INGEST.model_copy(update={"retries": 1, "timeout_s": 0.3})
        assert type(get_error(url, tmp_path, impatient)) is SourceUnreachable


@pytest.mark.slow
def test_the_rate_limit_is_kept(site: Site, tmp_path: Path) -> None:
    video = encode_numbers(range(300))
    site.pages["/a.mp4"] = send_file(video)
    start = time.monotonic()
    get_one(site.url("/a.mp4"), tmp_path, INGEST.model_copy(update={"rate_limit_bytes": len(video) * 2}))
    assert time.monotonic() - start > 0.3


def test_a_full_disk_ends_the_run(site: Site, tmp_path: Path) -> None:
    from labeling.sources.download_errors import storage_failure

    failure = RuntimeError("unable to write data")
    failure.__cause__ = OSError(28, "No space left on device")
    assert isinstance(storage_failure(failure), DiskFull)
