"""Write a run's frames as a dataset into a folder or an object store."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from configs.categories import PERSON, stored_categories
from configs.errors import ExportError
from configs.models import ExportedDecision, ExportFormat
from db.frames.dataset import dataset_frames
from db.runs.queries import latest_run
from labeling.datasets.formats.coco import write_coco
from labeling.datasets.formats.registry import WRITERS, DatasetWriter
from labeling.datasets.object_store import export_to
from labeling.datasets.records import DatasetFrame, ExportSummary
from labeling.datasets.staging import ImageTarget
from tasks.execution.context import Context


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """Which frames to write, and how."""

    format: ExportFormat = "coco"
    decisions: tuple[ExportedDecision, ...] = ("accepted", "reviewed", "partial")
    run: str | None = None
    """Id of the run, or its beginning; None: the last run."""
    copy: bool = False
    """Copy images instead of hard-linking them."""
    polygons: bool = False
    """COCO only: polygons instead of run-length encodings."""
    only_complete: bool = False
    """Only frames in which each person is accepted or reviewed. Other formats than COCO have no ignored regions, so
    they hold only such frames."""


def write_dataset(context: Context, target: str, order: ExportOrder) -> ExportSummary:
    """Write a run's frames to a folder or URL; an earlier export there stays until the new one is complete.

    Raises:
        ConfigError: there is no such run.
        ExportError: the folder contains something else.
        StorageError, DatabaseError: the home cannot be read, or the target not written.
    """
    with context.database.session() as session:
        run = latest_run(session, order.run)
        categories = stored_categories(run.config)
        if order.format != "coco" and categories != (PERSON,):
            raise ExportError(
                f"run {run.id} has the categories {', '.join(categories)}, which only the format coco can hold"
            )
        only_complete = order.only_complete or order.format != "coco"
        frames = dataset_frames(
            session, run.id, context.home, decisions=order.decisions, only_complete=only_complete
        )
        return export_to(target, partial(_write, frames, order, categories))


def _write(
    frames: Iterator[DatasetFrame],
    order: ExportOrder,
    categories: tuple[str, ...],
    folder: Path,
    images: ImageTarget | None,
) -> ExportSummary:
    writer: DatasetWriter = WRITERS[order.format]
    if order.format == "coco":
        writer = partial(write_coco, polygons=order.polygons, categories=categories)
    return writer(frames, folder, copy=order.copy, images=images)
