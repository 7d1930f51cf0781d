"""Write a dataset version with its splits, a leak certificate and a card."""

from dataclasses import dataclass

from db.datasets.queries import find_version, version_categories, version_frames
from labeling.datasets.records import ExportSummary
from tasks.datasets.card import dataset_card
from tasks.datasets.certify import certify, leaks_page
from tasks.execution.context import Context
from tasks.write_frames import ExportStyle, FrameSet, write_frames


@dataclass(frozen=True, slots=True)
class ExportedVersion:
    """A version that was written."""

    written: ExportSummary
    version: str
    is_clean: bool
    """Nothing of train was found in val or test."""
    frames_near_train: int


def export_dataset_version(
    context: Context, name: str, target: str, style: ExportStyle | None = None
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
            "leak_certificate.json": leaks.to_json,
            "leaks.html": lambda: leaks_page(leaks, context.home).encode(),
            "README.md": lambda: dataset_card(session, made).encode(),
        }
        frames, categories = version_frames(session, made, context.home), version_categories(session, made)
        selected = FrameSet(frames, categories, beside, is_divided=True)
        written = write_frames(selected, target, style or ExportStyle(), context.home)
        return ExportedVersion(written, f"{made.name}@{made.number}", leaks.is_clean, leaks.near)
