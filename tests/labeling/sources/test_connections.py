"""Nothing that a stream names is connected to unless its address is allowed: redirects, playlists, names that change."""

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from configs.errors import SourceUnreachable, UnsupportedVideo
from labeling.sources.hls import DecryptedFile
from labeling.sources.stream_relay import relay
from tests.fakes.videos import encode_numbers, read_numbers
from tests.labeling.sources.recordings import INGEST, record, ts
from tests.servers import Answer, Site, in_turn, send_file, send_page, send_status, serve

FORBIDDEN = "127.0.0.2"
ONCE = INGEST.model_copy(update={"reconnects": 0})
M3U8 = "application/vnd.apple.mpegurl"


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server at an address that the policy refuses."""
    addresses = frozenset({ipaddress.ip_address(FORBIDDEN)})
    monkeypatch.setattr("labeling.sources.url_policy._METADATA_ADDRESSES", addresses)
    with serve(FORBIDDEN) as site:
        site.pages["/x.ts"] = send_file(ts(0, 20), kind="video/mp2t")
        yield site


def redirect(url: str) -> Answer:
    return send_status(302, Location=url)


def playlist(*lines: str) -> Answer:
    head = ("#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXT-X-VERSION:7", "#EXT-X-MEDIA-SEQUENCE:0")
    return send_file("\n".join((*head, *lines, "#EXT-X-ENDLIST", "")).encode(), kind=M3U8)


def master(url: str) -> Answer:
    lines = ("#EXTM3U", "#EXT-X-STREAM-INF:BANDWIDTH=100000,RESOLUTION=64x48", url, "")
    return send_file("\n".join(lines).encode(), kind=M3U8)


def pages_that_lead_to(url: str, site: Site) -> dict[str, dict[str, Answer]]:
    """Ways in which a stream at `/cam` makes its reader ask for a URL."""
    clip = send_file(ts(0, 20), kind="video/mp2t")
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="{url}",IV=0x00000000000000000000000000000000'
    return {
        "redirect": {"/cam": redirect(url)},
        "two redirects": {"/cam": redirect("/next"), "/next": redirect(url)},
        "segment": {"/cam": playlist("#EXTINF:2,", url)},
        "second segment": {"/cam": playlist("#EXTINF:2,", "/a.ts", "#EXTINF:2,", url), "/a.ts": clip},
        "redirected segment": {"/cam": playlist("#EXTINF:2,", "/a.ts"), "/a.ts": redirect(url)},
        "key": {"/cam": playlist(key, "#EXTINF:2,", "/a.ts"), "/a.ts": clip},
        "map": {"/cam": playlist(f'#EXT-X-MAP:URI="{url}"', "#EXTINF:2,", "/a.ts"), "/a.ts": clip},
        "media playlist": {"/cam": master(url)},
        "redirected media playlist": {"/cam": master("/media.m3u8"), "/media.m3u8": redirect(url)},
    }


@pytest.mark.parametrize("way", pages_that_lead_to("", Site()))
def test_no_redirect_or_playlist_leads_to_a_refused_address(
    site: Site, metadata: Site, tmp_path: Path, way: str
) -> None:
    site.pages |= pages_that_lead_to(metadata.url("/x.ts"), site)[way]
    _, failed = record(site.url("/cam"), tmp_path, ONCE)
    assert isinstance(failed, UnsupportedVideo)
    assert "link-local and metadata addresses are refused" in str(failed)
    assert metadata.requests == []


def test_two_refused_parts_are_one_error_and_print_nothing(
    site: Site, metadata: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sound = f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="{metadata.url("/a.m3u8")}"'
    stream = f'#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"\n{metadata.url("/v.m3u8")}'
    site.pages["/cam"] = send_file(f"#EXTM3U\n{sound}\n{stream}\n".encode(), kind=M3U8)
    _, failed = record(site.url("/cam"), tmp_path, ONCE)
    assert isinstance(failed, UnsupportedVideo)
    assert metadata.requests == []
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "tcp://127.0.0.1:1/x"])
def test_playlists_and_redirects_name_http_only(site: Site, tmp_path: Path, target: str) -> None:
    site.pages["/cam"] = in_turn(playlist("#EXTINF:2,", target), redirect(target))
    for _ in range(2):
        recordings, failed = record(site.url("/cam"), tmp_path, ONCE)
        assert not recordings
        assert failed is not None


def test_dash_is_refused_since_its_parts_could_not_be_checked(
    site: Site, metadata: Site, tmp_path: Path
) -> None:
    manifest = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" mediaPresentationDuration="PT2S"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>'
        f"{metadata.url('/x.ts')}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )
    site.pages["/cam"] = send_page(manifest, kind="application/dash+xml")
    recordings, failed = record(site.url("/cam"), tmp_path, ONCE)
    assert not recordings
    assert failed is not None
    assert metadata.requests == []


@pytest.mark.parametrize("scheme", ["http", "tcp", "rtsp", "rtmp"])
def test_a_name_that_changes_its_address_after_the_check_is_refused(
    metadata: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """The first answer is harmless; whoever resolves the name again gets the refused address."""
    resolve, answers = socket.getaddrinfo, iter(["127.0.0.1"])

    def changing(host: Any, *arguments: Any, **named: Any) -> Any:
        return resolve(next(answers, FORBIDDEN) if host == "rebind.example" else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    _, failed = record(f"{scheme}://rebind.example:{metadata.port}/x", tmp_path, ONCE)
    assert isinstance(failed, UnsupportedVideo)
    assert metadata.requests == []


@contextmanager
def rtsp_that_answers(*pieces: bytes) -> Iterator[int]:
    """An RTSP server that answers the first request with these pieces."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for piece in pieces:
                    connection.sendall(piece)
                connection.recv(4096)

        thread = Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


