"""Pixels of a decoded video frame: luma without color conversion, and RGB, both upright."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.format import VideoFormat
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

from labeling.structures.frames import LumaImage, RgbImage
from labeling.video.hdr import HLG, PQ, to_standard_range

_EXACT = (
    Interpolation.BILINEAR
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.BITEXACT
)
"""The same bytes on every machine, at most 0.5 levels from the formula. swscale's default is up to 2.8
levels off, and one level too dark on average (6 instead of 12 ms for a 1080p frame)."""

_EXACT_16_BITS = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
"""With FULL_CHR_H_INT, swscale 9.5 writes wrong colors to rgb48le."""

_STATED_MATRICES = {1, 4, 5, 6, 7, 9, 10}
"""AVColorSpace values that swscale converts from; the others do not define the matrix."""

_LARGEST_SD_HW = (576, 1024)
"""Without a stated matrix, larger images are taken as BT.709, smaller ones as BT.601, as players do."""

_OTHER_LUMA = ("p0", "p2", "p4", "ya", "xyz")
"""Prefixes of formats whose first plane holds levels in the high bits, alpha, or no luma."""


_BYTE = 8


@dataclass(frozen=True, slots=True, eq=False)
class VideoImage:
    """A frame as decoded; pixels are converted on request."""

    frame: av.VideoFrame

    def to_rgb(self) -> RgbImage:
        """Convert to upright HxWx3 uint8, contiguous and owned by the caller.

        Interlaced frames keep their upper field; the lower one is interpolated from it (estdif). High dynamic range is
        tone-mapped.
        """
        frame = _deinterlace(self.frame) if self.frame.interlaced_frame else self.frame
        transfer = int(self.frame.color_trc)
        is_hdr = transfer in (PQ, HLG)
        rgb: NDArray[Any] = frame.to_ndarray(
            format="rgb48le" if is_hdr else "rgb24",
            src_colorspace=_matrix_to_assume(self.frame),
            src_color_range=ColorRange.JPEG if is_full_range(self.frame) else None,
            interpolation=_EXACT_16_BITS if is_hdr else _EXACT,
            threads=1,
        )
        if is_hdr:
            rgb = to_standard_range(rgb, transfer)
        return np.array(turn_upright(cast(RgbImage, rgb), self.frame), order="C", copy=True)

    def scaled_luma(self, width_px: int) -> LumaImage:
        """Return the upright luma, scaled by area to `width_px`; a narrower image is not enlarged.

        Only the upper field of an interlaced frame is read.
        """
        plane, bits, is_full = _read_luma(self.frame)
        if self.frame.interlaced_frame:
            plane = plane[::2]
        height, width = _scaled_hw(self.frame, width_px)
        small = cast(LumaImage, cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA))
        luma = small if is_full and bits == _BYTE else _full_range_levels(small, bits, is_full=is_full)
        return np.ascontiguousarray(turn_upright(luma, self.frame))


def upright_hw(frame: av.VideoFrame) -> tuple[int, int]:
    """Return height and width after the display matrix."""
    swapped = _display_matrix(frame)[0, 0] == 0
    return (frame.width, frame.height) if swapped else (frame.height, frame.width)


def turn_upright(image: NDArray[np.uint8], frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Apply a frame's display matrix, with its flips, to HxW or HxWxC; returns a view.

    FFmpeg's libavutil/display.h: a stored point (p, q) is shown at (a p + c q, b p + d q).
    """
    (a, b), (c, d) = _display_matrix(frame)
    if a == 0:
        image = image.swapaxes(0, 1)
        a, d = c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _display_matrix(frame: av.VideoFrame) -> NDArray[np.int64]:
    """Return rows (a, b) and (c, d) as -1, 0 or 1, rounded to the nearest quarter turn."""
    side_data = cast(Any, frame.side_data).get(SideDataType.DISPLAYMATRIX)  # the stub says str
    if side_data is None:
        return np.eye(2, dtype=np.int64)
    matrix = np.frombuffer(side_data, dtype=np.int32).reshape(3, 3)[:2, :2].astype(np.int64)
    if abs(matrix[0, 0]) >= abs(matrix[0, 1]):
        return np.diag([-1 if matrix[0, 0] < 0 else 1, -1 if matrix[1, 1] < 0 else 1])
    return np.array([[0, -1 if matrix[0, 1] < 0 else 1], [-1 if matrix[1, 0] < 0 else 1, 0]])


