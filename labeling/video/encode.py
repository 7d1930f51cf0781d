"""Writing of videos from images in memory."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from labeling.structures.frames import RgbImage


def state_colors(codec: Any) -> None:
    """State BT.709 with the limited range in a stream: browsers guess the whole where a part is not stated."""
    codec.colorspace = Colorspace.ITU709
    codec.color_primaries = ColorPrimaries.BT709
    codec.color_trc = ColorTrc.BT709
    codec.color_range = ColorRange.MPEG


class VideoWriter:
    """Writes an MP4 with a constant frame rate: H.264, or MPEG-4 without an encoder for it; a context manager.

    Both sides of the images must be even. `crf` is the quality of H.264: 18 is good, 10 nearly without loss.

    Raises:
        OSError: the file cannot be written (PyAV's errors of the system are also Python's).
    """

    def __init__(self, path: Path, *, fps: Fraction, size_hw: tuple[int, int], crf: int = 18) -> None:
        has_x264 = "libx264" in av.codecs_available
        options = {"crf": str(crf), "preset": "veryfast"} if has_x264 else {"qscale": "3"}
        self._container: OutputContainer = av.open(str(path), "w", format="mp4")
        self._stream: Any = self._container.add_stream(
            "libx264" if has_x264 else "mpeg4", rate=fps, options=options
        )
        self._stream.height, self._stream.width = size_hw
        self._stream.pix_fmt = "yuv420p"
        state_colors(self._stream.codec_context)
        self._fps, self._count = fps, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def write(self, rgb: RgbImage) -> None:
        image = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        coded = image.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        coded.pts, coded.time_base = self._count, 1 / self._fps
        self._container.mux(self._stream.encode(coded))
        self._count += 1
