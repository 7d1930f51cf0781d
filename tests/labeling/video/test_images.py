"""Images of all kinds, read as upright RGB or refused."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from configs.errors import NotAVideo, SourceNotFound, UnsupportedVideo
from labeling.structures.frames import RgbImage
from labeling.video.images import FileImage, find_levels, read_image
from tests.fakes.videos import draw_number, read_number

NUMBER = 1234


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied_once(orientation: int, tmp_path: Path) -> None:
    turns: dict[int, Callable[[RgbImage], RgbImage]] = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: np.rot90(p, 2),
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1),  # shown after a quarter turn clockwise
        7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
        8: lambda p: np.rot90(p, -1),
    }
    stored = Image.fromarray(np.ascontiguousarray(turns[orientation](draw_number(NUMBER))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "p.jpg", exif=exif, quality=95)
    rgb = read_image(tmp_path / "p.jpg")
    assert rgb.shape == (96, 144, 3)
    assert read_number(rgb) == NUMBER


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_pixel_format_becomes_rgb(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(draw_number(NUMBER))
    if mode == "I;16":
        image = Image.fromarray(draw_number(NUMBER)[:, :, 0].astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    path = tmp_path / ("p.tif" if mode == "CMYK" else "p.png")
    image.save(path)
    rgb = read_image(path)
    assert rgb.shape == (96, 144, 3)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert read_number(rgb) == NUMBER


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 64 * 32).astype(np.uint16).reshape(32, 64)
    Image.fromarray(levels).save(tmp_path / "p.png")
    assert np.array_equal(read_image(tmp_path / "p.png")[:, :, 1], levels // 256)


def test_a_palette_with_transparency_is_read(tmp_path: Path) -> None:
    image = Image.fromarray(draw_number(NUMBER)).convert("P")
    image.save(tmp_path / "p.png", transparency=bytes([0, 128, 255]))
    assert read_number(read_image(tmp_path / "p.png")) == NUMBER


def test_a_truncated_image_is_unreadable_not_half_gray(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 144, 3), dtype=np.uint8)
    for name in ("p.jpg", "p.png"):
        path = tmp_path / name
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:6000])
        with pytest.raises(NotAVideo, match=name):
            read_image(path)


def test_a_file_that_is_no_image_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("text.jpg", "empty.png"):
        with pytest.raises(NotAVideo, match=name):
            read_image(tmp_path / name)
    with pytest.raises(SourceNotFound, match=r"gone\.png"):
        read_image(tmp_path / "gone.png")
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(tmp_path / "dot.png")
    with pytest.raises(UnsupportedVideo, match="1x1 px"):
        read_image(tmp_path / "dot.png")


def test_luma_of_an_image_is_scaled_like_that_of_a_frame(tmp_path: Path) -> None:
    Image.fromarray(draw_number(NUMBER)).save(tmp_path / "p.png")
    image = FileImage(tmp_path / "p.png")
    assert image.scaled_luma(72).shape == (48, 72)
    assert image.scaled_luma(640).shape == (96, 144)
    assert image.to_rgb() is image.to_rgb()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colors_of_twelve_bits_are_not_black(tmp_path: Path, suffix: str) -> None:
    colors = np.random.default_rng(0).integers(0, 4096, (32, 32, 3), np.uint16)
    dark = colors // 8
    for name, values in (("bright", colors), ("dark", dark), ("whole", colors * 16)):
        assert cv2.imwrite(str(tmp_path / f"{name}{suffix}"), values[:, :, ::-1])
    files = [tmp_path / f"bright{suffix}", tmp_path / f"dark{suffix}"]
    levels = find_levels(files)
    assert levels == (0, 4095)
    assert np.array_equal(read_image(files[0], levels), colors // 16)
    assert np.array_equal(read_image(files[1], levels), dark // 16), (
        "of one set: as dark beside the bright one"
    )
    assert read_image(files[1]).max() > 100, "by itself: its own depth"
    assert cv2.imwrite(str(tmp_path / f"bytes{suffix}"), colors[:, :, ::-1] // 16)
    assert np.array_equal(read_image(tmp_path / f"bytes{suffix}"), colors // 16), "8 bits in 16"
    whole = tmp_path / f"whole{suffix}"
    assert find_levels([whole]) == (0, 65535)
    assert np.array_equal(read_image(whole), colors // 16)
