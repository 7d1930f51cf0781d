"""Datasets in an object store, without a moment in which a reader finds half of one.

Images are written first: an image's name stands for the same frame in every export, so an earlier export stays
complete. The files that list them (`annotations/`, `data.yaml`, `frames.jsonl`) are written last. If a
format has other files for each frame (`labels/`, `masks/`, `sequences/`), the earlier lists are removed before these
are written: for a moment there is no dataset, instead of a mixture of two.
"""

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from configs.errors import ExportError
from labeling.datasets.records import ExportSummary
from labeling.datasets.staging import ImageTarget, marker_entries, marker_text
from labeling.runtime.thread_pool import BoundedThreadPool
from labeling.storage.object_store import ObjectStore, known_store, local_path
from labeling.storage.outputs import EXPORT_MARK

_OF_FRAMES = {"images", "labels", "masks", "sequences", "VOCdevkit", "data", "shards"}
"""Folders with a file for each frame, or for some hundred frames."""
_ENTRIES = _OF_FRAMES | {
    *("annotations", "annotations.xml", "data.yaml", "frames.jsonl", "croissant.json"),
    *("leak_certificate.json", "leaks.html", "README.md", "ATTRIBUTION.md"),
}
"""Of all formats."""

Write = Callable[[Path, ImageTarget | None], ExportSummary]
"""Writes a dataset into a folder, and its images into the target if one is given."""


def export_to(address: str, write: Write) -> ExportSummary:
    """Write a dataset into a folder, or to a URL.

    Raises:
        ExportError: the target holds something else, or a frame is invalid.
        ConfigError: the URL's protocol is not known.
        StorageError: the store cannot be used.
    """
    folder = local_path(address)
    return write(folder, None) if folder else export_to_store(known_store(address), write)


def export_to_store(store: ObjectStore, write: Write) -> ExportSummary:
    """Write everything but images to the local disk, then upload it.

    If it fails, the earlier export in the store is complete or absent.
    """
    before = _claim(store)
    with tempfile.TemporaryDirectory() as scratch:
        folder, images = Path(scratch) / "dataset", StoreImages(store)
        summary = write(folder, images)
        files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
        files.pop(EXPORT_MARK)
        _publish(store, files, before)
    kept = files.keys() | images.names
    for entry in before:
        store.remove([name for name in store.names(entry) if name not in kept])
    store.put(EXPORT_MARK, marker_text({_entry(name) for name in kept}).encode())
    return summary


class StoreImages(ImageTarget):
    """Uploads images below `images/`, several at a time; within one kind of store they are copied there."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__()
        self.names: set[str] = set()
        self._store = store
        self._folder = "images"

    def place_in(self, folder: str) -> None:
        self._folder = folder

    def add(self, image: Path, *, name: str, store: ObjectStore | None = None) -> None:
        to = f"{self._folder}/{name}"
        if to in self.names:
            raise ExportError(f"two frames have the file name {name!r}; give each its own")
        self.names.add(to)
        self.send(lambda: self._place(image, to, store))

    def _place(self, image: Path, to: str, source: ObjectStore | None) -> None:
        try:
            if source is None:
                self._store.put(to, image.read_bytes(), abandoned=self.abandoned)
            elif source.protocol == self._store.protocol:
                self._store.copy(source, str(image), to, abandoned=self.abandoned)
            else:
                self._store.put(to, source.get(str(image)), abandoned=self.abandoned)
        except FileNotFoundError as exc:
            raise ExportError(f"image {image} is missing; restore it or leave its frame out") from exc


def _claim(store: ObjectStore) -> set[str]:
    """Check that the store is empty or holds an export of maskmill; mark it, and return that export's entries."""
    present = store.entries()
    before = (
        marker_entries(store.get(EXPORT_MARK).decode(errors="replace")) if EXPORT_MARK in present else None
    )
    foreign = present if before is None else (present & _ENTRIES) - set(before)
    if foreign:
        raise ExportError(
            f"{store.url} holds {min(foreign)!r}, which maskmill did not write; export to another URL"
        )
    store.put(EXPORT_MARK, marker_text({*(before or ()), *_OF_FRAMES}).encode())
    return set(before or ())


def _publish(store: ObjectStore, files: dict[str, Path], before: Collection[str]) -> None:
    of_frames = [name for name in files if _entry(name) in _OF_FRAMES]
    store.put(EXPORT_MARK, marker_text({*before, *_OF_FRAMES, *map(_entry, files)}).encode())
    if of_frames:
        for entry in set(before) - _OF_FRAMES:
            store.remove(list(store.names(entry)))
    with BoundedThreadPool() as thread_pool:
        for name in of_frames:
            thread_pool.send(lambda name=name: store.upload(files[name], name))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    for name in sorted(
        files.keys() - set(of_frames), reverse=True
    ):  # instances.json, which most read, is last
        store.upload(files[name], name)


def _entry(name: str) -> str:
    return name.partition("/")[0]
