"""Atomic replacement of a dataset folder: after an export it is complete or as before.

Everything is written into a hidden folder inside the target (so that a mounted volume can be the
target) and swapped in at the end by a few renames. A marker file names the entries that maskmill wrote;
only those are ever replaced.
"""

import errno
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.errors import DiskFull, ExportError
from labeling.runtime.thread_pool import BoundedThreadPool
from labeling.storage.object_store import ObjectStore
from labeling.storage.outputs import EXPORT_MARK
from labeling.text.figures import count_of

_WRITING = ".maskmill-writing"
_PREVIOUS = ".maskmill-previous"
_TRASH = ".maskmill-trash"
_OURS = {EXPORT_MARK, _WRITING, _PREVIOUS, _TRASH}
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


@contextmanager
def stage_export(folder: Path, *, entries: Collection[str]) -> Iterator[Path]:
    """Yield a folder to write `entries` into; they move into `folder` when the block ends without an error.

    A previous export is replaced as a whole, whatever its format, including files that others put
    into its subfolders; other files beside it stay. If the block raises, `folder` is as before.
    """
    with export_errors(folder):
        existed = folder.is_dir()
        previous = _claim(folder, entries)
        staging = folder / _WRITING
        staging.mkdir()
    try:
        yield staging
        with export_errors(folder):
            _swap(folder, previous=previous, new=sorted(entry.name for entry in staging.iterdir()))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not existed and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def export_errors(target: Path) -> Iterator[None]:
    """Turn an OSError of the block into DiskFull or ExportError."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left at {target}; free some, or export to another disk") from exc
        where = exc.filename or target
        raise ExportError(f"cannot write {where}: {exc.strerror or exc}; choose another folder") from exc


def _claim(folder: Path, entries: Collection[str]) -> list[str]:
    """Check that `folder` is empty or holds an export of maskmill; return that export's entries."""
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder} is a file; name a folder to export to")
    folder.mkdir(parents=True, exist_ok=True)
    _roll_back(folder)
    for leftover in (_WRITING, _TRASH):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    present = {entry.name for entry in folder.iterdir()}
    try:
        previous = marker_entries((folder / EXPORT_MARK).read_text())
    except (FileNotFoundError, ValueError):
        previous = None
    foreign = present - _OURS if previous is None else (present & set(entries)) - set(previous)
    if foreign:
        raise ExportError(
            f"{folder} holds {min(foreign)!r}, which maskmill did not write; export to an empty folder"
        )
    return previous or []


def marker_entries(text: str) -> list[str] | None:
    """Return the entries that a marker names; None: it is not a marker of maskmill."""
    try:
        entries = json.loads(text)["entries"]
    except (ValueError, KeyError, TypeError):
        return None
    return entries if isinstance(entries, list) and all(map(_is_plain, entries)) else None


def marker_text(entries: Collection[str]) -> str:
    return json.dumps({"made_by": "maskmill", "entries": sorted(entries)}) + "\n"


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and name not in ("", "..") and name == Path(name).name


def _write_marker(folder: Path, entries: Collection[str]) -> None:
    partial = folder / _WRITING / EXPORT_MARK
    partial.write_text(marker_text(entries))
    partial.replace(folder / EXPORT_MARK)


def _swap(folder: Path, *, previous: Collection[str], new: Collection[str]) -> None:
    """Move the old entries aside and the new ones in; the next export undoes an interrupted swap."""
    _write_marker(folder, {*previous, *new})
    aside = folder / _PREVIOUS
    aside.mkdir()
    for name in previous:
        if (folder / name).exists():
            (folder / name).replace(aside / name)
    for name in new:
        (folder / _WRITING / name).replace(folder / name)
    aside.replace(folder / _TRASH)
    _write_marker(folder, new)
    shutil.rmtree(folder / _TRASH, ignore_errors=True)


def _roll_back(folder: Path) -> None:
    """Move an export back that an interrupted swap moved aside."""
    aside = folder / _PREVIOUS
    if not aside.is_dir():
        return
    for entry in sorted(aside.iterdir()):
        target = folder / entry.name
        if target.is_dir():
            shutil.rmtree(target)
        entry.replace(target)
    aside.rmdir()


def write_new(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet."""
    with export_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("xb")
        except FileExistsError as exc:
            raise ExportError(
                f"two frames have the file {path.name!r}; give their images other names"
            ) from exc
        with file:
            file.write(content)


class ImageTarget(BoundedThreadPool, ABC):
    """Places the images of a dataset, several at a time in an object store; all are placed when its block ends."""

    @abstractmethod
    def add(self, image: Path, *, name: str, store: ObjectStore | None = None) -> None:
        """Place the file `image`, or the image of that name in `store`, as `name`.

        Raises:
            ExportError: this or an earlier image is missing, or `name` is taken.
            DiskFull: no space left.
            StorageError: a store cannot be used.
        """

    def place_in(self, folder: str) -> None:
        """Place images in another folder of the dataset than `images`; only a store has to know."""

    def notes(self) -> list[str]:
        """Return notes for the user."""
        return []


class ImageFolder(ImageTarget):
    """Places images in a folder by hard link, or by copy where links are not possible.

    Images of an object store are downloaded, several at a time. A hard link takes no space, but a tool that
    changes such an image in place changes the original.
    """

    def __init__(self, folder: Path, *, copy: bool) -> None:
        super().__init__()
        self._folder = folder
        self._copy = copy
        self._unlinkable = 0
        self._made: set[Path] = set()
        """Existing folders: one per split."""

    def add(self, image: Path, *, name: str, store: ObjectStore | None = None) -> None:
        target = self._folder / name
        if store is not None:
            self.send(lambda: _fetch(store, str(image), target))
            return
        with export_errors(target):
            try:
                # A link to a link would break when the home moves. Checking only the file itself is faster than
                # resolving every folder above it.
                self._place(image.resolve(strict=True) if image.is_symlink() else image, target)
            except FileNotFoundError as exc:
                raise ExportError(f"image {image} is missing; restore it or leave its frame out") from exc
            except FileExistsError as exc:
                raise ExportError(f"two frames have the file name {name!r}; give each its own") from exc

    def _place(self, image: Path, target: Path) -> None:
        if target.parent not in self._made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(target.parent)
        if not self._copy and self._link(image, target):
            return
        with image.open("rb") as read, target.open("xb") as written:
            shutil.copyfileobj(read, written, 1 << 20)

    def _link(self, image: Path, target: Path) -> bool:
        try:
            os.link(image, target)
        except OSError as exc:
            if exc.errno not in _NO_LINK:
                raise
            self._unlinkable += 1
            return False
        return True

    def notes(self) -> list[str]:
        if not self._unlinkable:
            return []
        return [f"{count_of(self._unlinkable, 'image')} copied: hard links to this folder are not possible"]


def _fetch(store: ObjectStore, image: str, target: Path) -> None:
    try:
        content = store.get(image)
    except FileNotFoundError as exc:
        raise ExportError(f"image {store.url}/{image} is missing; restore it or leave its frame out") from exc
    write_new(target, content)
