"""The image files of a home, looked through a folder at a time and taken away one by one."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labeling.storage.atomic import storage_errors
from labeling.storage.encode import IMAGES, image_key
from labeling.storage.home import Home

UNFINISHED = ".writing-"
"""How the names of files begin that whoever wrote them was killed at."""


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file below the home's images."""

    stored: str
    """As the database names it."""
    bytes: int
    age_s: float
    """Since it was written, or found there by somebody who would have written the same."""

    @property
    def is_unfinished(self) -> bool:
        return Path(self.stored).name.startswith(UNFINISHED)


def image_folders(home: Home) -> Iterator[tuple[str, list[KeptFile]]]:
    """Each folder of images as the database names it, with its files; in order of their names.

    None where an object store keeps them: it has rules of its own for the life of what it holds.
    """
    if home.images.store:
        return
    root = home.images.path("")
    for folder in sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else ():
        stored = f"{IMAGES}/{folder.name}"
        yield stored, [file for path in folder.iterdir() if (file := _look_at(path, stored))]


def _look_at(path: Path, folder: str) -> KeptFile | None:
    try:
        found = path.lstat()
    except FileNotFoundError:  # finished in this moment, under its own name
        return None
    return KeptFile(f"{folder}/{path.name}", found.st_size, time.time() - found.st_mtime)


def delete_file(home: Home, file: KeptFile, *, older_than_s: float) -> bool:
    """Delete a file that is as old as that still; False: it is gone, or somebody found use for it.

    Raises:
        HomeNotWritable: not allowed to.
    """
    path = home.images.path(image_key(file.stored))
    now = _look_at(path, str(Path(file.stored).parent))
    if now is None or now.age_s < older_than_s:
        return False
    with storage_errors(path):
        path.unlink(missing_ok=True)
    return True
