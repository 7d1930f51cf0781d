"""Frames, their times and their identity, against numbers burnt into the images."""

import hashlib
import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from configs.errors import EmptyVideo, NotAVideo, SourceNotFound
from labeling.structures.frames import Clip, ImageFile
from labeling.video.decode import DecodeStats, decode_clip, to_ms
from labeling.video.timestamps import FrameClock, Timeline
from tests.fakes import broken_videos, videos
from tests.fakes.videos import Coding, draw_number, read_number, write_numbered_video

X264 = {"g": "24", "bf": "3"}
OPEN_GOP = {"x264-params": "open-gop=1:bframes=3:keyint=24:min-keyint=24:scenecut=0"}
KINDS = {
    "a.mp4": Coding(options=X264),
    "open_gop.mp4": Coding(options=OPEN_GOP),
    "a.mkv": Coding(options=X264),
    "starts_late.ts": Coding(options=OPEN_GOP),
    "reordered.avi": Coding(options=X264),
    "mpeg4.avi": Coding("mpeg4", options={"g": "24"}),
    "fragments.mp4": Coding(options=X264, container_options={"movflags": "frag_keyframe+empty_moov"}),
    "program_stream.mpg": Coding("mpeg2video", options={"g": "12", "bf": "2"}),
    "ten_bits.mp4": Coding(pix_fmt="yuv420p10le", options=X264),
    "hevc.mp4": Coding("libx265", options={"x265-params": "keyint=24:bframes=3:log-level=none"}),
    "vp9.webm": Coding("libvpx-vp9", options={"g": "24", "deadline": "realtime", "cpu-used": "8"}),
    "ffv1.mkv": Coding("ffv1", options={"g": "10"}),
    "mjpeg.mov": Coding("mjpeg", pix_fmt="yuvj420p"),
    "lossless.mov": Coding("qtrle", pix_fmt="rgb24", options={"g": "24"}),
    "moving.gif": Coding("gif", pix_fmt="rgb8"),
}
ROUNDED_TO_MS = {"a.mkv", "vp9.webm", "ffv1.mkv"}


def read(path: Path, start_s: int | str = 0, end_s: str | None = None) -> list[tuple[Fraction, int, str]]:
    """Time, burnt-in number and hash of the pixels of every frame of a clip."""
    clip = Clip("v", path, Fraction(start_s), None if end_s is None else Fraction(end_s))
    frames = [(decoded.t, decoded.to_rgb()) for decoded in decode_clip(clip)]
    return [(t, read_number(rgb), hashlib.sha256(rgb.tobytes()).hexdigest()) for t, rgb in frames]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_comes_once_at_its_exact_time_in_any_shard(kind: str, tmp_path: Path) -> None:
    fps = Fraction(25)
    path = write_numbered_video(tmp_path / kind, fps=fps, frames=110, coding=KINDS[kind])
    whole = read(path)
    assert [number for _, number, _ in whole] == list(range(110))
    largest_error = max(abs(t - number / fps) for t, number, _ in whole)
    assert largest_error <= (Fraction(1, 2000) if kind in ROUNDED_TO_MS else 0)
    bounds = ["0", "0.96", "1.3", "2.6", "3.9", "4.2"]  # at a key frame, and between frames
    shards = [read(path, a, b) for a, b in zip(bounds, [*bounds[1:], None], strict=True)]
    assert [frame for shard in shards for frame in shard] == whole


@pytest.mark.slow
@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30), Fraction(60), Fraction(30000, 1001)], ids=str)
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_frame_rates_and_rotations_give_exact_times_of_upright_images(
    fps: Fraction, rotation_deg: int, tmp_path: Path
) -> None:
    coding = Coding(rotation_deg=rotation_deg)
    path = write_numbered_video(tmp_path / "v.mp4", fps=fps, frames=40, size_hw=(96, 144), coding=coding)
    decoded = list(decode_clip(Clip("v", path)))
    assert [(frame.t, frame.pts_ms) for frame in decoded] == [
        (i / fps, round(i * 1000 / fps)) for i in range(40)
    ]
    images = [frame.to_rgb() for frame in decoded]
    assert {image.shape for image in images} == {(96, 144, 3)}
    assert [read_number(image) for image in images] == list(range(40))


def test_a_mirrored_display_matrix_is_undone(tmp_path: Path) -> None:
    coding = Coding(rotation_deg=90, mirrored=True)
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(30), frames=4, coding=coding)
    assert [number for _, number, _ in read(path)] == [0, 1, 2, 3]


