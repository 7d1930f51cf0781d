"""Images of a folder, read one at a time."""

import re
import struct
import sys
import zlib
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from configs.errors import NotAVideo, SourceNotFound, SourceUnreachable, UnsupportedVideo
from labeling.structures.frames import LumaImage, RgbImage
from labeling.structures.images import SMALLEST_SIDE_PX, open_image
from labeling.video.luma import shrunk_wh

Levels = tuple[int, int]
"""The levels of 16-bit images that are shown as black and as white."""
WHOLE_RANGE: Levels = (0, 2**16 - 1)
SAMPLED_IMAGES = 20
"""Images of a set from which the range of levels is taken."""
USED_SHARE = (0.1, 99.9)
"""Percentiles of the levels that are taken as the darkest and the brightest: single pixels are often broken."""
_DEEP_COLOR = re.compile(r"RGBA?;16")
"""In the arguments of Pillow's decoder: the file has 16 bits for each color."""
_WHITES = (255, 1023, 4095, 16383, 65535)
"""White in colors of 8, 10, 12, 14 and 16 bits."""
_ORIENTATION = 0x0112
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""Pillow's errors for bytes that are truncated, damaged, not an image, or unpack to gigabytes."""


class FileImage:
    """An image file, read on first use and then kept."""

    def __init__(self, path: Path, levels: Levels | None = None) -> None:
        self._path, self._levels = path, levels

    @cached_property
    def _rgb(self) -> RgbImage:
        return read_image(self._path, self._levels)

    def to_rgb(self) -> RgbImage:
        """Return upright HxWx3 uint8. Raises `NotAVideo` for an unreadable file."""
        return self._rgb

    def scaled_luma(self, width_px: int) -> LumaImage:
        """Return HxW uint8 luma, scaled by area to `width_px`; a narrower image is not enlarged."""
        luma = cv2.cvtColor(self._rgb, cv2.COLOR_RGB2GRAY)
        size_wh = shrunk_wh((luma.shape[0], luma.shape[1]), width_px)
        return cv2.resize(luma, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def read_image(path: Path, levels: Levels | None = None) -> RgbImage:
    """Read an image file as upright HxWx3 uint8; of an animation, the first image.

    The EXIF orientation is applied, transparency is ignored, gray and palettes become RGB. Of 16 bits, `levels` become
    black and white; None: as `find_levels` says of this image alone. A truncated file is an error.

    Raises:
        SourceNotFound: the file does not exist.
        SourceUnreachable: the file cannot be read at the moment.
        NotAVideo: the bytes are not a readable image.
        UnsupportedVideo: the image is smaller than 16 pixels on a side.
    """
    if not path.is_file():
        advice = "a folder: name an image in it" if path.is_dir() else "not a file: check the name"
        raise SourceNotFound(f"{path} is {advice}")
    try:
        with open_image(path) as image:
            deep = _deep_colors(path, image)
            rgb = _to_rgb(ImageOps.exif_transpose(image), levels) if deep is None else _scale(deep, levels)
    except _UNREADABLE as exc:
        if isinstance(exc, OSError) and exc.errno:
            raise SourceUnreachable(
                f"{path} cannot be read ({exc.strerror}): run again when it is readable"
            ) from exc
        raise NotAVideo(f"{path} is not a readable image ({exc}): check or remove it") from exc
    if min(rgb.shape[:2]) < SMALLEST_SIDE_PX:
        raise UnsupportedVideo(
            f"{path} is {rgb.shape[1]}x{rgb.shape[0]} px, too small to show a person: remove it"
        )
    return rgb


def find_levels(paths: Sequence[Path]) -> Levels | None:
    """Return the levels that 16-bit images of one set use, for all of them; None if they have 8 bits.

    Thermal cameras store 14 bits, of which one scene uses a part: of the upper 8 bits, three levels would be left.
    Images that use more than half of the range are photos, and are not changed. Colors of 10, 12 or 14 bits are scaled by
    that depth, so that black and their balance stay. Unreadable images are passed over.
    """
    used: list[tuple[float, float]] = []
    for path in paths[:: max(1, -(-len(paths) // SAMPLED_IMAGES))]:
        with suppress(*_UNREADABLE), open_image(path) as image:
            if image.mode.startswith("I"):
                used.append(_used_levels(_sixteen_bits(image)))
            elif (deep := _deep_colors(path, image)) is not None:
                used.append((0.0, _white_of(deep)))
    return _join_levels(used) if used else None


def count_images(path: Path) -> int:
    """Return the number of images in a file: pages, or images of an animation. 1 for an unreadable file."""
    with suppress(*_UNREADABLE), open_image(path) as image:
        return int(getattr(image, "n_frames", 1))
    return 1


def image_pixels(path: Path) -> int:
    """Return width times height by the header alone; 0 for an unreadable file, which fails when it is read."""
    try:
        with open_image(path) as image:
            return image.width * image.height
    except Image.DecompressionBombError:
        return sys.maxsize  # Pillow refuses by itself what is too large for any setting
    except _UNREADABLE:
        return 0


def _join_levels(used: Sequence[tuple[float, float]]) -> Levels:
    low, high = min(low for low, _ in used), max(high for _, high in used)
    return WHOLE_RANGE if high - low > WHOLE_RANGE[1] / 2 else (int(low), max(int(high), int(low) + 1))


def _used_levels(values: NDArray[np.int64]) -> tuple[float, float]:
    low, high = np.percentile(values, USED_SHARE)
    return float(low), float(high)


def _sixteen_bits(image: Image.Image) -> NDArray[np.int64]:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > WHOLE_RANGE[1]:
        raise ValueError(f"levels from {values.min()} to {values.max()} are not 16-bit gray")
    return values


def _deep_colors(path: Path, image: Image.Image) -> NDArray[np.int64] | None:
    """Return HxWx3 levels of a color image of 16 bits, of which Pillow would keep the upper 8; None: it is none.

    One that its orientation rotates is left to Pillow.
    """
    is_deep = any(_DEEP_COLOR.search(str(tile.args)) for tile in getattr(image, "tile", ()))
    if not is_deep or image.getexif().get(_ORIENTATION, 1) not in (0, 1):
        return None
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR
    values = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flags)
    if values is None or values.dtype != np.uint16:
        return None
    return np.asarray(values[:, :, ::-1].astype(np.int64))


def _white_of(values: NDArray[np.int64]) -> float:
    """Return the white of the smallest usual depth that holds these levels."""
    used = float(np.percentile(values, USED_SHARE[1]))
    return next(white for white in _WHITES if used <= white)


def _scale(values: NDArray[np.int64], levels: Levels | None) -> RgbImage:
    low, high = levels or (0, int(_white_of(values)))
    return np.clip((values - low) * 256 // (high - low + 1), 0, 255).astype(np.uint8)


def _to_rgb(image: Image.Image, levels: Levels | None) -> RgbImage:
    if image.mode.startswith("I"):  # Pillow would clip these at 255 instead of scaling them
        values = _sixteen_bits(image)
        low, high = levels or _join_levels([_used_levels(values)])
        return np.repeat(_scale(values, (low, high))[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating-point levels have no standard range")
    opaque = image.convert("RGBA") if image.mode in {"P", "PA", "LA"} else image
    return np.array(opaque.convert("RGB"), dtype=np.uint8)
