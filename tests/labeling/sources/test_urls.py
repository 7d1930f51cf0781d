"""Downloads, by the real yt-dlp from a real server on this machine."""

import socket
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.utils import DownloadError

from configs.models import Ingest
from labeling.errors import (
    ConfigError,
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
from labeling.sources import FailedOrigin, Fetched, Origin, expand_sources, fetch, sha256_of
from labeling.sources.urls import _Page, _PageReader
from labeling.sources.ytdlp import Notes
from tests.servers import (
    Answer,
    Site,
    in_turn,
    make_video,
    read_numbers,
    send_file,
    send_page,
    send_status,
    serve,
)

INGEST = Ingest(retries=2, backoff_s=0.01, timeout_s=5)
SECRETS = {"PW": "hunter2", "ONE": "hunter21", "TWO": "hunter22"}
VIDEO = make_video(range(30))
OTHER = make_video(range(100, 130))

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
    """No test may lead yt-dlp to another machine, whatever it looks for."""
    global _listening  # noqa: PLW0603  # audit hooks cannot be removed, only told to be quiet
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    _contacted.clear()
    _looked_up.clear()
    _listening = True
    yield
    _listening = False
    assert _contacted <= {"127.0.0.1"}
    assert _looked_up <= {"127.0.0.1", "localhost", "no-such-host.invalid"}


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


def get(url: str, home: Path, ingest: Ingest = INGEST) -> list[Fetched | FailedOrigin]:
    (origin,) = expand_sources([url], environment=SECRETS)
    assert isinstance(origin, Origin)
    return list(fetch(origin, home, ingest))


def get_one(url: str, home: Path, ingest: Ingest = INGEST) -> Fetched:
    (one,) = get(url, home, ingest)
    assert isinstance(one, Fetched), one
    return one


def get_error(url: str, home: Path, ingest: Ingest = INGEST) -> SourceError:
    (one,) = get(url, home, ingest)
    assert isinstance(one, FailedOrigin), one
    return one.error


def content(fetched: Fetched) -> bytes:
    assert fetched.path is not None
    return fetched.path.read_bytes()


def test_a_video_comes_whole_with_what_is_known_of_it(site: Site, tmp_path: Path) -> None:
    site.pages["/a clip.mp4"] = site.pages["/a%20clip.mp4"] = send_file(
        VIDEO, Last_Modified="Wed, 21 Oct 2015 07:28:00 GMT"
    )
    fetched = get_one(site.url("/a%20clip.mp4"), tmp_path)
    assert fetched.path is not None
    sha256 = sha256_of(fetched.path)
    assert fetched.path == tmp_path / sha256[:2] / f"{sha256}.mp4"
    assert content(fetched) == VIDEO
    assert read_numbers(fetched.path) == list(range(30))
    assert fetched.origin == Origin(
        site.url("/a%20clip.mp4"), "url", url=site.url("/a%20clip.mp4"), title="a clip", upload_date="2015-10-21",
        site="Generic", site_id="a clip",
    )  # fmt: skip


def test_nothing_is_downloaded_twice(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = send_file(VIDEO)
    first = get_one(site.url("/a.mp4"), tmp_path)
    asked = len(site.requests)
    assert get_one(site.url("/a.mp4"), tmp_path) == first
    assert len(site.requests) == asked
    assert first.path is not None
    first.path.unlink()
    assert get_one(site.url("/a.mp4"), tmp_path) == first
    assert len(site.requests) > asked


def test_what_a_list_says_is_kept_with_a_known_download(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = send_file(VIDEO)
    first = get_one(site.url("/a.mp4"), tmp_path)
    (origin,) = expand_sources([site.url("/a.mp4")])
    assert isinstance(origin, Origin)
    (again,) = fetch(replace(origin, title="Mine", licence="CC0"), tmp_path, INGEST)
    assert isinstance(again, Fetched)
    assert again.origin == replace(first.origin, title="Mine", licence="CC0")


def test_two_urls_of_a_list_that_differ_in_their_secret_are_two_videos(site: Site, tmp_path: Path) -> None:
    def answer(handler: Any) -> None:
        send_file(VIDEO if handler.path.endswith("=hunter21") else OTHER)(handler)

    site.pages["/a.mp4"] = answer
    specs = [site.url("/a.mp4?key=$ONE"), site.url("/a.mp4?key=$TWO")]
    (tmp_path / "list.txt").write_text("\n".join(specs))
    for _ in range(2):  # the second time from what was kept
        origins = list(expand_sources(["list.txt"], folder=tmp_path, environment=SECRETS))
        assert all(isinstance(origin, Origin) for origin in origins)
        found = [
            one for origin in origins if isinstance(origin, Origin) for one in fetch(origin, tmp_path, INGEST)
        ]
        assert [content(one) for one in found if isinstance(one, Fetched)] == [VIDEO, OTHER]
        assert [one.origin.spec for one in found if isinstance(one, Fetched)] == specs
    assert not any(b"hunter2" in path.read_bytes() for path in tmp_path.rglob("*.json"))


def test_two_urls_with_the_same_bytes_are_one_file(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = send_file(VIDEO)
    site.pages["/b.mov"] = send_file(VIDEO, kind="video/quicktime")
    assert get_one(site.url("/a.mp4"), tmp_path).path == get_one(site.url("/b.mov"), tmp_path).path


def test_a_file_with_an_odd_name_is_downloaded_all_the_same(site: Site, tmp_path: Path) -> None:
    site.pages["/watch.php"] = send_file(VIDEO)
    assert content(get_one(site.url("/watch.php?id=1"), tmp_path)) == VIDEO


def test_a_redirect_is_followed(site: Site, tmp_path: Path) -> None:
    site.pages["/old"] = send_status(302, Location="/a.mp4")
    site.pages["/a.mp4"] = send_file(VIDEO)
    fetched = get_one(site.url("/old"), tmp_path)
    assert content(fetched) == VIDEO
    assert fetched.origin.spec == site.url("/old")
    assert fetched.origin.url == site.url("/a.mp4")


def test_a_page_that_leads_to_a_metadata_service_is_refused(site: Site, tmp_path: Path) -> None:
    site.pages["/old.mp4"] = send_page(
        '<html><video src="http://169.254.169.254/latest/x.mp4"></video></html>'
    )
    failed = get_error(site.url("/old.mp4"), tmp_path)
    assert isinstance(failed, UnsupportedVideo)
    assert "link-local" in str(failed)


@pytest.mark.parametrize("answer", [send_file(VIDEO), send_status(403)])
def test_what_a_redirect_to_a_metadata_service_answers_is_not_used_nor_told(
    answer: Answer, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.sources.addresses._METADATA_HOSTS", {"localhost"})
    elsewhere = site.url("/secret.mp4").replace("127.0.0.1", "localhost")
    site.pages |= {"/old.mp4": send_status(302, Location=elsewhere), "/secret.mp4": answer}
    failed = get_error(site.url("/old.mp4"), tmp_path)
    assert isinstance(failed, UnsupportedVideo)
    assert "metadata addresses are refused" in str(failed)


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


def test_too_many_requests_are_waited_out(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = in_turn(send_status(429, Retry_After="0"), send_status(429), send_file(VIDEO))
    assert content(get_one(site.url("/a.mp4"), tmp_path)) == VIDEO


def test_an_error_in_the_middle_is_waited_out(site: Site, tmp_path: Path) -> None:
    """The page is read, then its download fails once: both are asked for again."""
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
    resumed = [int(asked[6:-1]) for _, _, asked in site.requests if asked]
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


def test_a_page_without_a_video_is_none(site: Site, tmp_path: Path) -> None:
    site.pages["/page.mp4"] = send_page("<html><head><title>Sign in</title></head><body>No.</body></html>")
    assert type(get_error(site.url("/page.mp4"), tmp_path)) is NotAVideo


def test_nobody_listening_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert type(get_error(f"http://127.0.0.1:{port}/a.mp4", tmp_path)) is SourceUnreachable


def test_a_name_that_does_not_resolve_is_unreachable(tmp_path: Path) -> None:
    assert type(get_error("http://no-such-host.invalid/a.mp4", tmp_path)) is SourceUnreachable


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.mp4"
        impatient = INGEST.model_copy(update={"retries": 1, "timeout_s": 0.3})
        assert type(get_error(url, tmp_path, impatient)) is SourceUnreachable


FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>Feed</title>{}</channel></rss>"""


def feed(*urls: str) -> str:
    items = "".join(
        f'<item><title>No {i}</title><enclosure url="{url}" type="video/mp4"/></item>'
        for i, url in enumerate(urls)
    )
    return FEED.format(items)


def test_a_playlist_gives_its_entries_one_by_one(site: Site, tmp_path: Path) -> None:
    """The second fails half-way; the third has the same name on disk and must not go on from there."""
    site.pages["/feed"] = send_page(
        feed(*map(site.url, ("/a.mp4", "/b.mp4", "/c.mp4"))), kind="application/rss+xml"
    )
    site.pages["/a.mp4"] = send_file(VIDEO)
    site.pages["/b.mp4"] = send_file(VIDEO, stop_at=len(VIDEO) // 2)
    site.pages["/c.mp4"] = send_file(OTHER)
    first, second, third = get(site.url("/feed"), tmp_path)
    assert isinstance(first, Fetched)
    assert isinstance(second, FailedOrigin)
    assert isinstance(third, Fetched)
    assert content(first) == VIDEO
    assert content(third) == OTHER
    assert first.origin.title == "No 0"
    assert (second.spec, type(second.error)) == (site.url("/b.mp4"), TruncatedVideo)
    assert second.title == "No 1"


def test_a_playlist_that_grew_gives_only_what_is_new_to_the_network(site: Site, tmp_path: Path) -> None:
    for name, video in (("/a.mp4", VIDEO), ("/b.mp4", OTHER)):
        site.pages[name] = send_file(video)
    site.pages["/feed"] = in_turn(
        send_page(feed(site.url("/a.mp4")), kind="application/rss+xml"),
        send_page(feed(site.url("/b.mp4"), site.url("/a.mp4")), kind="application/rss+xml"),
    )
    get(site.url("/feed"), tmp_path)
    asked = site.count("/a.mp4")
    found = [content(one) for one in get(site.url("/feed"), tmp_path) if isinstance(one, Fetched)]
    assert found == [OTHER, VIDEO]
    assert site.count("/a.mp4") == asked


def test_only_so_many_entries_are_taken(site: Site, tmp_path: Path) -> None:
    urls = [site.url(f"/{i}.mp4") for i in range(5)]
    for i in range(5):
        site.pages[f"/{i}.mp4"] = send_file(make_video([i]))
    site.pages["/feed"] = send_page(feed(*urls), kind="application/rss+xml")
    found = get(site.url("/feed"), tmp_path, INGEST.model_copy(update={"max_items": 2}))
    assert [one.origin.spec for one in found if isinstance(one, Fetched)] == urls[:2]
    assert site.count("/2.mp4") == 0


def test_a_playlist_that_names_itself_ends(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = send_file(VIDEO)
    site.pages["/feed"] = send_page(feed(site.url("/feed"), site.url("/a.mp4")), kind="application/rss+xml")
    assert [one.origin.title for one in get(site.url("/feed"), tmp_path) if isinstance(one, Fetched)] == [
        "No 1"
    ]


def test_videos_within_a_page_are_its_entries(site: Site, tmp_path: Path) -> None:
    site.pages["/page"] = send_page(
        f'<html><video src="{site.url("/a.mp4")}"></video><video src="{site.url("/b.mp4")}"></video></html>'
    )
    site.pages["/a.mp4"], site.pages["/b.mp4"] = send_file(VIDEO), send_file(OTHER)
    found = [one for one in get(site.url("/page"), tmp_path) if isinstance(one, Fetched)]
    assert {content(one) for one in found} == {VIDEO, OTHER}
    assert len({one.origin.spec for one in found}) == 2


MASTER = """#EXTM3U
#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=3840x2160
tall.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=1280x720
mid.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=100000,RESOLUTION=640x360
low.m3u8
"""
SEGMENTS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}0.ts\n#EXTINF:1,\n{0}1.ts\n#EXT-X-ENDLIST\n"


def offer_heights(site: Site) -> None:
    site.pages["/v.m3u8"] = send_file(MASTER.encode(), kind="application/vnd.apple.mpegurl")
    for name, begin in (("tall", 0), ("mid", 200), ("low", 400)):
        site.pages[f"/{name}.m3u8"] = send_file(
            SEGMENTS.format(name).encode(), kind="application/vnd.apple.mpegurl"
        )
        for part in (0, 1):
            numbers = range(begin + 10 * part, begin + 10 * (part + 1))
            site.pages[f"/{name}{part}.ts"] = send_file(make_video(numbers, form="mpegts"), kind="video/mp2t")


@pytest.mark.parametrize(("max_height", "begin"), [(1080, 200), (4320, 0), (240, 400)])
def test_the_tallest_that_is_wanted_is_taken_or_else_the_smallest(
    site: Site, tmp_path: Path, max_height: int, begin: int
) -> None:
    offer_heights(site)
    fetched = get_one(site.url("/v.m3u8"), tmp_path, INGEST.model_copy(update={"max_height": max_height}))
    assert fetched.path is not None
    assert read_numbers(fetched.path) == list(range(begin, begin + 20))


def test_a_missing_part_of_a_stream_is_not_skipped(site: Site, tmp_path: Path) -> None:
    offer_heights(site)
    site.pages["/mid1.ts"] = send_status(404)
    assert isinstance(get_error(site.url("/v.m3u8"), tmp_path), TruncatedVideo | SourceNotFound)


def test_a_live_stream_is_sent_to_the_camera(site: Site, tmp_path: Path) -> None:
    offer_heights(site)
    live = SEGMENTS.format("mid").replace("#EXT-X-ENDLIST\n", "")
    site.pages["/live.m3u8"] = send_file(live.encode(), kind="application/vnd.apple.mpegurl")
    failed = get_error(site.url("/live.m3u8"), tmp_path)
    assert isinstance(failed, UnsupportedVideo)
    assert "camera" in str(failed)


COOKIES = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\ts3cr3t\n"


def test_cookies_are_sent_and_their_file_left_alone(site: Site, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("path", ["/a.mp4", "/gone.mp4", "/page", "/cut.mp4"])
def test_a_password_reaches_the_server_and_nobody_else(
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
    shown = [repr(one) for one in found]
    shown += [
        "".join(traceback.format_exception(one.error)) for one in found if isinstance(one, FailedOrigin)
    ]
    shown += [path.read_text() for path in tmp_path.rglob("*.json")]
    shown += capfd.readouterr()
    assert not any("hunter2" in text for text in shown)


class Indiscreet:
    """A yt-dlp whose site reader puts the whole address into its complaint."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}

    def extract_info(self, url: str, **_: object) -> None:
        raise DownloadError(f"ERROR: [odd] Unable to read {url}, for user me with hunter2")


def test_a_complaint_with_the_password_is_not_passed_on(tmp_path: Path) -> None:
    (origin,) = expand_sources(["http://me:$PW@127.0.0.1/a.mp4"], environment=SECRETS)
    assert isinstance(origin, Origin)
    reader = _PageReader(Indiscreet(), Notes(), tmp_path, tmp_path, INGEST)
    with pytest.raises(SourceError) as failed:
        list(reader.fetch(_Page(origin)))
    assert str(failed.value).startswith(
        "http://me:$PW@127.0.0.1/a.mp4: Unable to read http://***@127.0.0.1/a.mp4, for"
    )
    assert "hunter2" not in "".join(traceback.format_exception(failed.value))


def test_nothing_is_said_on_the_terminal(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    site.pages["/a.mp4"] = send_file(VIDEO)
    get(site.url("/a.mp4"), tmp_path)
    get(site.url("/gone.mp4"), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_the_pace_is_kept(site: Site, tmp_path: Path) -> None:
    video = make_video(range(300))
    site.pages["/a.mp4"] = send_file(video)
    begin = time.monotonic()
    get_one(site.url("/a.mp4"), tmp_path, INGEST.model_copy(update={"rate_limit_bytes": len(video) * 2}))
    assert time.monotonic() - begin > 0.3


def test_a_full_disk_ends_the_run(site: Site, tmp_path: Path) -> None:
    from labeling.sources.failures import storage_failure

    failure = RuntimeError("unable to write data")
    failure.__cause__ = OSError(28, "No space left on device")
    assert isinstance(storage_failure(failure), DiskFull)
