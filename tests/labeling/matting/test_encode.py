"""The videos of a matte: times, sound and alpha."""

import errno
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from configs.errors import DiskFull, StorageError
from labeling.matting.encode import _writing, compose, write_alpha_video, write_composite
from labeling.matting.output import MatteFolder
from labeling.matting.replacement import open_replacement
from labeling.structures.frames import Clip
from labeling.video.decode import decode_clip
from tests.fakes.mattes import add_beeps, beeps_in, times_of, walking_box, write_walk
from tests.fakes.videos import Coding

FRAMES = 20


def ignore(done: int) -> None:
    """For tests that need no reports."""


def matted(video: Path, folder: Path) -> tuple[Clip, MatteFolder, int]:
    """A folder with a matte in which the person of the walk is cut out exactly."""
    clip, made, count = Clip(video.stem, video), MatteFolder(folder), 0
    made.create()
    for count, decoded in enumerate(decode_clip(clip), start=1):
        rgb = decoded.to_rgb()
        x, y, w, h = walking_box(count - 1, (rgb.shape[0], rgb.shape[1]))
        alpha = np.zeros(rgb.shape[:2], dtype=np.uint8)
        alpha[y : y + h, x : x + w] = 255
        made.write_image(f"alpha/{count - 1:05d}.png", alpha)
        made.write_image(f"foreground/{count - 1:05d}.png", np.where(alpha[..., None] > 0, rgb, 0)[..., ::-1])
    return clip, made, count


def composite(video: Path, folder: Path, background: str = "#0000ff") -> Path:
    clip, made, count = matted(video, folder)
    write_composite(clip, made, open_replacement(background), count, ignore)
    return made.root / "composite.mp4"


def test_a_composite_shows_the_person_over_the_background_and_a_preview_opens(tmp_path: Path) -> None:
    made = composite(write_walk(tmp_path / "walk.mp4", frames=FRAMES), tmp_path / "out")
    with av.open(str(made)) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(images) == FRAMES
    x, y, w, h = walking_box(10)
    person, outside = images[10][y + h // 2, x + w // 2], images[10][4, 4]
    assert person[0] > 150
    assert person[2] < 80
    assert outside[2] > 200
    assert outside[0] < 40
    with Image.open(tmp_path / "out" / "preview.webp") as preview:
        assert preview.format == "WEBP"
        assert getattr(preview, "n_frames", 1) > 1


def test_times_of_a_variable_rate_are_kept(tmp_path: Path) -> None:
    stamps = [500, 533, 600, 601, 900, 1700, 1733, 4000]
    video = write_walk(tmp_path / "vfr.mkv", frames=8, pts=stamps)
    made = composite(video, tmp_path / "out")
    assert [round(t * 1000) for t in times_of(made)] == [stamp - 500 for stamp in stamps]


@pytest.mark.parametrize("size_hw", [(16, 16), (17, 31), (63, 97)])
def test_odd_sizes_lose_a_row_or_column(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    video = write_walk(
        tmp_path / "odd.mkv", frames=4, size_hw=size_hw, coding=Coding(codec="ffv1", pix_fmt="bgr0")
    )
    made = composite(video, tmp_path / "out", "blur")
    with av.open(str(made)) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == (size_hw[0] // 2 * 2, size_hw[1] // 2 * 2)
        assert sum(1 for _ in container.decode(stream)) == 4


def test_a_turned_video_is_written_upright(tmp_path: Path) -> None:
    video = write_walk(tmp_path / "turned.mp4", frames=4, coding=Coding(rotation_deg=90))
    with av.open(str(composite(video, tmp_path / "out"))) as container:
        frame = next(container.decode(video=0))
        assert (frame.height, frame.width, frame.rotation) == (64, 96, 0)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [48_000, 22_050])
def test_the_sound_is_kept_and_in_time(tmp_path: Path, rate: int) -> None:
    video = write_walk(tmp_path / "silent.mp4", frames=FRAMES)
    with_sound = add_beeps(video, tmp_path / "beeps.mp4", [0.3, 1.2, 1.7], seconds=2, rate=rate)
    before = beeps_in(with_sound)
    assert before == pytest.approx([0.3, 1.2, 1.7], abs=0.03)
    made = composite(with_sound, tmp_path / "out")
    assert beeps_in(made) == pytest.approx(before, abs=0.03)
    with av.open(str(made)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def test_the_sound_of_a_video_whose_first_frame_is_late_stays_in_time(tmp_path: Path) -> None:
    video = write_walk(tmp_path / "late.mp4", frames=10, pts=[500 + 100 * i for i in range(10)])
    with_sound = add_beeps(video, tmp_path / "beeps.mp4", [0.2, 0.9, 1.3], seconds=2)
    after = beeps_in(composite(with_sound, tmp_path / "out"))
    assert after == pytest.approx([0.4, 0.8], abs=0.03)  # the first beep is before the first frame


def test_a_silent_video_gives_a_silent_composite(tmp_path: Path) -> None:
    with av.open(str(composite(write_walk(tmp_path / "walk.mp4", frames=4), tmp_path / "out"))) as container:
        assert len(container.streams.audio) == 0


@pytest.mark.parametrize(("kind", "decoder"), [("webm", "libvpx-vp9"), ("mov", "prores")])
def test_videos_for_editors_have_alpha(tmp_path: Path, kind: str, decoder: str) -> None:
    clip, made, count = matted(write_walk(tmp_path / "walk.mp4", frames=6), tmp_path / "walk")
    write_alpha_video(clip, made, kind, count, ignore)
    path = made.root / f"walk.{kind}"
    codec: av.VideoCodecContext = av.CodecContext.create(decoder, "r")  # type: ignore[assignment]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.codec_context.extradata:
            codec.extradata = stream.codec_context.extradata
        codec.width, codec.height = stream.width, stream.height
        frames = [
            frame
            for packet in container.demux(stream)
            for frame in codec.decode(packet if packet.size else None)
        ]
    assert len(frames) == count
    assert [round(t * 10) for t in times_of(path)] == list(range(count))
    rgba = frames[5].to_ndarray(format="rgba")
    x, y, w, h = walking_box(5)
    assert rgba[y + h // 2, x + w // 2, 3] > 240
    assert rgba[4, 4, 3] < 15


def test_compose_mixes_by_alpha_and_keeps_full_pixels_exactly() -> None:
    frame = np.full((1, 3, 3), 100, np.uint8)
    foreground = np.full((1, 3, 3), 90, np.uint8)
    behind = np.full((1, 3, 3), 10, np.uint8)
    mixed = compose(frame, foreground, np.array([[0, 51, 255]], np.uint8), behind)
    assert mixed[0, :, 0].tolist() == [10, 26, 100]


def test_each_frame_is_reported_and_may_stop_the_work(tmp_path: Path) -> None:
    clip, made, count = matted(write_walk(tmp_path / "walk.mp4", frames=8), tmp_path / "out")
    seen: list[int] = []

    def stop(done: int) -> None:
        seen.append(done)
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_composite(clip, made, open_replacement("blur"), count, stop)
    assert seen == [1, 2, 3, 4, 5]
    assert not list(made.root.glob("*composite*"))


@pytest.mark.parametrize(("code", "expected"), [(errno.ENOSPC, DiskFull), (errno.EIO, StorageError)])
def test_a_full_disk_leaves_no_half_video(tmp_path: Path, code: int, expected: type[StorageError]) -> None:
    target = tmp_path / "composite.mp4"
    with pytest.raises(expected), _writing(target, "mp4"):
        raise OSError(code, "no")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError), _writing(tmp_path / "missing" / "composite.mp4", "mp4"):
        pass
