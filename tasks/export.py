"""From the ledger to a dataset in a folder or an object store."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from configs.models import ExportedDecision, ExportFormat
from db.frames.dataset import dataset_frames
from db.runs.queries import latest_run
from labeling.datasets.formats.coco import write_coco
from labeling.datasets.formats.registry import WRITERS
from labeling.datasets.object_store import export_to
from labeling.datasets.records import DatasetFrame, ExportSummary
from labeling.datasets.staging import ImageTarget
from labeling.storage.home import Home
from tasks.execution.database import database_of


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """Which frames, written how."""

    format: ExportFormat = "coco"
    decisions: tuple[ExportedDecision, ...] = ("accepted", "reviewed")
    run: str | None = None
    """Id of the run, or its start; None: the one that was worked on last."""
    copy: bool = False
    """Copy images instead of hard-linking them."""
    polygons: bool = False
    """COCO only: outlines instead of run-length encodings."""


def write_dataset(home: Home, target: str, order: ExportOrder) -> ExportSummary:
    """Write a run's frames to a folder or URL; what was there before stays until all of it is written.

    Raises:
        ConfigError: there is no such run.
        ExportError: the folder holds something else.
        StorageError, DatabaseError: nothing can be read or kept.
    """
    with database_of(home).session() as session:
        run_id = latest_run(session, order.run).id
        frames = dataset_frames(session, run_id, home, decisions=order.decisions)
        return export_to(target, partial(_write, frames, order))


def _write(
    frames: Iterator[DatasetFrame], order: ExportOrder, folder: Path, images: ImageTarget | None
) -> ExportSummary:
    as_polygons = order.format == "coco" and order.polygons
    writer = partial(write_coco, polygons=True) if as_polygons else WRITERS[order.format]
    return writer(frames, folder, copy=order.copy, images=images)