def test_a_variable_frame_rate_keeps_every_time_stamp(tmp_path: Path) -> None:
    pts = [0, 40, 80, 500, 520, 1700, 1701, 3000, 3033, 3066]
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(30), frames=10, pts=pts)
    assert [(t, number) for t, number, _ in read(path)] == [(Fraction(p, 1000), i) for i, p in enumerate(pts)]
    assert [number for _, number, _ in read(path, "0.5", "1.701")] == [3, 4, 5]


def test_a_stream_that_starts_late_begins_at_zero(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "v.ts", fps=Fraction(25), frames=30)
    with av.open(str(path)) as container:
        assert (container.streams.video[0].start_time or 0) > 0
    assert read(path)[0][:2] == (Fraction(0), 0)


def test_frames_without_time_stamps_are_one_period_apart(tmp_path: Path) -> None:
    coding = Coding(options=X264, container_format="h264")
    path = write_numbered_video(tmp_path / "v.h264", fps=Fraction(25), frames=30, coding=coding)
    assert [(t, number) for t, number, _ in read(path)] == [(Fraction(i, 25), i) for i in range(30)]


def test_frames_that_all_have_the_same_time_stamp_are_all_there(tmp_path: Path) -> None:
    coding = Coding(options={"g": "24", "bf": "0"})
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(25), frames=30, coding=coding)
    content = bytearray(path.read_bytes())
    durations = content.index(b"stts") + 8
    assert int.from_bytes(content[durations : durations + 4], "big") == 1
    content[durations + 8 : durations + 12] = bytes(4)
    path.write_bytes(content)
    with av.open(str(path)) as container:
        assert {frame.pts for frame in container.decode(video=0)} == {0}
    times, numbers, _ = zip(*read(path), strict=True)
    assert numbers == tuple(range(30))
    assert len({later - earlier for earlier, later in pairwise(times)}) == 1


def test_the_lead_in_is_the_frame_just_before_the_clip(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(25), frames=60, coding=Coding(options=X264))
    clip = Clip("v", path, Fraction("0.96"), Fraction("1.04"))
    numbers = [read_number(d.to_rgb()) for d in decode_clip(clip, with_lead_in=True)]
    assert numbers == [23, 24, 25]
    from_start = decode_clip(Clip("v", path, end_s=Fraction("0.08")), with_lead_in=True)
    assert [read_number(d.to_rgb()) for d in from_start] == [0, 1]


def test_a_wrong_index_is_not_trusted(tmp_path: Path) -> None:
    """The table of key frames (0, 24, 48) is made to say 0, 40, 48: nothing decodes from 40."""
    coding = Coding(options={"g": "24", "bf": "0", "sc_threshold": "0"})
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(25), frames=72, coding=coding)
    whole = read(path)
    content = bytearray(path.read_bytes())
    table = content.index(b"stss") + 8
    assert int.from_bytes(content[table : table + 4], "big") == 3
    content[table + 8 : table + 12] = (41).to_bytes(4, "big")
    path.write_bytes(content)
    expected = [frame for frame in whole if Fraction("1.7") <= frame[0] < 2]
    assert [number for _, number, _ in expected] == [43, 44, 45, 46, 47, 48, 49]
    assert read(path, "1.7", "2") == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a.mp4", "mpeg4.avi", "vp9.webm", "hevc.mp4"])
def test_after_a_damaged_packet_no_frame_comes_until_the_next_key_frame(kind: str, tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / kind, fps=Fraction(25), frames=120, coding=KINDS[kind])
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.pos is not None]
    content = bytearray(path.read_bytes())
    start = (packets[50].pos or 0) + 8
    content[start : start + 24] = b"\xff" * 24
    path.write_bytes(content)
    stats = DecodeStats()
    frames = [(d.t, read_number(d.to_rgb())) for d in decode_clip(Clip("v", path), stats=stats)]
    numbers = [number for _, number in frames]
    tolerance = Fraction(1, 2000) if kind in ROUNDED_TO_MS else 0
    assert all(abs(t - Fraction(number, 25)) <= tolerance for t, number in frames)
    assert numbers[:46] == list(range(46))
    assert numbers[-48:] == list(range(72, 120))  # key frames are 24 apart
    assert stats.damaged > 0
    assert [frame[:2] for frame in read(path)] == frames


def test_a_frame_with_the_time_of_the_one_before_is_dropped() -> None:
    clock = FrameClock(
        Timeline(
            origin=100,
            time_base=Fraction(1, 50),
            step_s=Fraction(1, 25),
            is_stored_order=False,
            is_seekable=True,
            from_key=True,
        )
    )
    times = []
    for stamp in (100, 102, 102, 101, 104):
        frame = av.VideoFrame(16, 16)
        frame.pts = stamp
        times.append(clock.next_time(frame))
    assert times == [0, Fraction(1, 25), None, None, Fraction(2, 25)]


