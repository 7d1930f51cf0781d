"""Encoding of images for storage, named by their content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labeling.structures.frames import RgbImage

IMAGES = "images"
"""Folder of kept images in the home, and prefix of their names in the database."""
_UPRIGHT = (0, 1)
"""EXIF orientations that do not rotate the image."""
_EXIF_ORIENTATION = 274


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An encoded image, named by its content."""

    name: str
    """Path in the folder of images: `ab/abcd....jpg`."""
    content: bytes

    @property
    def stored(self) -> str:
        """The name in the database: the path in the home."""
        return f"{IMAGES}/{self.name}"


def encode_image(rgb: "RgbImage", *, quality: int, original: Path | None = None) -> EncodedImage:
    """Encode as JPEG of `quality`; an `original` file that is an upright JPEG or PNG is kept byte for byte."""
    content, suffix = _original_bytes(original) or (_jpeg_bytes(rgb, quality), ".jpg")
    digest = hashlib.sha256(content).hexdigest()
    return EncodedImage(f"{digest[:2]}/{digest}{suffix}", content)


def image_key(stored: str) -> str:
    """Return the path in the folder of images for a database name `images/...`."""
    return stored.removeprefix(f"{IMAGES}/")


def _original_bytes(path: Path | None) -> tuple[bytes, str] | None:
    if path is None:
        return None
    from PIL import UnidentifiedImageError

    from labeling.structures.images import open_image

    try:
        with open_image(path) as image:
            suffix = {"JPEG": ".jpg", "PNG": ".png"}.get(image.format or "")
            upright = image.getexif().get(_EXIF_ORIENTATION, 1) in _UPRIGHT
            plain = image.mode in ("L", "RGB")
    except (OSError, UnidentifiedImageError):
        return None
    return (path.read_bytes(), suffix) if suffix and upright and plain else None


def _jpeg_bytes(rgb: "RgbImage", quality: int) -> bytes:
    import cv2

    _, content = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return content.tobytes()
