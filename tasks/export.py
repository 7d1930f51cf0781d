"""From the ledger to a dataset in a folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from configs.models import ExportedDecision, ExportFormat
from db.dataset import dataset_frames
from db.queries import latest_run
from labeling.formats.coco import write_coco
from labeling.formats.dataset import DatasetFrame, ExportSummary
from labeling.formats.mask_pngs import write_mask_pngs
from labeling.formats.yolo_seg import write_yolo_seg
from labeling.storage import Home
from tasks.ledger import ledger_of


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """Which frames, written how."""

    format: ExportFormat = "coco"
    decisions: tuple[ExportedDecision, ...] = ("accepted", "reviewed")
    run: str | None = None
    """Id of the run, or its start; None: the one that was worked on last."""
    copy: bool = False
    """Copy pictures instead of hard-linking them."""
    polygons: bool = False
    """COCO only: outlines instead of run-length encodings."""


def write_dataset(home: Home, folder: Path, order: ExportOrder) -> ExportSummary:
    """Write a run's frames; what was in the folder before stays until all of it is written.

    Raises:
        ConfigError: there is no such run.
        ExportError: the folder holds something else.
        StorageError, DatabaseError: nothing can be read or kept.
    """
    with ledger_of(home).session() as session:
        run_id = latest_run(session, order.run).id
        return _write(dataset_frames(session, run_id, home, decisions=order.decisions), folder, order)


def _write(frames: Iterator[DatasetFrame], folder: Path, order: ExportOrder) -> ExportSummary:
    if order.format == "coco":
        return write_coco(frames, folder, polygons=order.polygons, copy=order.copy)
    if order.format == "yolo-seg":
        return write_yolo_seg(frames, folder, copy=order.copy)
    return write_mask_pngs(frames, folder, copy=order.copy)
