"""A video with the masks of its people drawn in: each person in one color, with the number."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace

from configs.errors import StorageError
from labeling.structures.frames import RgbImage
from labeling.structures.masks import Mask
from labeling.visualization.frames import blend_mask, draw_contours
from labeling.visualization.text import Color

TIME_BASE = Fraction(1, 90_000)
COLORS: tuple[Color, ...] = (
    *((86, 180, 233), (240, 150, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167)),
    *((213, 94, 0), (120, 160, 255), (180, 220, 180)),
)
"""Okabe and Ito's and two more; people take them in turn, by number."""


class OverlayVideo:
    """Writes an H.264 video, or MPEG-4 without an encoder for it.

    Raises:
        StorageError: the file cannot be written.
    """

    def __init__(self, path: Path, size_hw: tuple[int, int]) -> None:
        self._path, self._size_hw = path, size_hw
        self._last = -1

    def __enter__(self) -> Self:
        has_x264 = "libx264" in av.codecs_available
        options = {"crf": "20", "preset": "veryfast"} if has_x264 else {"qscale": "3"}
        try:
            self._container = av.open(str(self._path), "w", format="mp4")
        except OSError as exc:  # PyAV's errors are OSErrors
            raise StorageError(f"cannot write {self._path}: {exc}; check the folder and the disk") from exc
        stream: Any = self._container.add_stream("libx264" if has_x264 else "mpeg4", options=options)
        stream.height, stream.width = (side // 2 * 2 for side in self._size_hw)
        stream.pix_fmt, stream.time_base = "yuv420p", TIME_BASE
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.colorspace = Colorspace.ITU709
        self._stream = stream
        return self

    def write(self, rgb: RgbImage, masks: Mapping[int, Mask], t: Fraction) -> None:
        """Add a frame that is shown from `t` on, with the masks of people by number."""
        drawn = draw_people(rgb, masks)
        height, width = (side // 2 * 2 for side in self._size_hw)
        even = np.ascontiguousarray(drawn[:height, :width])
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        coded = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        coded.pts = self._last = max(round(t / TIME_BASE), self._last + 1)
        coded.time_base = TIME_BASE
        self._container.mux(self._stream.encode(coded))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        except (av.FFmpegError, OSError) as exc:
            raise StorageError(f"cannot write {self._path}: {exc}; check the disk") from exc


def draw_people(rgb: RgbImage, masks: Mapping[int, Mask]) -> RgbImage:
    """Draw each person's mask and number; the same number has the same color in every frame."""
    drawn = rgb.copy()
    for person, mask in masks.items():
        color = COLORS[person % len(COLORS)]
        pixels = mask.to_array()
        blend_mask(drawn, pixels, color, opacity=0.4)
        draw_contours(drawn, pixels, color)
        x, y, w, _ = (round(side) for side in mask.box_xywh)
        for shade, thickness in (((12, 14, 18), 3), (color, 1)):
            at = (x + w // 2 - 6, max(y - 4, 10))
            cv2.putText(drawn, str(person), at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, shade, thickness, cv2.LINE_AA)
    return drawn
