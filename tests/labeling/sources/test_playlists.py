"""Playlists and segmented streams, downloaded by yt-dlp from a local server."""

from pathlib import Path

import pytest

from configs.errors import SourceNotFound, TruncatedVideo, UnsupportedVideo
from labeling.sources.source import FailedSource, FetchedSource
from tests.fakes.videos import encode_numbers, read_numbers
from tests.labeling.sources.downloads import (
    INGEST,
    OTHER,
    VIDEO,
    content,
    get,
    get_error,
    get_one,
    only_this_machine,
    site,
)
from tests.servers import Site, in_turn, send_file, send_page, send_status

__all__ = ["only_this_machine", "site"]


FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>Feed</title>{}</channel></rss>"""


def feed(*urls: str) -> str:
    items = "".join(
        f'<item><title>No {i}</title><enclosure url="{url}" type="video/mp4"/></item>'
        for i, url in enumerate(urls)
    )
    return FEED.format(items)


def test_a_playlist_gives_its_entries_one_by_one(site: Site, tmp_path: Path) -> None:
    """The second fails halfway; the third has the same name on disk and must not resume it."""
    site.pages["/feed"] = send_page(
        feed(*map(site.url, ("/a.mp4", "/b.mp4", "/c.mp4"))), kind="application/rss+xml"
    )
    site.pages["/a.mp4"] = send_file(VIDEO)
    site.pages["/b.mp4"] = send_file(VIDEO, stop_at=len(VIDEO) // 2)
    site.pages["/c.mp4"] = send_file(OTHER)
    first, second, third = get(site.url("/feed"), tmp_path)
    assert isinstance(first, FetchedSource)
    assert isinstance(second, FailedSource)
    assert isinstance(third, FetchedSource)
    assert content(first) == VIDEO
    assert content(third) == OTHER
    assert first.origin.title == "No 0"
    assert (second.spec, type(second.error)) == (site.url("/b.mp4"), TruncatedVideo)
    assert second.title == "No 1"


def test_a_longer_playlist_requests_only_its_new_entries(site: Site, tmp_path: Path) -> None:
    for name, video in (("/a.mp4", VIDEO), ("/b.mp4", OTHER)):
        site.pages[name] = send_file(video)
    site.pages["/feed"] = in_turn(
        send_page(feed(site.url("/a.mp4")), kind="application/rss+xml"),
        send_page(feed(site.url("/b.mp4"), site.url("/a.mp4")), kind="application/rss+xml"),
    )
    get(site.url("/feed"), tmp_path)
    requested = site.count("/a.mp4")
    found = [content(item) for item in get(site.url("/feed"), tmp_path) if isinstance(item, FetchedSource)]
    assert found == [OTHER, VIDEO]
    assert site.count("/a.mp4") == requested


def test_at_most_max_items_entries_are_fetched(site: Site, tmp_path: Path) -> None:
    urls = [site.url(f"/{i}.mp4") for i in range(5)]
    for i in range(5):
        site.pages[f"/{i}.mp4"] = send_file(encode_numbers([i]))
    site.pages["/feed"] = send_page(feed(*urls), kind="application/rss+xml")
    found = get(site.url("/feed"), tmp_path, INGEST.model_copy(update={"max_items": 2}))
    assert [item.origin.spec for item in found if isinstance(item, FetchedSource)] == urls[:2]
    assert site.count("/2.mp4") == 0


def test_a_playlist_that_names_itself_ends(site: Site, tmp_path: Path) -> None:
    site.pages["/a.mp4"] = send_file(VIDEO)
    site.pages["/feed"] = send_page(feed(site.url("/feed"), site.url("/a.mp4")), kind="application/rss+xml")
    assert [
        item.origin.title for item in get(site.url("/feed"), tmp_path) if isinstance(item, FetchedSource)
    ] == ["No 1"]


@pytest.mark.slow
def test_videos_within_a_page_are_its_entries(site: Site, tmp_path: Path) -> None:
    site.pages["/page"] = send_page(
        f'<html><video src="{site.url("/a.mp4")}"></video><video src="{site.url("/b.mp4")}"></video></html>'
    )
    site.pages["/a.mp4"], site.pages["/b.mp4"] = send_file(VIDEO), send_file(OTHER)
    found = [item for item in get(site.url("/page"), tmp_path) if isinstance(item, FetchedSource)]
    assert {content(item) for item in found} == {VIDEO, OTHER}
    assert len({item.origin.spec for item in found}) == 2


MASTER = """#EXTM3U
#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=3840x2160
tall.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=1280x720
mid.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=100000,RESOLUTION=640x360
low.m3u8
"""
SEGMENTS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}0.ts\n#EXTINF:1,\n{0}1.ts\n#EXT-X-ENDLIST\n"


def offer_heights(site: Site, master: str = MASTER) -> None:
    site.pages["/v.m3u8"] = send_file(master.encode(), kind="application/vnd.apple.mpegurl")
    for name, start in (("tall", 0), ("mid", 200), ("low", 400)):
        site.pages[f"/{name}.m3u8"] = send_file(
            SEGMENTS.format(name).encode(), kind="application/vnd.apple.mpegurl"
        )
        for part in (0, 1):
            numbers = range(start + 10 * part, start + 10 * (part + 1))
            site.pages[f"/{name}{part}.ts"] = send_file(
                encode_numbers(numbers, form="mpegts"), kind="video/mp2t"
            )


@pytest.mark.slow
@pytest.mark.parametrize(("max_height", "start"), [(1080, 200), (4320, 0), (240, 400)])
def test_the_tallest_allowed_format_is_used_or_else_the_smallest(
    site: Site, tmp_path: Path, max_height: int, start: int
) -> None:
    offer_heights(site)
    fetched = get_one(site.url("/v.m3u8"), tmp_path, INGEST.model_copy(update={"max_height": max_height}))
    assert fetched.path is not None
    assert read_numbers(fetched.path) == list(range(start, start + 20))


@pytest.mark.slow
def test_the_shorter_side_of_a_portrait_counts(site: Site, tmp_path: Path) -> None:
    portrait = (
        MASTER.replace("3840x2160", "2160x3840")
        .replace("1280x720", "1080x1920")
        .replace("640x360", "480x854")
    )
    offer_heights(site, portrait)
    fetched = get_one(site.url("/v.m3u8"), tmp_path, INGEST.model_copy(update={"max_height": 1080}))
    assert fetched.path is not None
    assert read_numbers(fetched.path)[0] == 200


def test_half_an_emoji_in_a_title_is_replaced(site: Site, tmp_path: Path) -> None:
    data = '{"@context":"https://schema.org","@type":"VideoObject","name":"In the park \\ud83d","contentUrl":"%s"}'
    site.pages["/page"] = send_page(
        f'<html><script type="application/ld+json">{data % site.url("/a.mp4")}</script></html>'
    )
    site.pages["/a.mp4"] = send_file(VIDEO)
    assert get_one(site.url("/page"), tmp_path).origin.title == "In the park \ufffd"


def test_a_missing_part_of_a_stream_is_not_skipped(site: Site, tmp_path: Path) -> None:
    offer_heights(site)
    site.pages["/mid1.ts"] = send_status(404)
    assert isinstance(get_error(site.url("/v.m3u8"), tmp_path), TruncatedVideo | SourceNotFound)


def test_a_live_stream_is_refused_with_advice_to_use_a_camera(site: Site, tmp_path: Path) -> None:
    offer_heights(site)
    live = SEGMENTS.format("mid").replace("#EXT-X-ENDLIST\n", "")
    site.pages["/live.m3u8"] = send_file(live.encode(), kind="application/vnd.apple.mpegurl")
    failed = get_error(site.url("/live.m3u8"), tmp_path)
    assert isinstance(failed, UnsupportedVideo)
    assert "camera" in str(failed)
