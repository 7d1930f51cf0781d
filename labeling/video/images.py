"""Images of a folder, read one at a time."""

import struct
import warnings
import zlib
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from labeling.errors import NotAVideo, SourceNotFound, SourceUnreachable, UnsupportedVideo
from labeling.structures.frames import RgbImage
from labeling.video.color import SMALLEST_SIDE_PX, LumaImage

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises for bytes that are cut, damaged, no image, or unpack to gigabytes."""


class FileImage:
    """An image file, read when its pixels are asked for and then held."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _rgb(self) -> RgbImage:
        return read_image(self._path)

    def to_rgb(self) -> RgbImage:
        """Give upright HxWx3 uint8. Raises `NotAVideo` for an unreadable file."""
        return self._rgb

    def scaled_luma(self, width_px: int) -> LumaImage:
        """Give HxW uint8 luma, scaled by area to `width_px`; a narrower image is not enlarged."""
        luma = cv2.cvtColor(self._rgb, cv2.COLOR_RGB2GRAY)
        height, width = luma.shape
        scale = min(1.0, width_px / width)
        size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        return cv2.resize(luma, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def read_image(path: Path) -> RgbImage:
    """Read an image file as upright HxWx3 uint8; of an animation, the first image.

    The EXIF orientation is applied, transparency ignored, 16 bits are cut to the upper 8, gray and
    palettes become RGB. A file that ends early is unreadable, never half gray.

    Raises:
        SourceNotFound: there is no such file.
        NotAVideo: the bytes are no image that can be read.
        UnsupportedVideo: the image is smaller than 16 pixels on a side.
    """
    if not path.is_file():
        raise SourceNotFound(f"{path} is not a file: check the name")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata and size; what cannot be read raises
            with Image.open(path) as image:
                rgb = _to_rgb(ImageOps.exif_transpose(image))
    except _BROKEN as exc:
        if isinstance(exc, OSError) and exc.errno:
            raise SourceUnreachable(
                f"{path} cannot be read ({exc.strerror}): run it again when it can"
            ) from exc
        raise NotAVideo(f"{path} is not an image that can be read ({exc}): check or remove it") from exc
    if min(rgb.shape[:2]) < SMALLEST_SIDE_PX:
        raise UnsupportedVideo(f"{path} is {rgb.shape[1]}x{rgb.shape[0]} px: too small to show a person")
    return rgb


def _to_rgb(image: Image.Image) -> RgbImage:
    if image.mode.startswith("I"):  # Pillow would clip these at 255 instead of scaling them
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > np.iinfo(np.uint16).max:
            raise ValueError(f"levels from {levels.min()} to {levels.max()}, which are not 16-bit gray")
        return np.repeat((levels >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating-point levels have no agreed range")
    opaque = image.convert("RGBA") if image.mode in {"P", "PA", "LA"} else image
    return np.array(opaque.convert("RGB"), dtype=np.uint8)