@pytest.mark.parametrize("cut", [0, 30, 45])
def test_an_rtsp_redirect_is_followed_by_a_check_only(metadata: Site, tmp_path: Path, cut: int) -> None:
    target = f"rtsp://{FORBIDDEN}:{metadata.port}/x"
    answer = f"RTSP/1.0 302 Found\r\nCSeq: 1\r\nLoca\rtion: {target}\r\n\r\n".encode()
    with rtsp_that_answers(answer[:cut], answer[cut:]) as port:
        _, failed = record(f"rtsp://me:hunter2@127.0.0.1:{port}/live", tmp_path, ONCE)
    assert isinstance(failed, UnsupportedVideo)
    assert "hunter2" not in str(failed)
    assert metadata.requests == []


def test_rtmp_servers_with_several_names_are_told_the_right_one() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        relay(f"rtmp://me:pw@localhost:{server.getsockname()[1]}/app/stream?x=1", timeout_s=1) as relayed,
    ):
        assert relayed.options == {"rtmp_tcurl": f"rtmp://localhost:{server.getsockname()[1]}/app"}
        assert relayed.url.startswith("rtmp://me:pw@127.0.0.1:")
        assert relayed.url.endswith("/app/stream?x=1")


def encrypt(content: bytes, key: bytes) -> bytes:
    padding = 16 - len(content) % 16
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    return encryptor.update(content + bytes([padding]) * padding) + encryptor.finalize()


def halves() -> tuple[bytes, bytes]:
    """The first and the second part of a clip of 40 frames, cut between packets of the transport stream."""
    whole = ts(0, 40)
    middle = len(whole) // 2 // 188 * 188
    return whole[:middle], whole[middle:]


def segments(site: Site, *names: str) -> list[str]:
    """Put the halves of a clip at these names; return the lines of its playlist."""
    site.pages |= {
        name: send_file(half, kind="video/mp2t") for name, half in zip(names, halves(), strict=True)
    }
    return [line for name in names for line in ("#EXTINF:2,", name)]


def hls(site: Site) -> None:
    site.pages["/cam"] = master("/list/media.m3u8")
    site.pages["/list/media.m3u8"] = playlist(*segments(site, "/a.ts", "/b.ts"))


def redirected_hls(site: Site) -> None:
    """Relative names count from where the redirect leads to."""
    site.pages["/cam"] = redirect("/elsewhere/media.m3u8")
    segments(site, "/elsewhere/a.ts", "/elsewhere/b.ts")
    site.pages["/elsewhere/media.m3u8"] = playlist("#EXTINF:2,", "a.ts", "#EXTINF:2,", "b.ts")


