"""Images stored as a run stores them."""

from pathlib import Path

from labeling.storage.encode import encode_image
from labeling.storage.home import Home
from labeling.structures.frames import RgbImage


def save_image(home: Home, rgb: RgbImage, *, quality: int, original: Path | None = None) -> str:
    """Store an image, and return its name in the database."""
    image = encode_image(rgb, quality=quality, original=original)
    home.images.save(image.name, image.content)
    return image.stored
