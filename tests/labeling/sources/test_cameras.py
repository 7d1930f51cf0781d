"""Recording from local streams that end, break off or never start."""

import ctypes
import io
import itertools
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import pytest
from numpy.typing import NDArray

from configs.errors import (
    NotAVideo,
    SourceError,
    SourceNotFound,
    SourcePrivate,
    SourceUnreachable,
    UnsupportedVideo,
)
from configs.models import Ingest
from labeling.sources.cameras import Interrupt, Recording, record_camera
from labeling.sources.content_store import sha256_of
from labeling.sources.expand import expand_sources
from labeling.sources.fetching import fetch
from labeling.sources.source import FailedSource, FetchedSource
from tests.fakes.videos import encode_numbers, read_numbers
from tests.servers import (
    Site,
    in_turn,
    send_file,
    send_page,
    send_status,
    send_stream,
    serve,
    serve_bytes,
    serve_rtsp,
)

FPS = 10
INGEST = Ingest(reconnects=2, backoff_s=0.01, timeout_s=3, segment_s=60, record_s=60)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


def record(url: str, home: Path, ingest: Ingest = INGEST) -> tuple[list[Recording], SourceError | None]:
    """Return the recordings, and the error that ended them."""
    recordings: list[Recording] = []
    try:
        for recording in record_camera(url, home, ingest):
            recordings.append(recording)  # results before an error count
    except SourceError as exc:
        return recordings, exc
    return recordings, None


def ts(start: int, end: int, *, b_frames: int = 0, grain: int = 0) -> bytes:
    return encode_numbers(range(start, end), fps=FPS, form="mpegts", b_frames=b_frames, grain=grain)


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.name


def images_of(source: Path | io.BytesIO) -> list[NDArray[Any]]:
    """Return decoded frames: equal ones were copied and not encoded again."""
    with av.open(str(source) if isinstance(source, Path) else source, "r") as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0) if frame.time is not None]


