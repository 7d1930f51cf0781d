"""Write a dataset version as COCO files of train, val and test."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from db.datasets.queries import find_version, version_frames
from labeling.datasets.formats.coco_splits import write_coco_splits
from labeling.datasets.object_store import export_to
from labeling.datasets.records import DatasetFrame, ExportSummary
from labeling.datasets.staging import ImageTarget
from tasks.execution.context import Context


def export_dataset_version(context: Context, name: str, target: str, *, copy: bool = False) -> ExportSummary:
    """Write a version to a folder or URL; an earlier export there stays until the new one is complete.

    Raises:
        ConfigError: there is no such version.
        ExportError: the folder contains something else.
        StorageError, DatabaseError: the home cannot be read, or the target not written.
    """
    with context.database.session() as session:
        made = find_version(session, name)
        frames = version_frames(session, made, context.home)
        return export_to(target, partial(_write, frames, copy=copy))


def _write(
    frames: Iterator[DatasetFrame], folder: Path, images: ImageTarget | None, *, copy: bool
) -> ExportSummary:
    return write_coco_splits(frames, folder, copy=copy, images=images)
