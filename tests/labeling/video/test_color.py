"""Luma and RGB of decoded frames, against the formulas of their color standards."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from labeling.video.color import VideoImage, turn_upright, upright_hw
from labeling.video.encode import VideoWriter
from tests.fakes.videos import Coding, draw_number, read_number, write_numbered_video

BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)
ORANGE = (200, 60, 30)


def yuv_of(
    rgb: tuple[int, int, int], kr_kb: tuple[float, float], *, full: bool = False
) -> tuple[int, int, int]:
    """ITU-R BT.601 and BT.709: 8-bit Y'CbCr of an 8-bit R'G'B'."""
    kr, kb = kr_kb
    r, g, b = (value / 255 for value in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    luma, chroma = (255, 255) if full else (219, 224)
    return round((0 if full else 16) + luma * y), round(128 + chroma * u), round(128 + chroma * v)


def plain_frame(
    levels: tuple[int, int, int], size_hw: tuple[int, int], pix_fmt: str = "yuv420p"
) -> av.VideoFrame:
    frame = av.VideoFrame(size_hw[1], size_hw[0], pix_fmt)
    for plane, level in zip(frame.planes, levels, strict=True):
        plane.update(bytes([level]) * plane.buffer_size)
    return frame


@pytest.mark.parametrize(
    ("size_hw", "matrix", "tag"),
    [
        ((480, 640), BT601, None),
        ((576, 720), BT601, None),
        ((720, 1280), BT709, None),
        ((1280, 720), BT709, None),
        ((480, 640), BT709, Colorspace.ITU709),
        ((720, 1280), BT601, Colorspace.ITU601),
    ],
)
def test_colors_follow_the_stated_matrix_or_else_the_size(
    size_hw: tuple[int, int], matrix: tuple[float, float], tag: Colorspace | None
) -> None:
    frame = plain_frame(yuv_of(ORANGE, matrix), size_hw)
    if tag is not None:
        frame.colorspace = tag
    rgb = VideoImage(frame).to_rgb()
    assert np.abs(rgb.astype(int) - ORANGE).max() <= 2


@pytest.mark.parametrize("pix_fmt", ["yuvj420p", "yuv420p"])
def test_the_full_range_is_not_stretched(pix_fmt: str) -> None:
    frame = plain_frame(yuv_of(ORANGE, BT601, full=True), (96, 128), pix_fmt)
    if pix_fmt == "yuv420p":
        frame.color_range = ColorRange.JPEG
    image = VideoImage(frame)
    assert np.abs(image.to_rgb().astype(int) - ORANGE).max() <= 2
    assert abs(int(image.scaled_luma(64)[0, 0]) - 98) <= 1


FORMATS = (
    "yuv420p", "yuvj420p", "yuv422p10le", "yuv420p12le", "yuv444p16le", "yuv420p10be", "p010le", "nv12",
    "yuyv422", "uyvy422", "gray", "gray10le", "ya8", "rgb24", "bgr0", "gbrp", "gbrp10le", "rgb48be",
    "yuva420p", "yuv411p",
)  # fmt: skip


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_a_gray_ramp_is_the_same_in_every_pixel_format(pix_fmt: str) -> None:
    ramp = np.tile(np.arange(0, 250, 10, dtype=np.uint8).repeat(4), (48, 1))
    source = av.VideoFrame.from_ndarray(np.repeat(ramp[:, :, None], 3, axis=2), format="rgb24")
    image = VideoImage(source.reformat(format=pix_fmt))
    centers = ramp[5, 2::4].astype(int)
    rgb, luma = image.to_rgb(), image.scaled_luma(640)
    assert np.abs(rgb[5, 2::4].astype(int) - centers[:, None]).max() <= 2
    assert np.abs(luma[5, 2::4].astype(int) - centers).max() <= 2
    assert rgb.flags.c_contiguous
    assert rgb.flags.owndata


def test_a_palette_becomes_colors() -> None:
    levels = draw_number(77)[:, :, 0]
    palette = np.zeros((256, 4), np.uint8)
    palette[1], palette[2] = (255, 200, 200, 210), (255, 40, 30, 20)  # alpha, red, green, blue
    image = np.where(levels > 127, 1, 2).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(cast(Any, (image, palette)), format="pal8")
    rgb = VideoImage(frame).to_rgb()
    assert read_number(rgb) == 77
    assert np.array_equal(np.unique(rgb.reshape(-1, 3), axis=0), [[40, 30, 20], [200, 200, 210]])
    assert VideoImage(frame).scaled_luma(72).shape == (48, 72)


def test_one_bit_images_are_read() -> None:
    frame = av.VideoFrame.from_ndarray(draw_number(9), format="rgb24").reformat(format="monob")
    image = VideoImage(frame)
    assert image.scaled_luma(72).shape == (48, 72)
    assert image.to_rgb().shape == (96, 144, 3)


TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    0: lambda p: p,
    90: lambda p: np.rot90(p, -1),
    180: lambda p: np.rot90(p, 2),
    270: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_all_eight_display_matrices_turn_the_stored_image_as_players_do(
    rotation_deg: int, mirrored: bool, tmp_path: Path
) -> None:
    coding = Coding("ffv1", pix_fmt="bgr0", rotation_deg=rotation_deg, mirrored=mirrored)
    path = write_numbered_video(
        tmp_path / "v.mp4", fps=Fraction(25), frames=1, size_hw=(96, 144), coding=coding
    )
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        stored = frame.to_ndarray(format="rgb24").astype(np.uint8)
        expected = TURNS[rotation_deg](stored)
        expected = expected[:, ::-1] if mirrored else expected
        assert np.array_equal(turn_upright(stored, frame), expected)
        assert read_number(VideoImage(frame).to_rgb()) == 0
        assert upright_hw(frame) == (96, 144)
        assert VideoImage(frame).scaled_luma(72).shape == (48, 72)


def test_scaled_luma_averages_areas_and_never_enlarges() -> None:
    board = np.zeros((64, 128, 3), np.uint8)
    board[:, 1::2] = 255
    image = VideoImage(av.VideoFrame.from_ndarray(board, format="rgb24"))
    assert set(np.unique(image.scaled_luma(64))) <= {127, 128}
    assert image.scaled_luma(640).shape == (64, 128)


def test_written_videos_state_all_of_their_colors(tmp_path: Path) -> None:
    """Browsers guess the primaries, the curve and the matrix together where one of them is missing."""
    green = np.full((96, 144, 3), (0, 177, 64), dtype=np.uint8)
    with VideoWriter(tmp_path / "v.mp4", fps=Fraction(5), size_hw=(96, 144)) as writer:
        writer.write(green)
    with av.open(str(tmp_path / "v.mp4")) as container:
        codec = container.streams.video[0].codec_context
        stated = (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range)
        (frame,) = container.decode(video=0)
    assert stated == (1, 1, 1, 1)  # BT.709 three times, and the limited range
    assert np.abs(VideoImage(frame).to_rgb().astype(int) - green).max() <= 3