@pytest.mark.slow
def test_a_dropped_stream_is_reconnected_and_no_complete_frame_is_lost(site: Site, tmp_path: Path) -> None:
    """Three connections in real time, two cut in the middle of a packet; then only errors."""
    clips = [ts(start, start + 20, grain=60) for start in (0, 100, 200)]
    cut = [clips[0][: len(clips[0]) * 2 // 3 + 77], clips[1][: len(clips[1]) // 2 + 55], clips[2]]
    answers = [send_stream(part, seconds=0.8) for part in cut]
    site.pages["/cam"] = in_turn(*answers, send_status(503))
    before = datetime.now(UTC)
    recordings, failed = record(site.url("/cam"), tmp_path)
    assert isinstance(failed, SourceUnreachable)
    assert site.count("/cam") == 3 + INGEST.reconnects
    assert len(recordings) == 3
    for recording, start, least in zip(recordings, (0, 100, 200), (9, 7, 18), strict=True):
        numbers = read_numbers(recording.path)
        assert numbers == list(range(start, start + len(numbers)))
        assert len(numbers) >= least
        assert recording.duration_s == pytest.approx(len(numbers) / FPS, abs=0.11)
        sha256 = sha256_of(recording.path)
        assert recording.path == tmp_path / sha256[:2] / f"{sha256}.mp4"
        sent = images_of(io.BytesIO(clips[start // 100]))
        assert all((kept == sent[i]).all() for i, kept in enumerate(images_of(recording.path)))
    assert before < recordings[0].started_at < recordings[1].started_at < recordings[2].started_at
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {
        recording.path for recording in recordings
    }


def test_an_image_that_a_drop_cut_short_is_left_out(tmp_path: Path) -> None:
    clip = ts(0, 20, grain=60)
    with serve_bytes(clip[: len(clip) * 2 // 3 + 77]) as port:
        recordings, _ = record(
            f"tcp://127.0.0.1:{port}", tmp_path, INGEST.model_copy(update={"reconnects": 0})
        )
    (recording,) = recordings
    kept, sent = images_of(recording.path), images_of(io.BytesIO(clip))
    assert len(kept) > 10
    assert all((image == sent[i]).all() for i, image in enumerate(kept))


def test_files_begin_with_a_key_frame_at_time_zero(site: Site, tmp_path: Path) -> None:
    site.pages["/cam"] = in_turn(send_stream(ts(0, 65)), send_status(404))
    recordings, failed = record(site.url("/cam"), tmp_path, INGEST.model_copy(update={"segment_s": 1.5}))
    assert isinstance(failed, SourceNotFound)
    parts = [read_numbers(recording.path) for recording in recordings]
    assert [part[0] for part in parts] == [0, 20, 40, 60]
    assert list(itertools.chain(*parts)) == list(range(sum(map(len, parts))))
    assert sum(map(len, parts)) >= 63
    for recording in recordings:
        assert times_of(recording.path)[:3] == [0.0, 0.1, 0.2]


def test_packets_before_the_first_key_frame_are_not_recorded(site: Site, tmp_path: Path) -> None:
    """A connection that starts in the middle of a group of pictures."""
    whole = ts(0, 40)
    with av.open(io.BytesIO(whole), "r") as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.pos is not None]
    tables = whole[: 188 * 3]
    site.pages["/cam"] = in_turn(send_stream(tables + whole[positions[5] :]), send_status(404))
    recordings, _ = record(site.url("/cam"), tmp_path)
    numbers = list(itertools.chain(*(read_numbers(recording.path) for recording in recordings)))
    assert numbers[0] == 10
    assert numbers == list(range(10, 10 + len(numbers)))
    assert times_of(recordings[0].path)[0] == 0.0


def test_frames_sent_out_of_order_keep_their_times(site: Site, tmp_path: Path) -> None:
    site.pages["/cam"] = in_turn(send_stream(ts(0, 45, b_frames=2)), send_status(404))
    recordings, _ = record(site.url("/cam"), tmp_path, INGEST.model_copy(update={"segment_s": 1.5}))
    assert [read_numbers(recording.path)[:3] for recording in recordings] == [
        [0, 1, 2],
        [20, 21, 22],
        [40, 41, 42],
    ]
    for recording in recordings[:2]:
        assert read_numbers(recording.path) == list(
            range(read_numbers(recording.path)[0], read_numbers(recording.path)[0] + 20)
        )
        assert times_of(recording.path) == pytest.approx([i / FPS for i in range(20)])


def test_recording_ends_when_it_is_long_enough(site: Site, tmp_path: Path) -> None:
    site.pages["/cam"] = send_stream(ts(0, 200))
    recordings, failed = record(site.url("/cam"), tmp_path, INGEST.model_copy(update={"record_s": 3.0}))
    assert failed is None
    assert site.count("/cam") == 1
    assert sum(recording.duration_s for recording in recordings) == pytest.approx(3.0, abs=0.2)


def test_recording_continues_after_drops_until_it_is_long_enough(site: Site, tmp_path: Path) -> None:
    site.pages["/cam"] = in_turn(*(send_stream(ts(100 * i, 100 * i + 15)) for i in range(8)))
    recordings, failed = record(site.url("/cam"), tmp_path, INGEST.model_copy(update={"record_s": 5.0}))
    assert failed is None
    assert [read_numbers(recording.path)[0] for recording in recordings] == [0, 100, 200, 300]


@pytest.mark.slow
def test_a_camera_that_sends_little_is_not_recorded_for_ever(site: Site, tmp_path: Path) -> None:
    site.pages["/cam"] = send_stream(ts(0, 30), seconds=4, pieces=40)
    start = time.monotonic()
    recordings, failed = record(site.url("/cam"), tmp_path, INGEST.model_copy(update={"record_s": 1.0}))
    assert failed is None
    assert len(recordings) == 1
    assert time.monotonic() - start < 3.5


@pytest.mark.parametrize(
    ("form", "sent", "kept"),
    [
        ("mpegts", "libx264", ("h264", ".mp4")),
        ("mpegts", "mpeg2video", ("mpeg2video", ".mkv")),
        ("mpegts", "mpeg4", ("mpeg4", ".mp4")),
        ("matroska", "libvpx", ("vp8", ".mkv")),
        ("yuv4mpegpipe", "rawvideo", ("h264", ".mp4")),
    ],
)
def test_each_codec_is_stored_in_a_suitable_container(
    site: Site, tmp_path: Path, form: str, sent: str, kept: tuple[str, str]
) -> None:
    clip = encode_numbers(range(30), fps=FPS, form=form, codec=sent)
    site.pages["/cam"] = in_turn(send_stream(clip, kind="application/octet-stream"), send_status(404))
    recordings, failed = record(site.url("/cam"), tmp_path)
    assert isinstance(failed, SourceNotFound)
    (recording,) = recordings
    numbers = read_numbers(recording.path)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 28
    assert times_of(recording.path)[:3] == pytest.approx([0.0, 0.1, 0.2], abs=0.001)
    assert (codec_of(recording.path), recording.path.suffix) == kept


def test_frames_without_timestamps_get_their_arrival_time(site: Site, tmp_path: Path) -> None:
    """Motion JPEG over HTTP, as simple cameras send it."""
    frames = [encode_numbers([number], form="mjpeg", codec="mjpeg") for number in range(12)]
    head = "--cam\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
    body = b"".join(head.format(len(frame)).encode() + frame + b"\r\n" for frame in frames)
    kind = "multipart/x-mixed-replace; boundary=cam"
    site.pages["/cam.mjpg"] = in_turn(send_stream(body, kind=kind, seconds=2.4, pieces=12), send_status(404))
    recordings, _ = record(site.url("/cam.mjpg"), tmp_path)
    (recording,) = recordings
    numbers = read_numbers(recording.path)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 9
    times = times_of(recording.path)
    assert times == sorted(set(times))
    assert 1.0 < times[-1] < 3.0


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


@pytest.mark.parametrize("scheme", ["rtsp", "http", "tcp", "rtmp"])
def test_a_camera_that_does_not_answer_times_out(tmp_path: Path, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        impatient = INGEST.model_copy(update={"timeout_s": 0.3, "reconnects": 1})
        start = time.monotonic()
        _, failed = record(f"{scheme}://127.0.0.1:{port}/live", tmp_path, impatient)
        assert isinstance(failed, SourceUnreachable)
        assert time.monotonic() - start < 3


def test_a_stream_that_stalls_keeps_the_frames_received(site: Site, tmp_path: Path) -> None:
    clip = ts(0, 30)
    site.pages["/cam"] = in_turn(
        send_file(clip + bytes(10), kind="video/mp2t", stop_at=len(clip)), send_status(404)
    )
    recordings, _ = record(site.url("/cam"), tmp_path)
    assert len(read_numbers(recordings[0].path)) >= 28


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


def test_a_caller_that_stops_early_leaves_complete_files(site: Site, tmp_path: Path) -> None:
    site.pages["/cam"] = send_stream(ts(0, 65))
    recording = record_camera(site.url("/cam"), tmp_path, INGEST.model_copy(update={"segment_s": 1.5}))
    first = next(recording)
    recording.close()  # type: ignore[attr-defined]  # it is a generator
    assert read_numbers(first.path) == list(range(20))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [first.path]


@pytest.mark.slow
def test_an_interrupted_recording_is_closed_and_given_to_the_caller(site: Site, tmp_path: Path) -> None:
    site.pages["/cam"] = send_stream(ts(0, 100), seconds=6, pieces=80)
    program = textwrap.dedent(
        """
        import signal, sys
        from pathlib import Path
        from configs.models import Ingest
        from labeling.sources.cameras import record_camera
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        print("ready", flush=True)
        for recording in record_camera(sys.argv[1], Path(sys.argv[2]), Ingest()):
            print(recording.path, flush=True)
        """
    )
    home = tmp_path / "home"
    with subprocess.Popen(
        [sys.executable, "-c", program, site.url("/cam"), str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        while not list(home.rglob("1.mp4")):
            time.sleep(0.05)
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=20)
    assert b"KeyboardInterrupt" in stderr
    (kept,) = (path for path in home.rglob("*") if path.is_file())
    numbers = read_numbers(kept)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 1
    assert kept == home / sha256_of(kept)[:2] / f"{sha256_of(kept)}.mp4"
    assert stdout.decode().split() == [str(kept)]


@pytest.mark.parametrize("moment", ["while a camera is called", "in a pause"])
def test_ctrl_c_before_the_first_packet_ends_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    name = "check_resolved" if moment == "while a camera is called" else "time.sleep"
    monkeypatch.setattr(
        f"labeling.sources.cameras.{name}", lambda *_, **__: signal.raise_signal(signal.SIGINT)
    )
    patient = INGEST.model_copy(update={"backoff_s": 30})
    try:
        with socket.create_server(("127.0.0.1", 0)) as closing:
            port = closing.getsockname()[1]
            closing.close()
            with pytest.raises(KeyboardInterrupt):
                record(f"tcp://127.0.0.1:{port}/live", tmp_path, patient)
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(tmp_path.iterdir()) == []


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


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Python's default handler: a shell's background job ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_has_its_effect_when_it_is_passed_on() -> None:
    interrupt, done = Interrupt(), []
    with interrupt.held():
        press_ctrl_c()
        done.append("the rest of the block")
    assert done
    assert interrupt.came
    with pytest.raises(KeyboardInterrupt):
        interrupt.pass_on()
    assert not interrupt.came


def test_ctrl_c_in_a_callback_of_c_is_not_lost() -> None:
    """Python prints an exception raised there and continues."""
    callback = ctypes.CFUNCTYPE(None)(press_ctrl_c)
    interrupt = Interrupt()
    with interrupt.held():
        callback()
    with pytest.raises(KeyboardInterrupt):
        interrupt.pass_on()


def test_a_second_ctrl_c_stops_at_once() -> None:
    interrupt = Interrupt()
    with interrupt.held():
        press_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()


def test_what_was_not_pressed_is_not_passed_on() -> None:
    interrupt = Interrupt()
    with interrupt.held():
        pass
    interrupt.pass_on()
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()  # outside the block it has its usual effect


def test_ctrl_c_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupt = Interrupt()
    with interrupt.held():
        press_ctrl_c()
    assert not interrupt.came


def test_another_thread_leaves_ctrl_c_as_it_is() -> None:
    def hold() -> object:
        with Interrupt().held():
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(hold).result() is signal.default_int_handler
