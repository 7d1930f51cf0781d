"""Videos whose frames show their own numbers, readable after lossy coding.

The number is drawn as a grid of black and white cells that fills the upright image: 12 bits in the
upper half, the same bits in another pattern in the lower half. An image that is turned, mirrored or
mixed of two frames is therefore an error, not another number.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Target = TypeVar("Target", Path, IO[bytes])

ROWS, COLUMNS = 4, 6
NUMBER_BITS = ROWS * COLUMNS // 2
CHECK_PATTERN = np.array([[0, 0, 0, 1, 0, 1], [1, 0, 0, 1, 1, 1]], dtype=bool)
"""Lower half = upper half XOR this pattern, which changes when it is mirrored or its rows are exchanged."""
KEY_FRAME_EVERY = 10
"""Of `encode_numbers`."""


@dataclass(frozen=True)
class Coding:
    """How a numbered video is stored."""

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    container_format: str | None = None
    container_options: dict[str, str] = field(default_factory=dict)
    rotation_deg: int = 0
    """Clockwise turn with which a player shows the stored image upright."""
    mirrored: bool = False
    """The display matrix mirrors left-right after turning, as some front cameras write it."""
    interlaced: bool = False
    colorspace: int | None = None
    color_range: int | None = None


def draw_number(number: int, size_hw: tuple[int, int] = (96, 144)) -> Image:
    """Draw `number` (0 to 4095) as an upright HxWx3 image."""
    if not 0 <= number < 1 << NUMBER_BITS:
        raise ValueError(f"{number} does not fit in {NUMBER_BITS} bits")
    upper = np.array([number >> bit & 1 for bit in range(NUMBER_BITS)], dtype=bool).reshape(2, COLUMNS)
    cells = np.vstack([upper, upper ^ CHECK_PATTERN]).astype(np.uint8) * 190 + 32
    height, width = size_hw
    rows = np.arange(height) * ROWS // height
    columns = np.arange(width) * COLUMNS // width
    return np.repeat(cells[rows][:, columns][:, :, None], 3, axis=2)


def read_number(rgb: Image) -> int:
    """Read a drawn number back.

    Raises:
        ValueError: The image is turned, mirrored or a mixture of two.
    """
    height, width = rgb.shape[:2]
    cells = np.empty((ROWS, COLUMNS))
    for row in range(ROWS):
        for column in range(COLUMNS):
            top, left = (row * height + height // 4) // ROWS, (column * width + width // 4) // COLUMNS
            cell = rgb[top : top + max(1, height // 8), left : left + max(1, width // 12)]
            cells[row, column] = cell.mean()
    if np.any(np.abs(cells - 127) < 40):
        raise ValueError(f"cells are neither black nor white: {cells.round().tolist()}")
    bits = cells > 127
    if not np.array_equal(bits[:2] ^ CHECK_PATTERN, bits[2:]):
        raise ValueError("the two halves contradict each other: the image is turned or mirrored")
    return sum(1 << index for index, bit in enumerate(bits[:2].ravel()) if bit)


def read_numbers(path: Path) -> list[int]:
    """Read the numbers of a video's frames, in order of time."""
    with av.open(str(path)) as container:
        return [
            read_number(frame.to_ndarray(format="rgb24").astype(np.uint8))
            for frame in container.decode(video=0)
        ]


def encode_numbers(  # noqa: PLR0913 - what a video is made of, by keyword
    numbers: Sequence[int],
    *,
    fps: int = 10,
    form: str = "mp4",
    codec: str = "libx264",
    b_frames: int = 0,
    grain: int = 0,
) -> bytes:
    """Return the file of a video that shows `numbers`, with a key frame every `KEY_FRAME_EVERY` frames.

    `grain` is noise in levels of 255, which makes the file large.
    """
    file, random = io.BytesIO(), np.random.default_rng(7)
    h264 = {"crf": "20", "bf": str(b_frames), "sc_threshold": "0"} if codec == "libx264" else {}
    coding = Coding(
        codec=codec,
        pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
        options={"g": str(KEY_FRAME_EVERY), **h264},
        container_format=form,
    )

    def draw(number: int) -> Image:
        noise = random.integers(-grain, grain + 1, (64, 160, 3))
        return np.clip(draw_number(number, (64, 160)) + noise, 0, 255).astype(np.uint8)

    write_images(file, map(draw, numbers), fps=Fraction(fps), coding=coding)
    return file.getvalue()


