"""A dataset in an object store, which no reader finds half written.

Images come first: the name of one stands for the same frame in every export, so an earlier export
loses nothing by them. What lists them (`annotations/`, `data.yaml`, `frames.jsonl`) comes last. Where a
format has other files for each frame (`labels/`, `masks/`), the earlier lists are removed before these
are written: then there is no dataset for a moment, rather than one of two ages.
"""

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from labeling.datasets.records import ExportSummary
from labeling.datasets.staging import MARKER, ImageTarget, marker_entries, marker_text
from labeling.errors import ExportError
from labeling.runtime.thread_pool import BoundedThreadPool
from labeling.storage.object_store import ObjectStore, known_store, local_path

_OF_FRAMES = {"images", "labels", "masks"}
"""Folders with a file for each frame."""
_ENTRIES = _OF_FRAMES | {"annotations", "data.yaml", "frames.jsonl"}
"""Of all formats."""

Write = Callable[[Path, ImageTarget | None], ExportSummary]
"""Writes a dataset into a folder, and its images elsewhere where a target is given."""


def export_to(address: str, write: Write) -> ExportSummary:
    """Write a dataset into a folder, or below a URL.

    Raises:
        ExportError: something else is there, or a frame is unsound.
        ConfigError: nothing here opens this URL.
        StorageError: the store cannot be used.
    """
    folder = local_path(address)
    return write(folder, None) if folder else export_to_store(known_store(address), write)


def export_to_store(store: ObjectStore, write: Write) -> ExportSummary:
    """Have everything but images written on this machine's disk, then send it.

    Raises:
        ExportError: the store holds something that is not an export of ours; or as `write` does.
        StorageError: the store cannot be used. What was there is complete, or not there.
    """
    before = _claim(store)
    with tempfile.TemporaryDirectory() as scratch:
        folder, images = Path(scratch) / "dataset", StoreImages(store)
        summary = write(folder, images)
        files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
        files.pop(MARKER)
        _publish(store, files, before)
    kept = files.keys() | images.names
    _remove_all_but(kept, store, before)
    store.put(MARKER, marker_text({_entry(name) for name in kept}).encode())
    return summary


class StoreImages:
    """Sends images below `images/`, several at a time; within one kind of store, they are copied there."""

    def __init__(self, store: ObjectStore) -> None:
        self.names: set[str] = set()
        self._store = store
        self._thread_pool = BoundedThreadPool()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread_pool.__exit__(kind, error, trace)

    def add(self, image: Path, *, name: str, store: ObjectStore | None = None) -> None:
        """Send the file `image`, or what is called so in `store`, as `name`.

        Raises:
            ExportError: this or an earlier image is gone, or `name` is taken.
            StorageError: one of the stores cannot be used.
        """
        to = f"images/{name}"
        if to in self.names:
            raise ExportError(f"two frames want the file name {name!r}; give each its own")
        self.names.add(to)
        self._thread_pool.send(lambda: self._place(image, to, store))

    def _place(self, image: Path, to: str, source: ObjectStore | None) -> None:
        abandoned = self._thread_pool.abandoned
        try:
            if source is None:
                self._store.put(to, image.read_bytes(), abandoned=abandoned)
            elif source.protocol == self._store.protocol:
                self._store.copy(source, str(image), to, abandoned=abandoned)
            else:
                self._store.put(to, source.get(str(image)), abandoned=abandoned)
        except FileNotFoundError as exc:
            raise ExportError(f"image {image} is gone; restore it or leave its frame out") from exc

    def notes(self) -> list[str]:
        return []


def _claim(store: ObjectStore) -> set[str]:
    """Make sure that nothing or an export of ours is there; give the entries of that, and mark it."""
    present = store.entries()
    before = _marked(store) if MARKER in present else None
    foreign = present if before is None else (present & _ENTRIES) - before
    if foreign:
        raise ExportError(
            f"{store.url} holds {min(foreign)!r}, which maskmill did not write; export to another place"
        )
    before = before or set()
    store.put(MARKER, marker_text(before | {"images"}).encode())
    return before


def _marked(store: ObjectStore) -> set[str] | None:
    entries = marker_entries(store.get(MARKER).decode(errors="replace"))
    return None if entries is None else set(entries)


def _publish(store: ObjectStore, files: dict[str, Path], before: Collection[str]) -> None:
    of_frames = [name for name in files if _entry(name) in _OF_FRAMES]
    store.put(MARKER, marker_text({*before, "images", *map(_entry, files)}).encode())
    if of_frames:
        for entry in set(before) - _OF_FRAMES:
            store.remove(list(store.names(entry)))
    with BoundedThreadPool() as thread_pool:
        for name in of_frames:
            thread_pool.send(lambda name=name: store.upload(files[name], name))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    for name in sorted(files.keys() - set(of_frames), reverse=True):  # instances.json is what most read, last
        store.upload(files[name], name)


def _remove_all_but(kept: Collection[str], store: ObjectStore, before: Collection[str]) -> None:
    for entry in before:
        store.remove([name for name in store.names(entry) if name not in kept])


def _entry(name: str) -> str:
    return name.partition("/")[0]
