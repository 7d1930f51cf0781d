"""Images: files that may be opened, and changes of size."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.structures.frames import RgbImage

if TYPE_CHECKING:
    from PIL.Image import Image

SMALLEST_SIDE_PX = 16
"""A smaller image cannot show a person, and networks fail on it."""
IMAGE_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of the formats that may be opened. It would start Ghostscript, another program, for an EPS file."""
THUMBNAIL_WH = (32, 18)


@contextmanager
def open_image(source: Path | bytes, formats: tuple[str, ...] = IMAGE_FORMATS) -> "Iterator[Image]":
    """Open an image file, or its bytes, for the block: the only place where Pillow opens something.

    Its warnings about size and metadata are not shown. What is not readable raises one of Pillow's errors, here or when
    the pixels are read: OSError, SyntaxError, ValueError or `Image.DecompressionBombError`.
    """
    from PIL import Image

    file = io.BytesIO(source) if isinstance(source, bytes) else source
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(file, formats=formats) as image:
            yield image


def resize_image(rgb: RgbImage, size_hw: tuple[int, int]) -> RgbImage:
    """Scale to `size_hw`, ignoring proportions: by area to shrink, bilinear to enlarge."""
    height, width = size_hw
    shrinks = rgb.shape[0] >= height and rgb.shape[1] >= width
    resized = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def thumbnail(rgb: RgbImage) -> NDArray[np.float32]:
    """Return a small gray image, by which images are compared."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, THUMBNAIL_WH, interpolation=cv2.INTER_AREA).astype(np.float32)
