"""The images of a time range, small and at a steady pace."""

from fractions import Fraction
from pathlib import Path

from labeling.structures.frames import Clip
from labeling.tracking.frame_strip import MOST_IMAGES, clip_around, read_strip, shrink
from tests.fakes.videos import draw_number, read_number, write_numbered_video


def test_a_strip_has_the_frames_asked_for_and_others_between(tmp_path: Path) -> None:
    video = write_numbered_video(tmp_path / "a.mp4", fps=Fraction(50), frames=60)
    clip = clip_around(Clip("v", video), from_ms=200, to_ms=400)
    strip = read_strip(clip, keep_ms={200, 260, 400})
    assert [image.pts_ms for image in strip] == [200, 240, 260, 300, 340, 380, 400]
    assert [read_number(image.rgb) for image in strip] == [10, 12, 13, 15, 17, 19, 20]


def test_a_long_strip_has_longer_steps(tmp_path: Path) -> None:
    video = write_numbered_video(tmp_path / "a.mp4", fps=Fraction(30), frames=150, size_hw=(48, 72))
    strip = read_strip(clip_around(Clip("v", video), from_ms=0, to_ms=4967), keep_ms={0, 4967})
    assert 40 < len(strip) <= MOST_IMAGES + 2
    assert (strip[0].pts_ms, strip[-1].pts_ms) == (0, 4967)


def test_wide_images_are_shrunk_and_narrow_ones_are_not() -> None:
    assert shrink(draw_number(3, (720, 1280))).shape == (360, 640, 3)
    assert shrink(draw_number(3)).shape == (96, 144, 3)