def write_numbered_video(  # noqa: PLR0913 - what a video is made of, by keyword
    path: Path,
    *,
    fps: Fraction,
    frames: int,
    size_hw: tuple[int, int] = (96, 144),
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    coding: Coding | None = None,
) -> Path:
    """Write `frames` numbered images; `size_hw` is the upright size.

    `pts` are presentation times in units of `time_base` (default 1/1000 s) for a variable rate;
    without them frame i is shown at i / fps.
    """
    return write_images(
        path,
        (draw_number(number, size_hw) for number in range(frames)),
        fps=fps,
        pts=pts,
        time_base=time_base or (Fraction(1, 1000) if pts is not None else None),
        coding=coding,
    )


def write_interlaced_video(path: Path, *, frames: int = 10, size_hw: tuple[int, int] = (96, 144)) -> Path:
    """Write frames whose upper field shows their number and whose lower field shows the next one."""
    coding = Coding(
        options={"flags": "+ildct+ilme", "x264-params": "tff=1:qp=8"}, interlaced=True, pix_fmt="yuv420p"
    )
    return write_images(
        path,
        (weave(draw_number(i, size_hw), draw_number(i + 1, size_hw)) for i in range(frames)),
        fps=Fraction(25),
        coding=coding,
    )


def weave(upper_field: Image, lower_field: Image) -> Image:
    """Take even lines from one image and odd lines from another."""
    woven = upper_field.copy()
    woven[1::2] = lower_field[1::2]
    return woven


def write_images(  # noqa: PLR0913 - what a video is made of, by keyword
    target: Target,
    images: Iterable[Image],
    *,
    fps: Fraction,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    coding: Coding | None = None,
) -> Target:
    """Write upright RGB images as a video; the stored ones are turned as `coding` says."""
    coding = coding or Coding()
    file = str(target) if isinstance(target, Path) else target
    stored = (np.ascontiguousarray(_store(image, coding)) for image in images)
    with av.open(file, "w", format=coding.container_format, options=coding.container_options) as container:
        stream: VideoStream | None = None
        for index, image in enumerate(stored):
            if stream is None:
                stream = add_stream(container, image.shape[:2], fps, time_base, coding)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = pts[index] if pts is not None else index
            frame.time_base = time_base or 1 / fps
            container.mux(stream.encode(_convert(frame, coding)))
        if stream is not None:
            container.mux(stream.encode(None))
    return target


def _store(image: Image, coding: Coding) -> Image:
    upright = image[:, ::-1] if coding.mirrored else image
    return cast(Image, np.rot90(upright, coding.rotation_deg // 90))


def _convert(frame: av.VideoFrame, coding: Coding) -> av.VideoFrame:
    converted = frame.reformat(
        format=coding.pix_fmt, dst_colorspace=coding.colorspace, dst_color_range=coding.color_range
    )
    converted.pts, converted.time_base = frame.pts, frame.time_base
    return converted


def add_stream(
    container: Any, size_hw: tuple[int, ...], fps: Fraction, time_base: Fraction | None, coding: Coding
) -> VideoStream:
    """Add a video stream for stored images of this size."""
    stream = cast(VideoStream, container.add_stream(coding.codec, rate=fps, options=dict(coding.options)))
    stream.height, stream.width = size_hw
    stream.pix_fmt = coding.pix_fmt
    stream.codec_context.time_base = time_base or 1 / fps
    if coding.colorspace is not None:
        stream.codec_context.colorspace = coding.colorspace
    if coding.color_range is not None:
        stream.codec_context.color_range = coding.color_range
    if coding.rotation_deg or coding.mirrored:
        stream.set_display_rotation(-coding.rotation_deg, hflip=coding.mirrored)
    return stream


def write_scene_cuts(
    path: Path, scenes: Sequence[Callable[[int], Image]], *, frames_each: int, fps: Fraction
) -> Path:
    """Write one scene after another without a transition: cuts lie at multiples of `frames_each`."""
    return write_images(path, (scene(index) for scene in scenes for index in range(frames_each)), fps=fps)


def textured_scene(seed: int, size_hw: tuple[int, int] = (96, 144)) -> Callable[[int], Image]:
    """Return a smooth random image that drifts slowly to the right; neighboring seeds differ in exposure too."""
    height, width = size_hw
    coarse = np.random.default_rng(seed).random((6, 16, 3)) ** (0.35, 1, 3)[seed % 3]
    wide = np.clip(cv2.resize(coarse, (width * 3, height), interpolation=cv2.INTER_CUBIC) * 255, 0, 255)

    def image(index: int) -> Image:
        return np.ascontiguousarray(wide[:, index % width : index % width + width]).astype(np.uint8)

    return image