def is_full_range(frame: av.VideoFrame) -> bool:
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")


def _matrix_to_assume(frame: av.VideoFrame) -> Colorspace | None:
    """Return the matrix of a YUV frame that does not state one; None if swscale knows it."""
    if frame.format.is_rgb or frame.format.has_palette or frame.colorspace in _STATED_MATRICES:
        return None
    is_sd = frame.height <= _LARGEST_SD_HW[0] and frame.width <= _LARGEST_SD_HW[1]
    return Colorspace.ITU601 if is_sd else Colorspace.ITU709


def _deinterlace(frame: av.VideoFrame) -> av.VideoFrame:
    """Replace the lower field by edge slope tracing.

    Temporal filters require neighboring frames; a sampled frame has none.
    """
    graph = av.filter.Graph()
    any_base = Fraction(1, 1000)  # it serves one frame; the last frames of a stream have none
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=any_base)
    graph.link_nodes(source, graph.add("estdif", "mode=frame:parity=tff:deint=all"), graph.add("buffersink"))
    graph.configure()
    graph.vpush(frame)
    graph.vpush(None)
    return graph.vpull()


def _scaled_hw(frame: av.VideoFrame, width_px: int) -> tuple[int, int]:
    """Return the stored size that gives an upright width of at most `width_px`."""
    scale = min(1.0, width_px / upright_hw(frame)[1])
    return max(1, round(frame.height * scale)), max(1, round(frame.width * scale))


def _read_luma(frame: av.VideoFrame) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], int, bool]:
    """Return HxW levels as coded, their bits, and whether they use the full range."""
    layout = frame.format
    if layout.is_rgb or layout.has_palette or layout.components[0].bits < _BYTE:
        return _plane_levels(frame.reformat(format="gray").planes[0], 8), 8, True
    is_full = layout.name.startswith("gray") or is_full_range(frame)  # swscale takes gray as full
    if layout.is_big_endian or layout.name.startswith(_OTHER_LUMA) or not _has_luma_plane(layout):
        return _plane_levels(frame.reformat(format="yuv444p").planes[0], 8), 8, is_full
    bits = layout.components[0].bits
    return _plane_levels(frame.planes[0], bits), bits, is_full


def _full_range_levels(
    coded: NDArray[np.uint8] | NDArray[np.uint16], bits: int, *, is_full: bool
) -> NDArray[np.uint8]:
    """Map coded levels to 0 to 255; for bytes by a table, which is five times as fast."""
    if coded.dtype == np.uint8:
        every_level = np.arange(256, dtype=np.uint8)
        return np.asarray(cv2.LUT(coded, _rounded_levels(every_level, bits, is_full=is_full)), dtype=np.uint8)
    return _rounded_levels(coded, bits, is_full=is_full)


def _rounded_levels(
    coded: NDArray[np.uint8] | NDArray[np.uint16], bits: int, *, is_full: bool
) -> NDArray[np.uint8]:
    levels = coded.astype(np.float32) / (1 << (bits - _BYTE))
    if not is_full:
        levels = (levels - 16) * (255 / 219)
    return np.clip(levels + 0.5, 0, 255).astype(np.uint8)


def _has_luma_plane(layout: VideoFormat) -> bool:
    return [component.plane for component in layout.components].count(0) == 1


def _plane_levels(plane: VideoPlane, bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return a plane without its padding, as a view."""
    dtype = np.dtype(np.uint8 if bits == _BYTE else "<u2")
    rows = np.frombuffer(memoryview(cast(Any, plane)), dtype=dtype).reshape(
        -1, plane.line_size // dtype.itemsize
    )
    return cast(NDArray[np.uint8] | NDArray[np.uint16], rows[: plane.height, : plane.width])
