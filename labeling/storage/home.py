"""The home: where the database, fetched videos and kept images lie."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labeling.storage.atomic import storage_errors
from labeling.storage.encode import IMAGES, encode_image
from labeling.structures.frames import RgbImage

if TYPE_CHECKING:
    from labeling.storage.image_store import ImageStore


@dataclass(frozen=True, slots=True)
class Home:
    """A folder that holds everything maskmill keeps."""

    root: Path

    @property
    def database(self) -> Path:
        """SQLite's file, unless the ledger is elsewhere."""
        return self.root / "maskmill.db"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.database}"

    @property
    def videos(self) -> Path:
        return self.root / "videos"

    @property
    def images(self) -> "ImageStore":
        """Where kept images lie: the folder `images`, or what `MASKMILL_IMAGE_STORE` names."""
        from labeling.storage.image_store import open_images

        return open_images(self.root / IMAGES)

    def create(self) -> None:
        """Make the folders, and see that images can be kept.

        Raises:
            HomeNotWritable: not allowed to, or something else is there.
            StoreUnreachable, StoreDenied, ConfigError: `MASKMILL_IMAGE_STORE` cannot be written to.
        """
        with storage_errors(self.root):
            for folder in (self.root, self.videos):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        self.images.create()

    def relative(self, path: Path) -> str:
        """The path as it is stored: below the home without the home, so that homes can move."""
        resolved, root = path.resolve(), self.root.resolve()
        return str(resolved.relative_to(root)) if resolved.is_relative_to(root) else str(resolved)

    def absolute(self, stored: str) -> Path:
        return self.root / stored

    def save_image(self, rgb: RgbImage, *, quality: int, original: Path | None = None) -> str:
        """Keep an image as `code_image` makes it; returns its name as the database has it.

        Raises:
            StorageError: the image could not be written.
        """
        image = encode_image(rgb, quality=quality, original=original)
        self.images.save(image.name, image.content)
        return image.stored
