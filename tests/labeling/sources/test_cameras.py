"""Recording from local streams that end, break off or send what is unusual."""

import io
import itertools
import time
from datetime import UTC, datetime
from pathlib import Path

import av
import pytest

from configs.errors import SourceNotFound, SourceUnreachable
from labeling.sources.content_store import sha256_of
from tests.fakes.videos import encode_numbers, read_numbers
from tests.labeling.sources.recordings import FPS, INGEST, codec_of, images_of, record, times_of, ts
from tests.servers import Site, in_turn, send_file, send_status, send_stream, serve_bytes


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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_a_stream_that_stalls_keeps_the_frames_received(site: Site, tmp_path: Path) -> None:
    clip = ts(0, 30)
    site.pages["/cam"] = in_turn(
        send_file(clip + bytes(10), kind="video/mp2t", stop_at=len(clip)), send_status(404)
    )
    recordings, _ = record(site.url("/cam"), tmp_path)
    assert len(read_numbers(recordings[0].path)) >= 28
