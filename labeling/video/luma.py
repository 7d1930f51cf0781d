"""Image measures on luma: scaling, sharpness, perceptual hash."""

import cv2
import imagehash
import numpy as np
from PIL import Image

from labeling.structures.frames import LumaImage, RgbImage

HASH_SIDE = 16
"""A perceptual hash has 16 x 16 = 256 bits."""


def shrink_luma(rgb: RgbImage, width_px: int) -> LumaImage:
    """Return the luma of an image, scaled by area to `width_px`; a narrower one is not enlarged."""
    size_wh = shrunk_wh((rgb.shape[0], rgb.shape[1]), width_px)
    small = cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def shrunk_wh(size_hw: tuple[int, int], width_px: int) -> tuple[int, int]:
    """Return width and height of an image scaled down to `width_px`.

    >>> shrunk_wh((360, 640), 64)
    (64, 36)
    """
    height, width = size_hw
    scale = min(1.0, width_px / width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def measure_sharpness(luma: LumaImage) -> float:
    """Return the variance of the Laplacian (Pech-Pacheco et al., ICPR 2000): low for a blurred image."""
    _, spread = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))
    return float(spread[0, 0] ** 2)


def hash_luma(luma: LumaImage) -> imagehash.ImageHash:
    """Return the 256-bit perceptual hash; the difference of two is their Hamming distance."""
    return imagehash.phash(Image.fromarray(luma), hash_size=HASH_SIDE)
