"""What replaces the background in a composite."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.errors import ConfigError
from labeling.matting.replacement import open_replacement
from tests.fakes.broken_videos import write_text_as_video, write_zero_frames
from tests.fakes.videos import read_number, write_numbered_video

FRAME = np.zeros((40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "rgb"), [("green", (0, 128, 0)), ("#00b140", (0, 177, 64)), ("rgb(1, 2, 3)", (1, 2, 3))]
)
def test_a_color_fills_the_frame(name: str, rgb: tuple[int, int, int]) -> None:
    assert (open_replacement(name)(FRAME) == rgb).all()


def test_blur_keeps_the_size_and_the_mean_of_the_smallest_frames() -> None:
    for size_hw in ((16, 16), (17, 31), (360, 640)):
        frame = np.full((*size_hw, 3), 77, dtype=np.uint8)
        assert np.array_equal(open_replacement("blur")(frame), frame)


def test_a_picture_covers_the_frame_from_its_middle(tmp_path: Path) -> None:
    wide = np.zeros((40, 180, 3), dtype=np.uint8)
    wide[:, 60:120] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    behind = open_replacement(str(tmp_path / "wide.png"))
    assert (behind(FRAME) == 200).all()
    assert behind(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30, 3)  # another size after the first


def test_a_picture_of_a_phone_is_turned_upright(tmp_path: Path) -> None:
    stored = np.zeros((60, 40, 3), dtype=np.uint8)
    stored[:30] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    Image.fromarray(stored).save(tmp_path / "phone.png", exif=exif)
    behind = open_replacement(str(tmp_path / "phone.png"))(FRAME)
    assert behind[:, :20].max() == 0
    assert behind[:, 40:].min() == 255


def test_a_video_starts_again_at_its_end(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "short.mp4", fps=Fraction(10), frames=3)
    behind = open_replacement(str(path))
    frame = np.zeros((96, 144, 3), np.uint8)
    assert [read_number(behind(frame)) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    "name", ["greeen", "", "no/such/file.png", "~nobody-here/x.png", "a\0b", "x" * 300, "."]
)
def test_what_is_neither_a_color_nor_a_file_is_wrong_use(name: str) -> None:
    with pytest.raises(ConfigError, match="neither a color"):
        open_replacement(name)


def test_a_file_without_images_is_wrong_use(tmp_path: Path) -> None:
    for path in (write_text_as_video(tmp_path / "text.mp4"), write_zero_frames(tmp_path / "zero.mp4")):
        with pytest.raises(ConfigError, match="neither a picture nor a video"):
            open_replacement(str(path))
