"""Storage of kept images: in a folder or in an object store, named by their content."""

import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from configs.environment import IMAGE_STORE
from configs.errors import StorageError
from labeling.runtime.thread_pool import AT_ONCE, BoundedThreadPool
from labeling.storage.atomic import storage_errors, write_atomically
from labeling.storage.object_store import ObjectStore, known_store, local_path

MARKER = ".maskmill"
"""Written at each start of a run, so that a store without write access is found before the models are loaded."""
_MARK = b"Images that maskmill kept, each named by its SHA-256.\n"

Save = Callable[[str, bytes], None]
"""Stores content under a name."""


@dataclass(frozen=True, slots=True)
class FolderImages:
    """Images in a folder of this machine. Every method may raise StorageError."""

    folder: Path

    @property
    def address(self) -> str:
        """Folder or URL, to be shown."""
        return str(self.folder)

    @property
    def store(self) -> None:
        """The object store; None: the images are files."""
        return None

    def path(self, name: str) -> Path:
        """Return the file of an image; in an object store, its name there."""
        return self.folder / name

    def create(self) -> None:
        """Create the store, and check that it can be written to."""
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, name: str, content: bytes) -> None:
        """Store an image completely or not at all; an existing one stays."""
        path = self.folder / name
        if not self.keeps(name):
            with storage_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content)

    def keeps(self, name: str) -> bool:
        """Return whether an image is stored; it then looks new, so that `gc` leaves it until its row is written."""
        path = self.folder / name
        with storage_errors(path):
            try:
                os.utime(path)
            except PermissionError:  # another user's file: it is stored
                return True
            except FileNotFoundError:
                return False
        return True

    @contextmanager
    def saving(self) -> Iterator[Save]:
        """Give a `save` that may return early and raise later; at the end of the block all images are stored."""
        yield self.save

    def read(self, name: str) -> bytes:
        path = self.folder / name
        try:
            return path.read_bytes()
        except OSError as exc:
            raise StorageError(f"the image {path} cannot be read: {exc.strerror}; restore it") from exc

    def find_missing(self, names: Collection[str]) -> set[str]:
        """Return those of the names that are not stored."""
        return {name for name in names if not (self.folder / name).is_file()}


@dataclass(frozen=True, slots=True)
class StoredImages:
    """Images in an object store, with the methods of `FolderImages`."""

    store: ObjectStore

    @property
    def address(self) -> str:
        return self.store.url

    def path(self, name: str) -> Path:
        return Path(name)

    def create(self) -> None:
        self.store.put(MARKER, _MARK)

    def save(self, name: str, content: bytes, *, abandoned: Event | None = None) -> None:
        if not self.store.has(name, abandoned=abandoned):
            self.store.put(name, content, abandoned=abandoned)

    def keeps(self, name: str) -> bool:
        return self.store.has(name)

    @contextmanager
    def saving(self) -> Iterator[Save]:
        with BoundedThreadPool() as pool:
            yield lambda name, content: pool.send(lambda: self.save(name, content, abandoned=pool.abandoned))

    def read(self, name: str) -> bytes:
        try:
            return self.store.get(name)
        except FileNotFoundError as exc:
            raise StorageError(f"the image {self.store.url}/{name} no longer exists; restore it") from exc

    def find_missing(self, names: Collection[str]) -> set[str]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(self.store.has, names)
            return {name for name, is_stored in zip(names, found, strict=True) if not is_stored}


ImageStore = FolderImages | StoredImages


def open_images(folder: Path) -> ImageStore:
    """Return the store that `MASKMILL_IMAGE_STORE` names, else the one in `folder`; ConfigError for an unusable URL."""
    address = IMAGE_STORE.read()
    if not address:
        return FolderImages(folder)
    path = local_path(address)
    return FolderImages(path) if path else StoredImages(known_store(address))
