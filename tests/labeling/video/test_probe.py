"""Properties of video files, and every way in which a file can be unusable."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from configs.errors import (
    EmptyVideo,
    NotAVideo,
    SourceError,
    SourceNotFound,
    TruncatedVideo,
    UnsupportedVideo,
)
from labeling.video.probe import VideoFacts, probe_video
from tests.fakes import broken_videos, videos
from tests.fakes.videos import Coding, draw_number, write_numbered_video

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_facts_are_those_that_were_planted(rotation_deg: int, tmp_path: Path) -> None:
    coding = Coding(pix_fmt="yuv420p10le", rotation_deg=rotation_deg)
    path = write_numbered_video(tmp_path / "v.mp4", fps=NTSC, frames=45, size_hw=(96, 144), coding=coding)
    assert probe_video(path) == VideoFacts(duration_s=45 / NTSC, size_hw=(96, 144), fps=NTSC, codec="h264")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts", "v.avi", "v.mov", "v.flv"])
def test_the_duration_ends_with_the_last_frame_in_every_container(name: str, tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / name, fps=Fraction(25), frames=200)
    assert probe_video(path).duration_s == pytest.approx(8, abs=0.0011)


def test_an_undeclared_duration_is_measured(tmp_path: Path) -> None:
    raw = write_numbered_video(
        tmp_path / "v.h264", fps=Fraction(25), frames=50, coding=Coding(container_format="h264")
    )
    assert probe_video(raw).duration_s == 2
    live = write_numbered_video(
        tmp_path / "v.mkv", fps=Fraction(25), frames=50, coding=Coding(container_options={"live": "1"})
    )
    with av.open(str(live)) as container:
        assert container.duration is None
    assert probe_video(live).duration_s == pytest.approx(2, abs=0.0011)


def test_interlaced_and_animated_files_are_videos(tmp_path: Path) -> None:
    assert probe_video(videos.write_interlaced_video(tmp_path / "v.mp4")).codec == "h264"
    gif = write_numbered_video(
        tmp_path / "v.gif", fps=Fraction(25), frames=50, coding=Coding("gif", pix_fmt="rgb8")
    )
    assert probe_video(gif).duration_s == 2


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(25), frames=1)
    assert probe_video(path).duration_s == Fraction(1, 25)


def write_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def write_image(path: Path) -> Path:
    from PIL import Image

    Image.fromarray(draw_number(7)).save(path)
    return path


def write_playlist(path: Path) -> Path:
    """A script that would open another file."""
    other = write_numbered_video(path.parent / "other.mp4", fps=Fraction(25), frames=5)
    path.write_text(f"ffconcat version 1.0\nfile {other.name}\n")
    return path


def write_song_with_cover(path: Path) -> Path:
    song = broken_videos.write_sound_only(path.parent / "song.mp4")
    with av.open(str(song)) as source, av.open(str(path), "w") as target:
        sound = target.add_stream_from_template(source.streams.audio[0])
        cover = target.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        target.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")))
        target.mux(cover.encode(None))
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = sound
                target.mux(packet)
    return path


BAD: dict[str, tuple[Callable[[Path], Path], type[SourceError]]] = {
    "a missing file": (lambda d: d / "missing.mp4", SourceNotFound),
    "a folder": (lambda d: d, SourceNotFound),
    "no bytes": (lambda d: write_bytes(d / "v.mp4", b""), EmptyVideo),
    "text": (lambda d: broken_videos.write_text_as_video(d / "v.mp4"), NotAVideo),
    "text named as text": (lambda d: broken_videos.write_text_as_video(d / "v.txt"), NotAVideo),
    "noise": (lambda d: write_bytes(d / "v.mp4", np.random.default_rng(0).bytes(5000)), NotAVideo),
    "an image": (lambda d: write_image(d / "p.png"), NotAVideo),
    "an image named as a video": (lambda d: write_image(d / "p.jpg").rename(d / "p.mp4"), NotAVideo),
    "a script that opens other files": (lambda d: write_playlist(d / "v.mp4"), NotAVideo),
    "sound": (lambda d: broken_videos.write_sound_only(d / "v.mp4"), NotAVideo),
    "a song with a cover": (lambda d: write_song_with_cover(d / "v.mp4"), NotAVideo),
    "no frame in mp4": (lambda d: broken_videos.write_zero_frames(d / "v.mp4"), EmptyVideo),
    "no frame in mkv": (lambda d: broken_videos.write_zero_frames(d / "v.mkv"), EmptyVideo),
    "mp4 cut before its index": (
        lambda d: broken_videos.write_truncated(d / "v.mp4", faststart=False),
        TruncatedVideo,
    ),
    "mp4 cut after its index": (
        lambda d: broken_videos.write_truncated(d / "v.mp4", faststart=True),
        TruncatedVideo,
    ),
    "mp4 without its last byte": (
        lambda d: broken_videos.write_truncated(d / "v.mp4", faststart=True, share=0.9999),
        TruncatedVideo,
    ),
    "one pixel": (lambda d: broken_videos.write_single_pixel(d / "v.mkv"), UnsupportedVideo),
    "encrypted": (lambda d: broken_videos.write_encrypted(d / "v.mp4"), UnsupportedVideo),
}


@pytest.mark.parametrize("kind", BAD)
def test_an_unusable_file_raises_the_right_error_with_its_name(kind: str, tmp_path: Path) -> None:
    make, error = BAD[kind]
    path = make(tmp_path)
    with pytest.raises(SourceError) as caught:
        probe_video(path)
    assert type(caught.value) is error
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["v.mkv", "v.avi"])
def test_truncated_files_of_other_containers_are_reported(name: str, tmp_path: Path) -> None:
    coding = Coding(options={"g": "12", "qp": "2"})
    path = write_numbered_video(tmp_path / name, fps=Fraction(25), frames=200, coding=coding)
    content = path.read_bytes()
    write_bytes(path, content[: len(content) * 6 // 10])
    with pytest.raises(TruncatedVideo, match=r"fetch it again"):
        probe_video(path)


def test_a_video_shorter_than_its_sound_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 144, "yuv420p"
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for block in range(60):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate, silence.pts = 8000, block * 1024
            container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    with av.open(str(path)) as container:
        assert (container.duration or 0) > 7e6
    assert probe_video(path).duration_s == pytest.approx(2, abs=0.0011)


@pytest.mark.shared
def test_the_real_clips_have_the_facts_of_their_sources(shared: Path) -> None:
    pets = probe_video(shared / "data/pets2009_s2l1/vtest.avi")
    assert pets.duration_s == Fraction(795, 10)
    assert (pets.size_hw, pets.fps) == ((360, 480), Fraction(10))
    bedroom = probe_video(shared / "data/clips/sam2_bedroom.mp4")
    assert bedroom.duration_s == Fraction(20, 3)
    assert (bedroom.size_hw, bedroom.fps) == ((540, 960), Fraction(30))
