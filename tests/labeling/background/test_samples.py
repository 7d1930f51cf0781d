"""Sample images of a clip: their times, and the frames that are read."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from labeling.background.samples import read_samples, sample_frames, sample_times, widen_range
from labeling.structures.frames import Clip
from tests.fakes.videos import Coding, read_number, write_numbered_video
from tests.labeling.segmenters.images import VIDEO_ID, save_images


def test_sample_times_are_the_middles_of_equal_parts() -> None:
    assert sample_times(Fraction(10), Fraction(18), 4) == [11, 13, 15, 17]


@pytest.mark.parametrize(
    ("start", "end", "duration", "expected"),
    [
        (100, 160, 600, (70, 190)),  # widened around its middle
        (0, 60, 600, (0, 120)),
        (570, 600, 600, (480, 600)),
        (0, 20, 20, (0, 20)),  # the video has no more
        (5, 10, 20, (0, 20)),
        (100, 300, 600, (100, 300)),  # long enough
        (100, None, 600, (100, 600)),
    ],
)
def test_short_ranges_are_widened_within_the_video(
    start: int, end: int | None, duration: int, expected: tuple[int, int]
) -> None:
    end_s = None if end is None else Fraction(end)
    clip = Clip(VIDEO_ID, Path("x.mp4"), start_s=Fraction(start), end_s=end_s)
    assert tuple(int(t) for t in widen_range(clip, Fraction(duration))) == expected


def test_samples_of_a_video_are_the_frames_at_their_times(tmp_path: Path) -> None:
    video = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(10), frames=100)
    shown = [read_number(rgb) for rgb in read_samples(Clip(VIDEO_ID, video), 10)]
    assert shown == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]


@pytest.mark.slow
def test_samples_far_apart_are_found_by_seeking(tmp_path: Path) -> None:
    coding = Coding(options={"g": "10"})
    video = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(1), frames=160, coding=coding)
    clip = Clip(VIDEO_ID, video, start_s=Fraction(0), end_s=Fraction(160))
    assert [read_number(rgb) for rgb in read_samples(clip, 8)] == [10, 30, 50, 70, 90, 110, 130, 150]


def test_a_video_of_one_frame_gives_it_once(tmp_path: Path) -> None:
    video = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(10), frames=1)
    assert [read_number(rgb) for rgb in read_samples(Clip(VIDEO_ID, video), 8)] == [0]


def test_rotated_videos_give_upright_samples(tmp_path: Path) -> None:
    coding = Coding(rotation_deg=90)
    video = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(10), frames=20, coding=coding)
    assert [read_number(rgb) for rgb in read_samples(Clip(VIDEO_ID, video), 4)] == [3, 8, 13, 18]


def test_samples_of_a_folder_are_spread_over_its_images(tmp_path: Path) -> None:
    clip = save_images([np.full((16, 16, 3), value, dtype=np.uint8) for value in range(0, 200, 2)], tmp_path)
    assert [int(rgb[0, 0, 0]) for rgb in read_samples(clip, 12)] == [
        0, 18, 36, 54, 72, 90, 108, 126, 144, 162, 180, 198,
    ]  # fmt: skip


def test_sampled_frames_are_spread_over_the_clip_alone(tmp_path: Path) -> None:
    video = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(10), frames=100)
    clip = Clip(VIDEO_ID, video, start_s=Fraction(2), end_s=Fraction(4))
    frames = list(sample_frames(clip, 5))
    assert [read_number(frame.rgb) for frame in frames] == [20, 24, 28, 32, 36]
    assert [frame.key for frame in frames] == [2000, 2400, 2800, 3200, 3600]


@pytest.mark.parametrize("count", [12, 13, 30, 1000])
def test_all_frames_of_a_short_video_are_sampled_once(tmp_path: Path, count: int) -> None:
    video = write_numbered_video(tmp_path / "v.mp4", fps=Fraction(30000, 1001), frames=12)
    shown = [read_number(frame.rgb) for frame in sample_frames(Clip(VIDEO_ID, video), count)]
    assert shown == list(range(12))


def test_sampled_images_of_a_folder_have_their_index_and_name(tmp_path: Path) -> None:
    clip = save_images([np.full((16, 16, 3), value, dtype=np.uint8) for value in range(10)], tmp_path)
    clip.images[3].path.write_bytes(b"no image")
    frames = list(sample_frames(clip, 4))
    assert [(frame.index, frame.name) for frame in frames] == [
        (0, "0000.png"),
        (6, "0006.png"),
        (9, "0009.png"),
    ]
