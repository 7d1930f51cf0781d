"""Write a dataset version as COCO files of train, val and test."""

from dataclasses import dataclass
from pathlib import Path

from db.datasets.queries import find_version, version_categories, version_frames
from labeling.datasets.formats.coco_splits import write_coco_splits
from labeling.datasets.object_store import export_to
from labeling.datasets.records import ExportSummary
from labeling.datasets.staging import ImageTarget
from tasks.datasets.card import dataset_card
from tasks.datasets.certify import certify, leaks_page
from tasks.execution.context import Context


@dataclass(frozen=True, slots=True)
class ExportedVersion:
    """A version that was written."""

    written: ExportSummary
    version: str
    is_clean: bool
    """Nothing of train was found in val or test."""
    frames_near_train: int


def export_dataset_version(
    context: Context, name: str, target: str, *, copy: bool = False
) -> ExportedVersion:
    """Write a version to a folder or URL; an earlier export there stays until the new one is complete.

    Raises:
        ConfigError: there is no such version.
        ExportError: the folder contains something else.
        StorageError, DatabaseError: the home cannot be read, or the target not written.
    """
    with context.database.session() as session:
        made = find_version(session, name)
        leaks = certify(context, session, made)
        beside = {
            "leak_certificate.json": leaks.to_json(),
            "leaks.html": leaks_page(leaks, context.home).encode(),
            "README.md": dataset_card(session, made).encode(),
        }
        frames = version_frames(session, made, context.home)
        categories = version_categories(session, made)

        def write(folder: Path, images: ImageTarget | None) -> ExportSummary:
            return write_coco_splits(
                frames, folder, copy=copy, images=images, beside=beside, categories=categories
            )

        written = export_to(target, write)
        return ExportedVersion(written, f"{made.name}@{made.number}", leaks.is_clean, leaks.near)