def encrypted_hls(site: Site) -> None:
    key = bytes(range(16))
    site.pages["/key"] = send_file(key, kind="application/octet-stream")
    for name, half in zip(("/a.ts", "/b.ts"), halves(), strict=True):
        site.pages[name] = send_file(encrypt(half, key), kind="video/mp2t")
    zero = '#EXT-X-KEY:METHOD=AES-128,URI="/key",IV=0x' + "0" * 32
    site.pages["/cam"] = playlist(zero, "#EXTINF:2,", "/a.ts", "#EXTINF:2,", "/b.ts")


def hls_of_ranges(site: Site) -> None:
    """Both segments in one file, at a server that knows no ranges."""
    first, second = halves()
    site.pages["/both.ts"] = send_file(first + second, kind="video/mp2t", ranges=False)
    site.pages["/cam"] = playlist(
        "#EXTINF:2,", f"#EXT-X-BYTERANGE:{len(first)}@0", "/both.ts",
        "#EXTINF:2,", f"#EXT-X-BYTERANGE:{len(second)}@{len(first)}", "/both.ts",
    )  # fmt: skip


def hls_with_a_missing_segment(site: Site) -> None:
    first, second = segments(site, "/a.ts", "/b.ts")[:2], segments(site, "/a.ts", "/b.ts")[2:]
    site.pages["/cam"] = playlist(*first, "#EXTINF:2,", "/gone.ts", *second)


@pytest.mark.parametrize(
    "stream", [hls, redirected_hls, encrypted_hls, hls_of_ranges, hls_with_a_missing_segment]
)
def test_an_hls_camera_is_recorded(site: Site, tmp_path: Path, stream: Callable[[Site], None]) -> None:
    stream(site)
    recordings, _ = record(site.url("/cam"), tmp_path, ONCE)
    numbers = [number for recording in recordings for number in read_numbers(recording.path)]
    assert numbers[:10] == list(range(10))
    assert numbers[-1] >= 36
    assert numbers == sorted(set(numbers))


def test_a_file_whose_index_is_at_its_end_is_read_from_there(site: Site, tmp_path: Path) -> None:
    clip = encode_numbers(range(30), fps=10, form="mp4", grain=200)
    assert clip.rindex(b"moov") > len(clip) // 2
    site.pages["/cam.mp4"] = send_file(clip, Accept_Ranges="bytes")
    recordings, _ = record(site.url("/cam.mp4"), tmp_path, ONCE)
    assert [read_numbers(recording.path)[:28] for recording in recordings] == [list(range(28))]
    assert len([request for request in site.requests if request[2] != "bytes=0-"]) > 0


def test_a_password_is_sent_to_its_own_host_in_the_way_asked_for(
    site: Site, tmp_path: Path, metadata: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.sources.url_policy._METADATA_ADDRESSES", frozenset())
    seen: list[str | None] = []

    def guarded(handler: Any) -> None:
        seen.append(handler.headers.get("Authorization"))
        challenge = 'Digest realm="cam", nonce="1", qop="auth", algorithm=MD5'
        here = (
            send_file(ts(0, 20), kind="video/mp2t")
            if seen[-1]
            else send_status(401, WWW_Authenticate=challenge)
        )
        here(handler)

    def elsewhere(handler: Any) -> None:
        assert handler.headers.get("Authorization") is None
        redirect(site.url("/guarded"))(handler)

    site.pages |= {"/guarded": guarded, "/cam": redirect(metadata.url("/elsewhere"))}
    metadata.pages["/elsewhere"] = elsewhere
    recordings, failed = record(site.url("/cam").replace("//", "//me:hunter2@"), tmp_path, ONCE)
    assert len(recordings) == 1
    assert isinstance(failed, SourceUnreachable)
    assert seen[0] is None
    assert str(seen[-1]).startswith("Digest ")
    assert "hunter2" not in f"{seen} {failed}"


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 64, 1000])
def test_a_decrypted_segment_is_the_clear_one(length: int) -> None:
    class Trickle:
        def __init__(self, content: bytes) -> None:
            self._rest = content

        def read(self, size: int) -> bytes:
            piece, self._rest = self._rest[: min(size, 7)], self._rest[min(size, 7) :]
            return piece

        def close(self) -> None: ...

    clear, key = bytes(i % 251 for i in range(length)), bytes(range(16))
    file = DecryptedFile(Trickle(encrypt(clear, key)), key.hex(), bytes(16).hex())
    assert b"".join(iter(lambda: file.read(100), b"")) == clear
