"""Images of a folder, read one at a time."""

import struct
import warnings
import zlib
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from configs.errors import NotAVideo, SourceNotFound, SourceUnreachable, UnsupportedVideo
from labeling.structures.frames import LumaImage, RgbImage
from labeling.video.color import SMALLEST_SIDE_PX
from labeling.video.luma import shrunk_wh

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

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _rgb(self) -> RgbImage:
        return read_image(self._path)

    def to_rgb(self) -> RgbImage:
        """Return upright HxWx3 uint8. Raises `NotAVideo` for an unreadable file."""
        return self._rgb

    def scaled_luma(self, width_px: int) -> LumaImage:
        """Return HxW uint8 luma, scaled by area to `width_px`; a narrower image is not enlarged."""
        luma = cv2.cvtColor(self._rgb, cv2.COLOR_RGB2GRAY)
        size_wh = shrunk_wh((luma.shape[0], luma.shape[1]), width_px)
        return cv2.resize(luma, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def read_image(path: Path) -> RgbImage:
    """Read an image file as upright HxWx3 uint8; of an animation, the first image.

    The EXIF orientation is applied, transparency is ignored, 16 bits are reduced to the upper 8, gray
    and palettes become RGB. A truncated file is an error.

    Raises:
        SourceNotFound: the file does not exist.
        SourceUnreachable: the file cannot be read at the moment.
        NotAVideo: the bytes are not a readable image.
        UnsupportedVideo: the image is smaller than 16 pixels on a side.
    """
    if not path.is_file():
        raise SourceNotFound(f"{path} is not a file: check the name")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata and size; an unreadable image raises
            with Image.open(path) as image:
                rgb = _to_rgb(ImageOps.exif_transpose(image))
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


def _to_rgb(image: Image.Image) -> RgbImage:
    if image.mode.startswith("I"):  # Pillow would clip these at 255 instead of scaling them
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > np.iinfo(np.uint16).max:
            raise ValueError(f"levels from {levels.min()} to {levels.max()} are not 16-bit gray")
        return np.repeat((levels >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating-point levels have no standard range")
    opaque = image.convert("RGBA") if image.mode in {"P", "PA", "LA"} else image
    return np.array(opaque.convert("RGB"), dtype=np.uint8)
