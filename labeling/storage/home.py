"""The home, the folder of the database, fetched videos and kept images; and the cache folder of this user."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from configs.environment import CACHE
from labeling.storage.atomic import storage_errors
from labeling.storage.encode import IMAGES
from labeling.storage.image_store import ImageStore, open_images


@dataclass(frozen=True, slots=True)
class Home:
    """A folder that holds everything maskmill keeps."""

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite file; unused if `MASKMILL_DATABASE_URL` names another database."""
        return self.root / "maskmill.db"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.database}"

    @property
    def videos(self) -> Path:
        return self.root / "videos"

    @property
    def students(self) -> Path:
        """Folder of the students that were trained, each in a folder named by its SHA-256."""
        return self.root / "students"

    @property
    def predictions(self) -> Path:
        """Folder of what models found, by model and video; it can be deleted at any time."""
        return self.root / "predictions"

    @property
    def images(self) -> ImageStore:
        """The store of kept images: the folder `images`, or the value of `MASKMILL_IMAGE_STORE`."""
        return open_images(self.root / IMAGES)

    def create(self) -> None:
        """Create the folders, and check that images can be stored.

        Raises:
            HomeNotWritable: no permission, or something else is at that path.
            StoreUnreachable, StoreDenied, ConfigError: `MASKMILL_IMAGE_STORE` cannot be written to.
        """
        with storage_errors(self.root):
            for folder in (self.root, self.videos):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        self.images.create()

    def relative(self, path: Path) -> str:
        """Return the path as it is stored: relative to the home if it is in it, so that a home can be moved."""
        resolved, root = path.resolve(), self.root.resolve()
        return str(resolved.relative_to(root)) if resolved.is_relative_to(root) else str(resolved)

    def absolute(self, stored: str) -> Path:
        return self.root / stored


def cache_dir() -> Path:
    """Return the folder for downloaded weights: `$MASKMILL_CACHE`, else `maskmill/weights` in the user's cache folder."""
    return CACHE.read() or platformdirs.user_cache_path("maskmill") / "weights"
