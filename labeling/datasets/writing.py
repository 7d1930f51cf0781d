"""What the writers of all formats share: their options, and a dataset that is being written."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

from configs.categories import PERSON
from labeling.datasets.records import DatasetFrame, ExportCheck, ExportSummary
from labeling.datasets.staging import ImageFolder, ImageTarget, stage_export, write_new

IMAGES = "images"


class WriteOptions(TypedDict, total=False):
    """Keywords of every writer."""

    copy: bool
    """Copy images instead of hard-linking them."""
    images: ImageTarget | None
    """Where images are placed; None: in the dataset's folder."""
    categories: Sequence[str]
    """Of the dataset, in the order of their numbers; people alone if absent."""
    beside: Mapping[str, Callable[[], bytes]]
    """Further files by name; their contents are asked for after the last frame."""


@dataclass(frozen=True, slots=True)
class OpenDataset:
    """A dataset that is being written."""

    folder: Path
    """Where its files are written until it is complete."""
    images: ImageTarget
    categories: Sequence[str]
    beside: Mapping[str, Callable[[], bytes]]
    check: ExportCheck = field(default_factory=ExportCheck)

    def place_image(self, frame: DatasetFrame, *, name: str | None = None) -> None:
        """Place the image of a frame among the dataset's images."""
        self.images.add(frame.image, name=name or frame.file_name, store=frame.store)

    def close(self, *, files: int, notes: Sequence[str] = ()) -> ExportSummary:
        """Write the files beside the format's own, and return the summary. `files` are the format's, images included."""
        for name, content in self.beside.items():
            write_new(self.folder / name, content())
        return self.check.close(files=files + len(self.beside), notes=[*notes, *self.images.notes()])


@contextmanager
def open_dataset(
    folder: Path, *, entries: Collection[str], images_in: str = IMAGES, **options: Unpack[WriteOptions]
) -> Iterator[OpenDataset]:
    """Give a dataset to write into; its `entries` and images are in `folder` when the block ends without an error.

    See `labeling.datasets.staging.stage_export`. `images_in` is the format's folder of images.
    """
    beside = options.get("beside", {})
    with stage_export(folder, entries=(*entries, *beside)) as staging:
        given = options.get("images")
        if given is not None:
            given.place_in(images_in)
        with given or ImageFolder(staging / images_in, copy=options.get("copy", False)) as images:
            yield OpenDataset(staging, images, options.get("categories", (PERSON,)), beside)
