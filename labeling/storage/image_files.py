"""Listing and deletion of the image files of a home, and of what killed writers left in it."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labeling.storage.atomic import WRITING_PREFIX, storage_errors
from labeling.storage.encode import IMAGES, image_key
from labeling.storage.home import Home


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file in the home's folder of images."""

    stored: str
    """Its name in the database."""
    bytes: int
    age_s: float
    """Seconds since it was written, or since a later run stored the same image."""

    @property
    def is_unfinished(self) -> bool:
        return Path(self.stored).name.startswith(WRITING_PREFIX)


def image_folders(home: Home) -> Iterator[tuple[str, list[KeptFile]]]:
    """Yield each folder of images by its name in the database, with its files, in order of names.

    Yields nothing for an object store, which has lifecycle rules of its own.
    """
    if home.images.store:
        return
    root = home.images.path("")
    for folder in sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else ():
        stored = f"{IMAGES}/{folder.name}"
        yield stored, [file for path in folder.iterdir() if (file := _file_at(path, stored))]


def unfinished_folders(home: Home) -> Iterator[KeptFile]:
    """Yield the folders of killed exports, dataset versions and trainings, in the home and among its students."""
    for folder in (home.root, home.students):
        for path in sorted(folder.glob(f"{WRITING_PREFIX}*")):
            if path.is_dir() and (found := _file_at(path, "")) is not None:
                size = sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
                yield KeptFile(str(path.relative_to(home.root)), size, found.age_s)


def delete_folder(home: Home, folder: KeptFile) -> None:
    path = home.absolute(folder.stored)
    with storage_errors(path):
        shutil.rmtree(path)


def delete_file(home: Home, file: KeptFile, *, older_than_s: float) -> bool:
    """Delete a file; return False if it no longer exists or a run has stored the same image meanwhile."""
    path = home.images.path(image_key(file.stored))
    now = _file_at(path, str(Path(file.stored).parent))
    if now is None or now.age_s < older_than_s:
        return False
    with storage_errors(path):
        path.unlink(missing_ok=True)
    return True


def _file_at(path: Path, folder: str) -> KeptFile | None:
    try:
        status = path.lstat()
    except FileNotFoundError:  # its writer has just renamed it
        return None
    return KeptFile(f"{folder}/{path.name}", status.st_size, time.time() - status.st_mtime)
