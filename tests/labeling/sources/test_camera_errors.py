"""Cameras that are away, refuse, or must not be called; passwords in no message."""

import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from configs.errors import (
    NotAVideo,
    SourceError,
    SourceNotFound,
    SourcePrivate,
    SourceUnreachable,
    UnsupportedVideo,
)
from labeling.sources.cameras import record_camera
from labeling.sources.expand import expand_sources
from labeling.sources.fetching import fetch
from labeling.sources.source import FailedSource, FetchedSource
from tests.fakes.videos import read_numbers
from tests.labeling.sources.recordings import INGEST, record, times_of, ts
from tests.servers import (
    Site,
    in_turn,
    send_file,
    send_page,
    send_status,
    send_stream,
    serve_bytes,
    serve_rtsp,
)


def test_a_closed_port_is_unreachable_after_all_attempts(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    for scheme in ("rtsp", "tcp"):
        recordings, failed = record(f"{scheme}://me:hunter2@127.0.0.1:{port}/live", tmp_path)
        assert not recordings
        assert isinstance(failed, SourceUnreachable)
        assert "refused" in str(failed)
        assert "2 attempts" in str(failed)
        assert "hunter2" not in str(failed)
        assert failed.__cause__ is None


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["rtsp", "http", "tcp", "rtmp"])
def test_a_camera_that_does_not_answer_times_out(tmp_path: Path, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        impatient = INGEST.model_copy(update={"timeout_s": 0.3, "reconnects": 1})
        start = time.monotonic()
        _, failed = record(f"{scheme}://127.0.0.1:{port}/live", tmp_path, impatient)
        assert isinstance(failed, SourceUnreachable)
        assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (send_status(401), SourcePrivate),
        (send_status(403), SourcePrivate),
        (send_status(404), SourceNotFound),
        (send_page("<html>log in</html>"), NotAVideo),
    ],
)
def test_a_final_answer_is_not_retried(
    site: Site, tmp_path: Path, answer: object, error: type[SourceError]
) -> None:
    site.pages["/cam"] = answer  # type: ignore[assignment]
    _, failed = record(site.url("/cam").replace("//", "//me:hunter2@"), tmp_path)
    assert type(failed) is error
    assert "hunter2" not in str(failed)
    assert "***@" in str(failed)


@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_a_stream_cannot_make_us_read_files(site: Site, tmp_path: Path, scheme: str) -> None:
    """What is sent is a playlist of a file here. Over bare TCP FFmpeg itself would follow it."""
    secret = tmp_path / "secret.ts"
    secret.write_bytes(ts(0, 30))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{secret}\n#EXT-X-ENDLIST\n".encode()
    site.pages["/cam.m3u8"] = send_file(playlist, kind="application/vnd.apple.mpegurl")
    with serve_bytes(playlist) as port:
        url = site.url("/cam.m3u8") if scheme == "http" else f"tcp://127.0.0.1:{port}/cam.m3u8"
        recordings, failed = record(url, tmp_path / "home")
    assert not recordings
    assert failed is not None


@pytest.mark.slow
def test_an_rtsp_camera_with_a_password_is_recorded_over_drops(tmp_path: Path) -> None:
    with serve_rtsp(range(25), range(100, 125), user="me", password="hunter2") as camera:  # noqa: S106
        address = f"127.0.0.1:{camera.server_address[1]}/live"
        recordings, failed = record(f"rtsp://me:hunter2@{address}", tmp_path)
        assert isinstance(failed, SourceUnreachable)
        assert "hunter2" not in str(failed)
        assert camera.plays == 2 + INGEST.reconnects
        assert [read_numbers(recording.path)[0] for recording in recordings] == [0, 100]
        for recording in recordings:
            numbers = read_numbers(recording.path)
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert len(numbers) >= 23
            assert times_of(recording.path)[:3] == pytest.approx([0.0, 0.1, 0.2], abs=0.001)
        _, refused = record(f"rtsp://me:wrong-one@{address}", tmp_path)
        assert isinstance(refused, SourcePrivate)
        assert "wrong-one" not in str(refused)


def test_link_local_cameras_are_refused_unless_allowed(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedVideo):
        list(record_camera("rtsp://169.254.1.1/live", tmp_path, INGEST))


def test_a_missing_device_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        list(record_camera("/dev/video97", tmp_path, INGEST))


def test_each_recording_is_a_source_of_its_own(site: Site, tmp_path: Path) -> None:
    site.pages["/cam"] = in_turn(send_stream(ts(0, 20)), send_stream(ts(50, 70)), send_status(401))
    url = site.url("/cam").replace("//", "//me:$PW@")
    (origin,) = expand_sources([f"camera:{url}"], environment={"PW": "hunter2"})
    assert not isinstance(origin, FailedSource)
    first, second, failed = fetch(origin, tmp_path, INGEST)
    assert isinstance(first, FetchedSource)
    assert isinstance(second, FetchedSource)
    assert isinstance(failed, FailedSource)
    assert isinstance(failed.error, SourcePrivate)
    assert first.origin.spec != second.origin.spec
    assert first.origin.spec.startswith(f"camera:http://me:$PW@127.0.0.1:{site.port}/cam#20")
    assert first.origin.url == f"http://***@127.0.0.1:{site.port}/cam"
    assert first.origin.upload_date == datetime.now(UTC).date().isoformat()
    assert "hunter2" not in repr((first, second, failed))
