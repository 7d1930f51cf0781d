"""Kept images: in a folder or in an object store, named by their contents."""

import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

from labeling.errors import StorageError
from labeling.runtime.thread_pool import AT_ONCE, BoundedThreadPool
from labeling.storage.atomic import storage_errors, write_atomically
from labeling.storage.object_store import ObjectStore, known_store, local_path

VARIABLE = "MASKMILL_IMAGE_STORE"
"""A folder, or a URL such as `s3://bucket/prefix`; its keys stand in variables of their own."""
MARKER = ".maskmill"
"""Written at each start of a run: what cannot be written is known before the models are loaded."""
_MARK = b"Images that maskmill kept, each named by its SHA-256.\n"

Save = Callable[[str, bytes], None]
"""Keeps contents under names."""


class ImageStore(Protocol):
    """Where images lie; names are relative to it: `ab/abcd....jpg`."""

    @property
    def address(self) -> str:
        """For people."""

    @property
    def store(self) -> ObjectStore | None:
        """None: they are files."""

    def path(self, name: str) -> Path:
        """The file; or the name in `store`."""

    def create(self) -> None:
        """See that images can be kept.

        Raises:
            StorageError: they cannot; the message says what to do.
        """

    def save(self, name: str, content: bytes) -> None:
        """Keep an image, whole or not at all; one that is there stays.

        Raises:
            StorageError: it could not be written.
        """

    def saving(self) -> AbstractContextManager[Save]:
        """Give a `save` that may return before the image is there; at the end of the block all are.

        Raises:
            StorageError: one could not be written: at the next `save`, or at the end.
        """

    def read(self, name: str) -> bytes:
        """Raises StorageError if it is gone or cannot be read."""

    def find_missing(self, names: Collection[str]) -> set[str]:
        """Those of these names under which nothing lies."""


@dataclass(frozen=True, slots=True)
class FolderImages:
    """Images in a folder of this machine."""

    folder: Path

    @property
    def address(self) -> str:
        return str(self.folder)

    @property
    def store(self) -> None:
        return None

    def path(self, name: str) -> Path:
        return self.folder / name

    def create(self) -> None:
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, name: str, content: bytes) -> None:
        path = self.folder / name
        with storage_errors(path):
            try:
                os.utime(path)  # as new: nobody may take it for an orphan before its row is there
            except PermissionError:  # another user's: it is there all the same
                pass
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content)

    @contextmanager
    def saving(self) -> Iterator[Save]:
        yield self.save

    def read(self, name: str) -> bytes:
        path = self.folder / name
        try:
            return path.read_bytes()
        except OSError as exc:
            raise StorageError(f"the image {path} cannot be read: {exc.strerror}") from exc

    def find_missing(self, names: Collection[str]) -> set[str]:
        return {name for name in names if not (self.folder / name).is_file()}


@dataclass(frozen=True, slots=True)
class StoredImages:
    """Images in an object store."""

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

    @contextmanager
    def saving(self) -> Iterator[Save]:
        with BoundedThreadPool() as thread_pool:
            yield lambda name, content: thread_pool.send(
                lambda: self.save(name, content, abandoned=thread_pool.abandoned)
            )

    def read(self, name: str) -> bytes:
        try:
            return self.store.get(name)
        except FileNotFoundError as exc:
            raise StorageError(f"the image {self.store.url}/{name} is gone") from exc

    def find_missing(self, names: Collection[str]) -> set[str]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            there = pool.map(self.store.has, names)
            return {name for name, is_there in zip(names, there, strict=True) if not is_there}


def open_images(folder: Path) -> ImageStore:
    """What `MASKMILL_IMAGE_STORE` names; `folder` where it is not set.

    Raises:
        ConfigError: it names nothing that can be opened here.
    """
    address = os.environ.get(VARIABLE)
    if not address:
        return FolderImages(folder)
    path = local_path(address)
    return FolderImages(path) if path else StoredImages(known_store(address))
