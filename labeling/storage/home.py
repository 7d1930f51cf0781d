"""The home: where the database, fetched videos and kept pictures lie."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labeling.storage.atomic import storage_errors
from labeling.storage.encode import PICTURES, code_picture
from labeling.structures.frames import RgbPicture

if TYPE_CHECKING:
    from labeling.storage.image_store import PictureStore


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
    def pictures(self) -> "PictureStore":
        """Where kept pictures lie: the folder `pictures`, or what `MASKMILL_PICTURES` names."""
        from labeling.storage.image_store import open_pictures

        return open_pictures(self.root / PICTURES)

    def create(self) -> None:
        """Make the folders, and see that pictures can be kept.

        Raises:
            HomeNotWritable: not allowed to, or something else is there.
            StoreUnreachable, StoreDenied, ConfigError: `MASKMILL_PICTURES` cannot be written to.
        """
        with storage_errors(self.root):
            for folder in (self.root, self.videos):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        self.pictures.create()

    def relative(self, path: Path) -> str:
        """The path as it is stored: below the home without the home, so that homes can move."""
        resolved, root = path.resolve(), self.root.resolve()
        return str(resolved.relative_to(root)) if resolved.is_relative_to(root) else str(resolved)

    def absolute(self, stored: str) -> Path:
        return self.root / stored

    def save_picture(self, rgb: RgbPicture, *, quality: int, original: Path | None = None) -> str:
        """Keep a picture as `code_picture` makes it; returns its name as the database has it.

        Raises:
            StorageError: the picture could not be written.
        """
        picture = code_picture(rgb, quality=quality, original=original)
        self.pictures.save(picture.name, picture.content)
        return picture.stored