def test_the_upper_field_of_an_interlaced_frame_is_kept(tmp_path: Path) -> None:
    path = videos.write_interlaced_video(tmp_path / "v.mp4")
    with av.open(str(path)) as container:
        combed = next(container.decode(video=0))
        assert combed.interlaced_frame
        with pytest.raises(ValueError, match=r"neither black nor white|contradict"):
            read_number(combed.to_ndarray(format="rgb24").astype(np.uint8))
    assert [number for _, number, _ in read(path)] == list(range(10))


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "name"),
    [("libx264", "yuv444p", "v.mp4"), ("qtrle", "rgb24", "v.mov"), ("ffv1", "bgr0", "v.mkv")],
)
def test_odd_sizes_are_decoded_whole(codec: str, pix_fmt: str, name: str, tmp_path: Path) -> None:
    coding = Coding(codec, pix_fmt=pix_fmt, rotation_deg=90 if name == "v.mp4" else 0)
    path = write_numbered_video(
        tmp_path / name, fps=Fraction(25), frames=3, size_hw=(241, 321), coding=coding
    )
    frames = list(decode_clip(Clip("v", path)))
    assert [frame.to_rgb().shape for frame in frames] == [(241, 321, 3)] * 3
    assert [read_number(frame.to_rgb()) for frame in frames] == [0, 1, 2]
    assert frames[0].scaled_luma(64).shape == (48, 64)


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(25), frames=1)
    assert [frame[:2] for frame in read(path)] == [(Fraction(0), 0)]
    assert read(path, 1) == []


def test_a_file_that_is_no_video_is_named_in_the_error(tmp_path: Path) -> None:
    text = broken_videos.write_text_as_video(tmp_path / "list.mp4")
    with pytest.raises(NotAVideo, match=r"list\.mp4"):
        next(decode_clip(Clip("v", text)))
    with pytest.raises(SourceNotFound, match=r"missing\.mp4"):
        next(decode_clip(Clip("v", tmp_path / "missing.mp4")))
    with pytest.raises(EmptyVideo):
        next(decode_clip(Clip("v", broken_videos.write_zero_frames(tmp_path / "zero.mkv"))))


def test_closing_early_ends_the_decoder_threads(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(25), frames=60)
    before = threading.active_count()
    frames = decode_clip(Clip("v", path))
    held = next(frames)
    frames.close()  # type: ignore[attr-defined]  # it is a generator
    assert read_number(held.to_rgb()) == 0
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("times_ms", "t_s"), [((None, None), [0, 0]), ((1500, 3500), [Fraction(3, 2), Fraction(7, 2)])]
)
def test_images_of_a_folder_have_an_index_and_a_time_only_if_their_files_have_one(
    times_ms: tuple[int | None, ...], t_s: list[Fraction], tmp_path: Path
) -> None:
    files = []
    for position, pts_ms in zip((3, 7), times_ms, strict=True):
        path = tmp_path / f"p{position}.png"
        write_png(path, draw_number(position))
        files.append(ImageFile(position, path, pts_ms=pts_ms))
    decoded = list(decode_clip(Clip("album", images=tuple(files))))
    assert [(d.index, d.name, read_number(d.to_rgb())) for d in decoded] == [
        (3, "p3.png", 3),
        (7, "p7.png", 7),
    ]
    assert tuple(d.pts_ms for d in decoded) == times_ms
    assert [d.t for d in decoded] == t_s


def write_png(path: Path, rgb: videos.Image) -> None:
    from PIL import Image

    Image.fromarray(rgb).save(path)


@pytest.mark.shared
def test_reordered_frames_of_the_pets_video_lie_a_tenth_of_a_second_apart(shared: Path) -> None:
    clip = Clip("pets", shared / "data/pets2009_s2l1/vtest.avi")
    frames = [(d.t, d.scaled_luma(64)) for d in decode_clip(clip)]
    assert [t for t, _ in frames] == [Fraction(i, 10) for i in range(795)]
    levels = [luma.astype(int) for _, luma in frames]
    steps = [np.abs(a - b).mean() for a, b in pairwise(levels)]
    jumps = [np.abs(a - b).mean() for a, b in zip(levels, levels[2:], strict=False)]
    assert np.median(steps) < np.median(jumps)  # in the order in which people walk
    part = list(decode_clip(Clip("pets", clip.path, Fraction(30), Fraction(31))))
    assert [np.array_equal(d.scaled_luma(64), frames[300 + i][1]) for i, d in enumerate(part)] == [True] * 10


@pytest.mark.parametrize(("t_s", "expected"), [(Fraction(1001, 30000), 33), (Fraction(1, 400), 2)])
def test_times_are_rounded_to_milliseconds(t_s: Fraction, expected: int) -> None:
    assert to_ms(t_s) == expected
